"""Every file is there with its size and digest."""

from __future__ import annotations

from collections.abc import Iterator

import pyarrow as pa

from curation import records
from curation.catalog import Catalog
from curation.dataset import Dataset
from curation.records import Render
from pipelines.verify.invariant import Promise

_TABLES = ("listed", "passed_over", "sources", "clips", "signatures", "thumbnails", "selection",
           "subsets", "runs")  # fmt: skip
_GROUPS = ("scores", "embeddings", "labels", "captions", "captioned", "neighbours", "renders",
           "tokens", "tokenized")  # fmt: skip
_DIGEST_NAME = len("0" * 32 + ".parquet")


def intact(dataset: Dataset, promise: Promise) -> None:
    """Every file has its recorded size and digest."""
    catalog = dataset.catalog
    for name in _all_tables(catalog):
        for path, size in _table_files(catalog, name):
            _file(dataset, f"{name}/{path}", size, promise)
    for name in catalog.names("renders"):
        for render in records.records(Render, catalog.read(name, Render)):
            if render.path is not None:
                _file(dataset, render.path, render.size_bytes, promise, render.sha256)
            elif render.outcome == "rendered":
                words = f"{name}: clip {render.clip_id} has no file"
                promise.expect(render.mode == "span", words)


def _file(
    dataset: Dataset, path: str, size: int | None, promise: Promise, sha256: str | None = None
) -> None:
    """Expects a file of this size and digest; shards carry the digest in their names."""
    storage = dataset.catalog.storage
    found = storage.size(path)
    if found != size:
        words = "is missing" if found is None else f"has {found} bytes, not {size}"
        promise.expect(False, f"{path} {words}")
        return
    name = path.rsplit("/", 1)[1]
    if sha256 is None and len(name) == _DIGEST_NAME:
        sha256 = name.split(".")[0]
    same = sha256 is None or storage.sha256(path).startswith(sha256)
    promise.expect(same, f"{path}: its bytes changed")


def _all_tables(catalog: Catalog) -> list[str]:
    single = [name for name in _TABLES if catalog.open(name) is not None]
    return single + [name for group in _GROUPS for name in catalog.names(group)]


def _table_files(catalog: Catalog, name: str) -> Iterator[tuple[str, int]]:
    table = catalog.open(name)
    if table is not None:
        actions = pa.table(table.get_add_actions(flatten=True))
        columns = (actions["path"].to_pylist(), actions["size_bytes"].to_pylist())
        yield from zip(*columns, strict=True)
