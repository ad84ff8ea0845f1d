"""Flipped bits and cut files: whoever reads one is told which, or gets what was written."""

from __future__ import annotations

import hashlib
import random
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from curation.dataset import Dataset
from curation.errors import ReelmillError
from curation.records import TokenizedClip
from curation.sample import Coding, write_numbered_video
from curation.search import Search
from pipelines.verify import verify
from tests.faults.steps import STEPS, rows_at, worker
from tokenizer.export.clip_rows import ExportRows, ExportTables
from tokenizer.feed import TokenFeed

pytestmark = pytest.mark.faults

KINDS = {
    "table": "**/*.parquet", "shard": "tokens/*/*.parquet", "log": "**/_delta_log/*.json",
    "render": "renders/*/media/*/*.mp4", "index": "search/files/*", "words": "search/words-*/*",
    "manifest": "search/manifest.json",
}  # fmt: skip
IN_INDEX = ("index", "words", "manifest")
FULL = 40


@pytest.fixture(scope="module")
def intact(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An output of two clips with all tables, renders, tokens, captions and an index."""
    folder = tmp_path_factory.mktemp("rot")
    (folder / "videos").mkdir()
    write_numbered_video(folder / "videos/a.mp4", 60, cuts=(30,), coding=Coding(crf=30))
    with worker() as run:
        for step in STEPS:
            assert run(step, (str(folder / "videos"), str(folder / "out")))[0] == 0
    return folder / "out"


def read_tables(out: Path) -> Any:
    dataset = Dataset(out)
    return {name: rows_at(dataset, name) for name in dataset.catalog.table_names()}


def read_clips(out: Path) -> Any:
    dataset = Dataset(out)
    clips = dataset.clips().to_pylist()
    for clip in clips:
        clip["path"] = (clip["path"] or "").removeprefix(str(out))
    return clips, dataset.captions().to_pylist()


def read_feed(out: Path) -> Any:
    feed = TokenFeed(out, batch_size=1, epochs=1, shuffle=None)
    return [hashlib.sha256(batch["codes"].numpy().tobytes()).hexdigest() for batch in feed]


def read_search(out: Path) -> Any:
    search = Search(out)
    clip = search.query(where="true", k=9).sort_by("clip_id")
    first = clip["clip_id"][0].as_py()
    words = clip["caption"][0].as_py().split()[0]
    return [
        search.query(**query).drop_columns(["score"]).to_pylist()
        for query in ({"text": words}, {"like": first}, {"where": "motion >= 0"})
    ]


def read_export(out: Path) -> Any:
    rows = ExportRows(out, None, ExportTables())
    media = [hashlib.sha256(rows.read_media(n)).hexdigest() for n in range(len(rows.table))]
    arrays = [rows.tokens.arrays(clip) for clip in rows.table["clip_id"].to_pylist()]
    return rows.table.to_pylist(), media, [{k: v.tolist() for k, v in a.items()} for a in arrays]


READERS: dict[str, Callable[[Path], Any]] = {
    "tables": read_tables, "clips": read_clips, "feed": read_feed, "search": read_search,
    "export": read_export,
}  # fmt: skip


@pytest.fixture(scope="module")
def expected(intact) -> dict[str, Any]:
    return {name: read(intact) for name, read in READERS.items()}


def damage(path: Path, rng: random.Random) -> str:
    """Flips a bit, overwrites a few bytes or cuts a file; returns what was done."""
    content = bytearray(path.read_bytes())
    kind = rng.choice(["flip", "flip", "zeros", "cut"]) if content else "grow"
    at = rng.randrange(len(content)) if content else 0
    if kind == "flip":
        content[at] ^= 1 << rng.randrange(8)
    elif kind == "zeros":
        content[at : at + 64] = bytes(len(content[at : at + 64]))
    elif kind == "cut":
        del content[at:]
    else:
        content += b"?"
    if content == path.read_bytes():
        return damage(path, rng)
    path.write_bytes(content)
    return f"{kind} at {at}"


def readings(out: Path, expected: dict[str, Any]) -> Iterator[tuple[str, str]]:
    """Of each reader whether it was `right`, `refused` or `wrong`, and its message."""
    for name, read in READERS.items():
        try:
            result = read(out)
        except ReelmillError as error:
            yield name, f"refused: {error}"
        except Exception as error:
            yield name, f"wrong: {error!r}"
        else:
            yield name, "right" if result == expected[name] else "wrong: other data"


@pytest.mark.full_seeds(FULL)
@pytest.mark.parametrize("kind", KINDS)
def test_rot_is_found_or_harmless(  # noqa: PLR0917
    kind, fault_seed, intact, expected, tmp_path, record_fault
):
    rng = random.Random(f"{kind} {fault_seed}")
    out = tmp_path / "out"
    shutil.copytree(intact, out)
    path = rng.choice(sorted(path for path in out.glob(KINDS[kind]) if path.is_file()))
    relative = path.relative_to(out)
    what = f"{relative}, {damage(path, rng)}"
    found = [v for result in verify(Dataset(out)) for v in result.violations]
    outcomes = dict(readings(out, expected))
    wrong = {name: outcome for name, outcome in outcomes.items() if outcome.startswith("wrong")}
    assert not wrong, f"{what}: {wrong}"
    refused = [outcome for outcome in outcomes.values() if outcome.startswith("refused")]
    name = str(relative).split("/_delta_log")[0]
    if kind in IN_INDEX:
        assert not refused, f"{what}: an index is rebuilt, not refused: {refused}"
    elif kind == "log":
        assert found or not refused, f"{what}: verify finds nothing, but {refused}"
    else:
        assert any(str(relative) in violation for violation in found), f"{what}: {found}"
    for outcome in refused:
        assert name.rsplit("/", 1)[-1] in outcome or name in outcome, f"{what}: {outcome}"
    record_fault(f"bit rot: {kind}")


@pytest.mark.full_seeds(10)
def test_a_render_that_rotted_fails_by_name(fault_seed, intact, tmp_path, record_fault):
    """Its clip alone: the other one is tokenized."""
    rng, out = random.Random(fault_seed), tmp_path / "out"
    shutil.copytree(intact, out)
    path = rng.choice(sorted(out.glob(KINDS["render"])))
    what = f"{path.name}, {damage(path, rng)}"
    with worker() as run:
        job, settings = (str(intact.parent / "videos"), str(out)), ("tokenize.short_side=16",)
        assert run("tokenize", job, settings=settings)[0] == 0, run.error
    catalog = Dataset(out).catalog
    before = {f"tokenized/{path.name}" for path in (intact / "tokenized").iterdir()}
    (table,) = set(catalog.names("tokenized")) - before
    outcomes = {row["clip_id"]: row for row in catalog.read(table, TokenizedClip).to_pylist()}
    damaged = outcomes.pop(path.stem)
    assert damaged["outcome"] == "failed", what
    assert damaged["reason"] != "internal", damaged
    assert [row["outcome"] for row in outcomes.values()] == ["tokenized"], what
    record_fault("bit rot: render before it is tokenized")
