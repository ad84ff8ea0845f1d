"""What `scale.py` measures: commands, parts of the program, and what each of them has to read."""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from curation import scores
from curation.dataset import Dataset
from curation.scores import DEFAULT_SCORES, SCORES
from pipelines import config
from tokenizer.tokenize.shards import CLIP_FRAMES

_ROOT = Path(__file__).parents[1]
SETTINGS = ["render.mode=span", "tokenizer=pca-8x8x8"]
_REELMILL = [sys.executable, "-m", "pipelines"]
_GROUPS = {scores.table_name(SCORES[name]): SCORES[name] for name in DEFAULT_SCORES}
_ALL_SCORES = {
    name: ["clip_id", *(column.name for column in scores.columns(score))]
    for name, score in _GROUPS.items()
}
_BOUNDED = yaml.safe_load((_ROOT / "configs" / "default.yaml").read_text())["policy"]["limits"]
_POLICY = {
    name: ["clip_id", *(column for column in columns[1:] if column in _BOUNDED)]
    for name, columns in _ALL_SCORES.items()
}
_POLICY = {name: columns for name, columns in _POLICY.items() if columns[1:]}
_SIDE = {*config.load(None, SETTINGS).scan.side_tables}
_EMBEDDINGS = sorted(name for name in _SIDE if name.startswith("embeddings/"))
_SOURCE = ["source_id", "uri", "width", "height", "fps", "outcome"]
_KEY = ["uri", "size_bytes", "modified"]
_CLIPS = {"clips": ["clip_id", "source_id", "start_s", "end_s", "shot_start_frame"]}
_VERDICTS = ["selection_id", "clip_id", "source_id", "verdict", "reason", "duplicate_of"]
_SELECT = {
    **_CLIPS, **_POLICY, "sources": [*_SOURCE, "size_bytes", "duration_s"],
    "neighbours/copies": ["clip_id", "neighbour_id", "similarity", "overlap_s", "identical"],
}  # fmt: skip


@dataclass(frozen=True)
class Command:
    """One thing to measure."""

    title: str
    """Empty for what only prepares the next."""
    words: tuple[str, ...] = ()
    """A command line in which OUT and CLIP stand for output and clip; none for a child."""
    reads: Mapping[str, list[str]] = field(default_factory=dict)
    """Columns by table. A folder's name and a slash mean all its tables."""
    beside: str = ""
    """What it is compared with instead."""

    def arguments(self, out: str, clip_id: str) -> list[str]:
        """The process's; none for a child of `scale.py`."""
        if not self.words:
            return []
        words = [w.replace("OUT", out).replace("CLIP", clip_id) for w in self.words]
        return [*_REELMILL, *words]


COMMANDS = {
    "start": Command("start: `settings` of the output", ("settings", "OUT")),
    "scan": Command(
        "`curate` with nothing to scan", ("scan", "OUT-sources", "--out", "OUT"),
        {"sources": [*_KEY, "reason", "source_id", "scan_digest", "clips"], "listed": _KEY,
         **{name: ["source_id"] for name in sorted(_SIDE)}},
    ),
    "select": Command("first `select`", ("select", "OUT"), _SELECT),
    "again": Command(
        "another threshold", ("select", "OUT", "--set", "motion.min=0.01"), _SELECT,
    ),
    "render": Command(
        "work list of `render`", (),
        {"clips": ["clip_id", "source_id", "start_frame", "end_frame", "start_s", "end_s",
                   "start_pts", "end_pts", "time_base"],
         "selection": _VERDICTS[:4], "sources": [*_SOURCE, "size_bytes", "modified"]},
    ),
    "renders": Command(""),
    "tokenize": Command(
        "work list of `tokenize`", (),
        {"clips": ["clip_id", "source_id", "start_frame", "end_frame", "start_s", "end_s",
                   "start_pts", "end_pts", "time_base"],
         "selection": _VERDICTS[:4], "sources": [*_SOURCE, "size_bytes", "modified"],
         "renders/": ["clip_id", "outcome", "mode", "path", "frames", "width", "height", "fps"]},
    ),
    "tokens": Command(""),
    "verify": Command(
        "`verify`, without files and token shards", (),
        {"clips": ["clip_id", "source_id", "start_frame", "end_frame", "start_pts", "end_pts",
                   "time_base"],
         "sources": [*_SOURCE, *_KEY[1:], "reason", "clips_digest", "stream_index"],
         "selection": _VERDICTS, "neighbours/copies": ["clip_id", "neighbour_id"],
         "renders/": ["clip_id", "outcome", "reason", "sha256", "frames", "fps"],
         "captioned/": ["clip_id", "outcome", "reason", "windows", "render_profile"],
         "captions/": ["clip_id", "source_id", "window"],
         "tokenized/": ["clip_id", "outcome", "reason", "windows", "render_profile",
                        "render_sha256", "render_frames", "render_fps"],
         "tokens/": ["clip_id", "window", "fps", *CLIP_FRAMES],
         **{name: ["clip_id", "source_id"] for name in sorted(_SIDE)}},
    ),
    "report": Command(
        "`report`", ("report", "OUT"),
        {**_ALL_SCORES, **_CLIPS, "sources": [*_SOURCE, "reason", "detail", "duration_s"],
         "listed": _KEY, "selection": _VERDICTS, "renders/": ["clip_id", "outcome", "reason"],
         "captioned/": ["clip_id", "outcome", "reason"], "captions/": ["clip_id", "source_id",
                                                                      "text", "model"],
         "tokenized/": ["clip_id", "outcome", "reason", "psnr_codes_db"],
         "tokens/": ["clip_id", "frames", "pixel_height", "pixel_width", "latent_frames",
                     "latent_height", "latent_width", "channels"]},
    ),
    "why": Command("`why` of one clip", ("why", "OUT", "CLIP"), beside="start"),
    "show": Command("`show` of the same clip", ("show", "OUT", "CLIP"), beside="start"),
    "index": Command(
        "first `index`", ("index", "OUT"),
        {**_ALL_SCORES, "clips": ["clip_id", "source_id", "start_s", "end_s"],
         "sources": _SOURCE, "captions/": ["clip_id", "text"],
         **{name: ["clip_id", "vector"] for name in _EMBEDDINGS}},
    ),
    "search": Command(
        "one `search`", ("search", "OUT", "place 17", "--where", "motion > 0.3"), beside="start"
    ),
    "page": Command(
        "first screen of the page", (),
        {**_ALL_SCORES, **_CLIPS, "sources": _SOURCE, "selection": _VERDICTS},
    ),
    "feed": Command(
        "start of a feed, first batch", (),
        {"tokens/": ["clip_id", "latent_frames", "latent_height", "latent_width", "causal_first"],
         "tokenized/": ["clip_id", "outcome", "windows"], "selection": _VERDICTS[:4]},
    ),
}  # fmt: skip


def read_once(reads: Mapping[str, list[str]]) -> Callable[[str], None]:
    """DuckDB reads these columns, each once, in batches."""

    def read(out: str) -> None:
        import duckdb

        catalog = Dataset(out).catalog
        tables = {}
        for name, columns in reads.items():
            names = catalog.names(name[:-1]) if name.endswith("/") else [name]
            tables |= dict.fromkeys(names, columns)
        with duckdb.connect(config={"threads": 2}) as connection:
            for name, columns in tables.items():
                files = [f"{out}/{name}/{path}" for path, _ in catalog.files(name)]
                if files:
                    names = ", ".join(f'"{column}"' for column in columns)
                    query = f"SELECT {names} FROM read_parquet($1)"
                    rows = connection.sql(query, params=[files]).to_arrow_reader(100_000)
                    for _ in rows:
                        pass

    return read


def work_list(name: str) -> Callable[[str], None]:
    """Reads a step's work list."""

    def read(out: str) -> None:
        from curation.step import StepRequest
        from curation.steps import STEPS

        dataset = Dataset(out).snapshot()
        selection_id = dataset.latest_selection()
        request = StepRequest(dataset, config.load(None, SETTINGS), selection_id=selection_id)
        print(sum(1 for _ in STEPS[name].load_plan()(request).todo()), "items")

    return read


def verify_rows(out: str) -> None:
    """All of `verify` but for the bytes of files."""
    from unittest.mock import patch

    from pipelines.verify import INVARIANTS, CheckResult, clip_tables

    dataset = Dataset(out).snapshot()
    with patch.object(clip_tables, "_check_shards"):
        for invariant in INVARIANTS:
            result = CheckResult(invariant.statement)
            if "file" not in invariant.statement:
                invariant.check(dataset, result)
            print(f"{result.checked:,} checked: {invariant.statement}", *result.violations[:5])
            if result.violations:
                raise SystemExit(1)


def first_screen(out: str) -> None:
    """What a browser requests when the page is opened, of a server that has just started."""
    from fastapi.testclient import TestClient

    from pipelines.service.app import create_app
    from pipelines.service.service import Service
    from pipelines.service.settings import ServerSettings

    folder = Path(out)
    with tempfile.TemporaryDirectory() as state:
        settings = ServerSettings(
            root=str(folder.parent), state=Path(state), sources={}, host_names=("testserver",)
        )
        client = TestClient(create_app(Service.at(settings)))
        base = f"/v1/collections/{folder.name}"
        for path in ("/v1/collections", f"{base}/funnel", f"{base}/values", f"{base}/clips"):
            response = client.get(path)
            response.raise_for_status()


def feed_start(out: str) -> None:
    """Opens a feed and takes its first batch."""
    from tokenizer.feed import TokenFeed

    print(next(iter(TokenFeed(out, batch_size=256)))["codes"].shape)


def renders(out: str) -> None:
    """Makes what the work list of `tokenize` reads."""
    from synthetic_steps import write_renders

    dataset = Dataset(out)
    if not dataset.catalog.names("renders"):
        write_renders(dataset, config.load(None, SETTINGS))


def captions_and_tokens(out: str) -> None:
    """Makes what is verified, reported, searched and fed."""
    from synthetic_steps import write_captions, write_tokens

    dataset, profile = Dataset(out), config.load(None, SETTINGS)
    if not dataset.catalog.names("tokenized"):
        write_captions(dataset, profile)
        write_tokens(dataset, profile)


CHILDREN: dict[str, Callable[[str], Any]] = {
    "render": work_list("render"),
    "renders": renders,
    "tokenize": work_list("tokenize"),
    "tokens": captions_and_tokens,
    "verify": verify_rows,
    "page": first_screen,
    "feed": feed_start,
    **{f"read {name}": read_once(c.reads) for name, c in COMMANDS.items() if c.reads},
}
"""What runs in a process of its own without being a command."""
