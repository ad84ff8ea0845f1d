"""A model of open_clip as embedder, from the command line to search: scan, label, refuse."""

import numpy as np
import pytest
from PIL import Image

from captioned_clips import Subject, Variation, clip_frames
from curation.dataset import Dataset
from curation.dedup.vectors import unpack
from curation.embed import OpenClip, query_encoder, recorded_model, table_name
from curation.records import Embedding
from curation.sample.encode import encode
from curation.search import Search
from tests.curation.embed.conftest import saved
from tests.outputs import run

pytestmark = pytest.mark.models

SUBJECTS = {
    "red.mp4": Subject("red", "disc", "still", "sand", "day"),
    "blue.mp4": Subject("blue", "ring", "sideways", "water", "night"),
}
PROFILE = """
scan:
  shots: {{FixedWindows: {{}}}}
  scores: [Exposure]
  embedders: [FrameDct, OpenClip: {{model: "{model}", every: 1}}]
execution: {{executor: in_process}}
"""
LABELS = """
model: "{model}"
groups: {{light: {{day: by day, night: at night}}}}
"""


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    return tmp_path_factory.mktemp("embedding")


@pytest.fixture(scope="module")
def films():
    chance = Variation.random(np.random.default_rng(0))
    return {name: list(clip_frames(thing, chance, 24, 12)) for name, thing in SUBJECTS.items()}


@pytest.fixture(scope="module")
def model(place):
    return saved(place / "model")


@pytest.fixture(scope="module")
def out(place, films, model):
    for name, frames in films.items():
        encode(place / "videos" / name, map(Image.fromarray, frames), fps=12)
    (place / "profile.yaml").write_text(PROFILE.format(model=model))
    ran = run("scan", str(place / "videos"), "--out", str(place / "out"),
              "--config", str(place / "profile.yaml"))  # fmt: skip
    assert ran.returncode == 0, ran.stderr
    return place / "out"


def test_a_scan_stores_what_a_query_of_the_same_frames_gives(out, films, model):
    dataset, table = Dataset(out), table_name(OpenClip(str(model), every=1))
    assert table.endswith("-every1")
    clips = dataset.clips().select(["clip_id", "uri"]).to_pylist()
    named = {row["clip_id"]: row["uri"].rsplit("/", 1)[-1] for row in clips}
    rows = dataset.catalog.read(table, Embedding)
    assert rows.num_rows == 2
    queries = query_encoder(table, recorded_model(dataset, table))
    for clip, vector in zip(rows["clip_id"].to_pylist(), unpack(rows["vector"].to_pylist(), 16),
                            strict=True):  # fmt: skip
        seen = films[named[clip]][::3]  # four of twelve a second
        expected = queries.encode_frames(seen, np.arange(8) / 4, (0.0, 2.0))
        assert vector @ expected > 0.995


def test_words_find_clips_by_their_vectors(out, model):
    table, words = table_name(OpenClip(str(model), every=1)), "a red disc over sand by day"
    search = Search(out)
    hits = search.query(words, by="vectors", k=2).to_pylist()
    rows = search.dataset.catalog.read(table, Embedding)
    query = query_encoder(table, str(model)).encode_text(words)
    cosines = unpack(rows["vector"].to_pylist(), 16) @ query
    expected = dict(zip(rows["clip_id"].to_pylist(), cosines.tolist(), strict=True))
    assert {hit["clip_id"]: hit["score"] for hit in hits} == pytest.approx(expected, abs=2e-3)
    assert hits[0]["score"] >= hits[1]["score"]

    # The table that knows words goes before the descriptor, and the command finds its model.
    said = run("search", str(out), words, "--top", "1", "--by", "vectors")
    assert said.returncode == 0, said.stderr
    assert hits[0]["clip_id"][:12] in said.stdout
    assert f"{hits[0]['score']:.3f}" in said.stdout


def test_labels_are_read_from_the_stored_vectors_and_filter_a_search(out, place, model):
    (place / "light.yaml").write_text(LABELS.format(model=model))
    said = run("label", str(out), str(place / "light.yaml"))
    assert said.returncode == 0, said.stderr
    assert "labels/light-" in said.stdout
    assert sum(int(line.split()[0]) for line in said.stdout.splitlines() if "light/" in line) == 2
    rows = Search(out).query(where="labels is not null", columns=["labels", "light/day"])
    assert len(rows) == 2
    for held, score in zip(rows["labels"].to_pylist(), rows["light/day"].to_pylist(), strict=True):
        assert held == ["light/day" if score >= 0.5 else "light/night"]
    held = rows["labels"][0][0].as_py()
    found = Search(out).query("anything", by="vectors", where=f"'{held}' in labels", k=2)
    assert rows["clip_id"][0] in found["clip_id"].combine_chunks()


def test_missing_weights_end_the_scan_before_it_begins(place, tmp_path):
    profile = tmp_path / "profile.yaml"
    profile.write_text(PROFILE.format(model="no/such/model"))
    ran = run(
        "scan", str(place / "videos"), "--out", str(tmp_path / "out"), "--config", str(profile)
    )
    assert ran.returncode == 2
    assert "no/such/model" in ran.stderr
    assert "is no folder" in ran.stderr
    assert "Traceback" not in ran.stderr
