"""Inputs at https:// addresses are curated like files; what fails has a reason."""

import pytest

from curation.dataset import Dataset
from curation.errors import MediaError
from curation.listing import Entry, ListingError, is_below, list_videos
from curation.records import Clip, Render, Source
from curation.sample import write_numbered_video
from curation.scan.stage import ScanItem
from curation.storage import AddressError, Storage
from curation.web_files import suffix
from pipelines.config import load
from pipelines.report.formatting import base_name
from pipelines.run.estimate import Rates, StepCost, estimate_steps
from pipelines.run.pipeline import Pipeline
from tests import web

SETTINGS = ["shots=FixedWindows", "scores=[Motion]", "embedders=[]", "near_duplicates=null",
            "motion.min=null"]  # fmt: skip


@pytest.fixture
def folder(tmp_path):
    folder = tmp_path / "served"
    folder.mkdir()
    write_numbered_video(folder / "a.mp4", 30)
    return folder


@pytest.fixture
def site(folder, tmp_path, monkeypatch):
    monkeypatch.setattr("curation.web_files.time.sleep", lambda _: None)
    with web.serving(folder, tmp_path, monkeypatch) as address:
        yield address


def scan(out, *places):
    pipeline = Pipeline(Dataset(str(out)), load(None, SETTINGS))
    return pipeline, pipeline.scan(list_videos([str(place) for place in places]))


def test_a_file_of_the_web_is_curated_as_one_of_the_disk(site, folder, tmp_path):
    outputs = {}
    for name, place in (("web", f"{site}/moved/a.mp4?signature=x/y.z"), ("disk", folder / "a.mp4")):
        pipeline, scanned = scan(tmp_path / name, place)
        assert scanned.counts == {"scanned": 1}
        pipeline.select()
        pipeline.run("render")
        read = pipeline.dataset.catalog.read
        (table,) = pipeline.dataset.catalog.names("renders")
        outputs[name] = (
            read("clips", Clip).to_pylist(),
            read(table, Render, ["clip_id", "sha256", "outcome"]).to_pylist(),
            read("sources", Source, ["source_id", "frames"]).to_pylist(),
        )
    assert outputs["web"] == outputs["disk"]
    assert outputs["web"][1][0]["outcome"] == "rendered"


def test_what_cannot_be_fetched_fails_by_name_or_waits(site, folder, tmp_path, monkeypatch):
    paths = ("a.mp4", "gone.mp4", "http/a.mp4", "short/a.mp4", "busy/a.mp4")
    (tmp_path / "list.csv").write_text("url\n" + "".join(f"{site}/{path}\n" for path in paths))
    scanned = scan(tmp_path / "out", tmp_path / "list.csv")[1]
    assert scanned.counts == {"scanned": 1, "missing": 1, "unavailable": 3}
    for path, words in (
        ("http/a.mp4", f"leads to http://127.0.0.1:{site.rpartition(':')[2]}/a.mp4"),
        ("short/a.mp4", "990 more expected"), ("busy/a.mp4", "503"),
    ):  # fmt: skip
        assert [m for m in scanned.unavailable if f"{site}/{path}" in m and words in m], path
    assert scan(tmp_path / "out", tmp_path / "list.csv")[1].counts == {"unavailable": 3}
    monkeypatch.setattr("curation.web_files.MAX_BYTES", 100)
    with (
        pytest.raises(MediaError, match="more than 100 bytes"),
        Storage.at(f"{site}/a.mp4").local_path(),
    ):
        pass


def test_other_bytes_at_an_address_are_not_rendered(site, folder, tmp_path):
    pipeline, _ = scan(tmp_path / "out", f"{site}/a.mp4")
    pipeline.select()
    write_numbered_video(folder / "a.mp4", 30, first=5000)
    assert pipeline.run("render").counts == {"changed": 1}


def test_a_list_of_the_web_names_files_beside_it(site, folder, tmp_path):
    (folder / "list.csv").write_text("url,licence\na.mp4,CC0\nmore/b.mp4?x=1,MIT\n")
    entries = list_videos([f"{site}/list.csv?token=a/b"]).entries
    assert [(entry.uri, entry.extra) for entry in entries] == [
        (f"{site}/a.mp4", {"licence": "CC0"}), (f"{site}/more/b.mp4?x=1", {"licence": "MIT"}),
    ]  # fmt: skip
    (folder / "local.txt").write_text("/a.mp4\n../a.mp4\nfile:///etc/a.mp4\n")
    away, *beside = list_videos([f"{site}/local.txt"]).entries
    assert (away.uri, away.problem[:17]) == ("file:///etc/a.mp4", "only local paths,")
    assert [entry.uri for entry in beside] == [f"{site}/a.mp4"]
    with pytest.raises(ListingError, match=r"none\.csv: 404"):
        list_videos([f"{site}/none.csv"])


@pytest.mark.parametrize(
    ("address", "words"),
    [
        ("https://user:secret@host/a.mp4", "without a user or password"),
        ("https:///a.mp4", "HOST/PATH is needed"),
        ("https://host/a b.mp4", "escaped with %"),
        ("http://host/a.mp4", "only local paths"),
    ],
)
def test_addresses_that_cannot_be_requested(address, words):
    with pytest.raises(ListingError, match=words):
        list_videos([address])


def test_nothing_is_written_to_the_web():
    with pytest.raises(AddressError, match="an output is a folder"):
        Dataset("https://host/out")


def test_a_file_is_called_so_without_what_signs_its_address():
    address = "https://host/raw/a.mp4?signature=x/y.z"
    assert (suffix(address), base_name(address)) == (".mp4", "a.mp4")
    assert base_name("/raw/why?.mp4") == "why?.mp4"


def test_a_web_source_without_a_size_has_no_time_yet():
    items = [ScanItem(Entry("https://host/a.mp4"))]
    rates = Rates(scan_s_per_byte=1e-6, clips_per_byte=1e-6, kept_share=1.0)
    costs = estimate_steps(None, load(), ("scan", "select"), items, rates)
    assert costs == {"scan": StepCost(1, None), "select": StepCost(None, None)}


def test_what_lies_below_an_address():
    assert is_below("https://host/videos/a.mp4", "https://host/videos/")
    assert not is_below("https://host/videos2/a.mp4", "https://host/videos")
    assert not is_below("/videos/a.mp4", "https://host/videos")
