"""The search for similar clips as tasks, so that the machines of a cluster share it.

A task searches some cells, or compares some of the new clips with all others, and compares the
frames of the candidates that it finds; only pairs that are similar come back. A pair's similarity
is independent of what it is compared with, so the pairs are those of one process.

What all tasks read is written once below `_search` of the output and mapped: the descriptors, the
cells that each probes, and what clips are compared by. A worker on a machine that does not see the
output as a folder copies these files once. They are removed at the end; what a run that was killed
left is removed by a later one after a day.
"""

from __future__ import annotations

import contextlib
import secrets
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import pyarrow as pa
from pyarrow import fs

from curation.dedup.neighbours import (
    Content,
    candidate_pairs,
    judge,
    merge_judged,
    searched_vectors,
)
from curation.dedup.pair_search import (
    EXACT_UP_TO,
    CellProbes,
    CellSearch,
    assign_cells,
    calibrate_margin,
)
from curation.dedup.pairs import Pairs, exact_pairs, with_similarity
from curation.dedup.similarity import Bools, Floats
from curation.dedup.vectors import Rows
from curation.errors import InfrastructureError
from curation.lease import storage_time_ns
from curation.stage import Done, Item, Outcome, Resources, Stage
from curation.storage import Storage, storage_faults

RunTasks = Callable[[Stage, Sequence[Item]], Iterator[Outcome]]
"""Runs a stage over items, such as the method of an executor."""
FOLDER = "_search"
_PARTS = 64
"""Tasks, at least, if there are cells or clips enough."""
_QUERIES = 1024
"""New clips of a task of an exact search, at least."""
_JUDGED_AT_ONCE = 1 << 14
"""Pairs whose clips a task unpacks at once."""
_LEFTOVER_NS = 86_400 * 10**9


@dataclass(frozen=True)
class RowRange:
    """A range of cells, or of new clips."""

    start: int
    end: int

    @property
    def key(self) -> str:
        """The range."""
        return f"{self.start}-{self.end}"


@dataclass(frozen=True)
class FindPairs:
    """Finds the similar pairs of one part."""

    version: ClassVar[int] = 1
    storage: Storage
    folder: str
    content: type[Content]
    num_cells: int
    """0 for an exact search."""
    margin: float
    memory_mb: int

    @property
    def resources(self) -> Resources:
        """One core."""
        return Resources(memory_mb=self.memory_mb)

    def setup(self) -> Callable[[RowRange], tuple[Pairs, Floats]]:
        """Maps what all tasks read."""
        with contextlib.ExitStack() as files:  # what is mapped stays, also of a removed copy

            def path_of(name: str) -> str:
                return files.enter_context(self.storage.local_path(f"{self.folder}/{name}"))

            arrays = {
                name: np.load(path_of(f"{name}.npy"), mmap_mode="r")
                for name in ("vectors", "owners", "new", *_cell_files(self.num_cells))
            }
            table = pa.ipc.open_file(pa.memory_map(path_of("rows.arrow"))).read_all()
        vectors, new, floor = arrays["vectors"], arrays["new"], self.content.floor
        search = None
        if self.num_cells:
            probes = arrays["probes"], arrays["margins"]
            cells = CellProbes(*probes, self.num_cells, self.margin)
            search = CellSearch(vectors, floor, new, cells)

        def find(part: RowRange) -> tuple[Pairs, Floats]:
            if search is None:
                some = slice(part.start, part.end)
                candidates = exact_pairs(vectors, floor, new, part=some)
            else:
                candidates = search.pairs(part.start, part.end)
            return merge_judged(
                self._judge(table, candidate_pairs(arrays["owners"], batch), start)
                for batch in with_similarity(candidates, vectors, floor)
                for start in range(0, len(batch), _JUDGED_AT_ONCE)
            )

        return find

    def _judge(self, table: pa.Table, pairs: Pairs, start: int) -> tuple[Pairs, Floats]:
        """Some of a batch of pairs; only their clips are unpacked."""
        some = pairs.take(np.arange(start, min(start + _JUDGED_AT_ONCE, len(pairs))))
        clips = np.unique(np.concatenate([some.first, some.second]))
        first, second = (np.searchsorted(clips, rows) for rows in (some.first, some.second))
        content = self.content(table.take(clips).combine_chunks(), threads=1)
        found, overlap_s = judge(content, Pairs(first, second, some.similarity))
        return Pairs(clips[found.first], clips[found.second], found.similarity), overlap_s


def pairs_by_tasks(
    storage: Storage, run: RunTasks, content: Content, is_representative: Bools, new: Bools
) -> tuple[Pairs, Floats]:
    """See `curation.dedup.neighbours.Search`. Raises `InfrastructureError` where a task fails."""
    vectors, owners = searched_vectors(content, is_representative)
    is_new = new[owners]
    cells = None
    if int(is_new.sum()) * len(vectors) > EXACT_UP_TO:
        cells = calibrate_margin(assign_cells(vectors), vectors, content.floor, is_new)
    arrays = {"vectors": vectors, "owners": owners, "new": is_new}
    if cells is not None:
        arrays |= {"probes": cells.probes, "margins": cells.margins}
        parts = CellSearch(vectors, content.floor, is_new, cells).parts(_PARTS)
    else:
        count = int(is_new.sum())
        step = max(_QUERIES, -(-count // _PARTS))
        parts = [(start, min(start + step, count)) for start in range(0, count, step)]
    with _shared_files(storage, content.rows, arrays) as folder:
        num_cells, margin = (cells.num_cells, cells.margin) if cells else (0, 0.0)
        memory_mb = 512 + (2 * vectors.nbytes >> 20)
        stage = FindPairs(storage, folder, type(content), num_cells, margin, memory_mb)
        return merge_judged(_values(run(stage, [RowRange(*part) for part in parts]), len(parts)))


def _values(outcomes: Iterator[Outcome], count: int) -> Iterator[Any]:
    for outcome in outcomes:
        if not isinstance(outcome, Done):
            raise InfrastructureError(f"the search for duplicates: {outcome.detail}")
        count -= 1
        yield outcome.value
    if count:
        raise InfrastructureError(f"the search for duplicates: {count} tasks have no outcome")


def _cell_files(num_cells: int) -> tuple[str, ...]:
    return ("probes", "margins") if num_cells else ()


@contextlib.contextmanager
def _shared_files(storage: Storage, rows: pa.Table, arrays: dict[str, Rows | Any]) -> Iterator[str]:
    """A folder of the output with these arrays and rows, for as long as the block lasts."""
    _remove_leftovers(storage)
    folder = f"{FOLDER}/{secrets.token_hex(8)}"
    try:
        for name, array in arrays.items():
            with storage.atomic_write(f"{folder}/{name}.npy") as path, open(path, "wb") as file:
                np.save(file, array)
        with (
            storage.atomic_write(f"{folder}/rows.arrow") as path,
            pa.OSFile(path, "wb") as sink,
            pa.ipc.new_file(sink, rows.schema) as writer,
        ):
            writer.write_table(rows, max_chunksize=_JUDGED_AT_ONCE)
        yield folder
    finally:
        with contextlib.suppress(OSError):
            storage.filesystem.delete_dir(storage.path(folder))


def _remove_leftovers(storage: Storage) -> None:
    """Removes files of runs that were killed."""
    with storage_faults(FOLDER):
        selector = fs.FileSelector(storage.path(FOLDER), allow_not_found=True, recursive=True)
        infos = storage.filesystem.get_file_info(selector)
        files = [info for info in infos if info.type == fs.FileType.File]
        old_ns = storage_time_ns(storage) - _LEFTOVER_NS if files else 0
        for file in files:
            if int(file.mtime_ns) < old_ns:
                with contextlib.suppress(FileNotFoundError):
                    storage.filesystem.delete_file(file.path)
