"""Every file exists with its recorded size and digest."""

from __future__ import annotations

import pyarrow.compute as pc

from curation.data_file import name_digest
from curation.dataset import Dataset
from curation.errors import InfrastructureError
from curation.id_match import to_bools
from curation.records import Render
from pipelines.verify.invariant import CheckResult

_BATCH = 10_000


def check_files(dataset: Dataset, result: CheckResult) -> None:
    """Every file has its recorded size and digest."""
    catalog = dataset.catalog
    for name in catalog.table_names():
        try:
            files = catalog.files(name)
        except InfrastructureError as error:
            result.expect(False, str(error))
            continue
        for path, size_bytes in files:
            _check_file(dataset, f"{name}/{path}", size_bytes, result)
    for name in catalog.names("renders"):
        _check_renders(dataset, name, result)


def _check_renders(dataset: Dataset, name: str, result: CheckResult) -> None:
    """Expects the file of each render, and none of a span."""
    columns = ["clip_id", "outcome", "mode", "path", "size_bytes", "sha256"]
    rows = dataset.catalog.read(name, Render, columns)
    has_file = pc.is_valid(rows["path"])
    spans = rows.filter(pc.and_(pc.invert(has_file), pc.equal(rows["outcome"], "rendered")))
    result.expect_all(
        to_bools(pc.equal(spans["mode"], "span")), {"clip_id": spans["clip_id"]},
        lambda row: f"{name}: clip {row['clip_id']} has no file",
    )  # fmt: skip
    for batch in rows.filter(has_file).to_batches(max_chunksize=_BATCH):
        for row in batch.to_pylist():
            _check_file(dataset, row["path"], row["size_bytes"], result, row["sha256"])


def _check_file(
    dataset: Dataset,
    path: str,
    size_bytes: int | None,
    result: CheckResult,
    sha256: str | None = None,
) -> None:
    """Expects a file of this size and digest; those of tables have the digest in their names."""
    storage = dataset.catalog.storage
    actual_bytes = storage.size(path)
    if actual_bytes is None:
        result.expect(False, f"{path} is missing")
        return
    if actual_bytes != size_bytes:
        result.expect(False, f"{path} has {actual_bytes} bytes, not {size_bytes}")
        return
    sha256 = sha256 or name_digest(path.rsplit("/", 1)[1])
    intact = sha256 is None or storage.sha256(path).startswith(sha256)
    result.expect(intact, f"{path}: its bytes changed")
