"""Every file exists with its recorded size and digest."""

from __future__ import annotations

from collections.abc import Iterator

import pyarrow as pa

from curation import records
from curation.catalog import Catalog
from curation.dataset import Dataset
from curation.records import Render
from pipelines.verify.invariant import CheckResult

_TABLES = ("listed", "passed_over", "sources", "clips", "signatures", "thumbnails", "selection",
           "subsets", "runs")  # fmt: skip
_TABLE_FOLDERS = ("scores", "embeddings", "labels", "captions", "captioned", "neighbours",
                  "renders", "tokens", "tokenized")  # fmt: skip
_DIGEST_NAME_LENGTH = len("0" * 32 + ".parquet")


def check_files(dataset: Dataset, result: CheckResult) -> None:
    """Every file has its recorded size and digest."""
    catalog = dataset.catalog
    names = [name for name in _TABLES if catalog.open(name) is not None]
    names += [name for folder in _TABLE_FOLDERS for name in catalog.names(folder)]
    for name in names:
        for path, size_bytes in _table_files(catalog, name):
            _check_file(dataset, f"{name}/{path}", size_bytes, result)
    for name in catalog.names("renders"):
        for render in records.from_table(Render, catalog.read(name, Render)):
            if render.path is not None:
                _check_file(dataset, render.path, render.size_bytes, result, render.sha256)
            elif render.outcome == "rendered":
                message = f"{name}: clip {render.clip_id} has no file"
                result.expect(render.mode == "span", message)


def _check_file(
    dataset: Dataset,
    path: str,
    size_bytes: int | None,
    result: CheckResult,
    sha256: str | None = None,
) -> None:
    """Expects a file of this size and digest; shards have the digest in their names."""
    storage = dataset.catalog.storage
    actual_bytes = storage.size(path)
    if actual_bytes is None:
        result.expect(False, f"{path} is missing")
        return
    if actual_bytes != size_bytes:
        result.expect(False, f"{path} has {actual_bytes} bytes, not {size_bytes}")
        return
    name = path.rsplit("/", 1)[1]
    if sha256 is None and len(name) == _DIGEST_NAME_LENGTH:
        sha256 = name.split(".")[0]
    intact = sha256 is None or storage.sha256(path).startswith(sha256)
    result.expect(intact, f"{path}: its bytes changed")


def _table_files(catalog: Catalog, name: str) -> Iterator[tuple[str, int]]:
    """Paths and sizes of a table's files."""
    table = catalog.open(name)
    if table is not None:
        actions = pa.table(table.get_add_actions(flatten=True))
        columns = (actions["path"].to_pylist(), actions["size_bytes"].to_pylist())
        yield from zip(*columns, strict=True)
