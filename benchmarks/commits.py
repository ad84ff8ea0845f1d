"""A table that is filled by many small commits: how many files it has, and what a commit costs.

    python benchmarks/commits.py [--commits 20000] [--rows 10]

Commits go through the writer of a step, which merges files on its own. Costs are those of the first
and the last tenth of the commits, as CPU time; then the table is opened and one clip looked up,
`gc` says what a week later may go, and is carried out.
"""

from __future__ import annotations

import argparse
import hashlib
import tempfile
import time
from pathlib import Path

import pyarrow.compute as pc

from curation import records
from curation.catalog import Catalog
from curation.delta_table import arrow_dataset
from curation.garbage import collect_garbage
from curation.records import Caption
from curation.storage import Storage

TABLE = "captions/facts"
_WEEK_S = 7 * 86_400


def caption(number: int) -> Caption:
    """The caption of a clip by its number."""
    name = hashlib.sha256(str(number).encode()).hexdigest()[:32]
    return Caption(name, name[::-1], f"A bright, sharp clip with motion, number {number}.")


def fill(catalog: Catalog, commits: int, rows: int) -> tuple[int, list[float]]:
    """Makes the commits; the most files that the table had, and CPU seconds of each tenth."""
    most, seconds, tenth = 0, [], max(1, commits // 10)
    with catalog.writer("caption", {TABLE: Caption}) as writer:
        start = time.process_time()
        for number in range(commits):
            first = number * rows
            batch = [caption(first + row) for row in range(rows)]
            writer.append(TABLE, records.to_table(Caption, batch))
            if (number + 1) % tenth == 0:
                seconds.append(time.process_time() - start)
                start = time.process_time()
            if number % 10 == 0:
                most = max(most, len(catalog.files(TABLE)))
    return most, seconds


def folder_bytes(folder: Path, pattern: str) -> tuple[int, int]:
    """How many files of a folder match, and their bytes."""
    sizes = [path.stat().st_size for path in folder.glob(pattern)]
    return len(sizes), sum(sizes)


def main() -> None:
    """Prints the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--commits", type=int, default=20_000)
    parser.add_argument("--rows", type=int, default=10, help="rows of a commit")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="reelmill-") as folder:
        catalog, path = Catalog(Storage.at(folder)), Path(folder, TABLE)
        most, seconds = fill(catalog, arguments.commits, arguments.rows)
        tenth = max(1, arguments.commits // 10)
        print(f"commits                      {arguments.commits:,} of {arguments.rows} rows")
        print(f"files of the table           at most {most}, at last {len(catalog.files(TABLE))}")
        print(f"CPU time of a commit         first tenth {seconds[0] / tenth * 1e3:.1f} ms,"
              f" last tenth {seconds[-1] / tenth * 1e3:.1f} ms")  # fmt: skip
        live = sum(size for _, size in catalog.files(TABLE))
        _, written = folder_bytes(path, "*.parquet")
        print(f"bytes written                {written / live:.1f} times those of the table")
        start = time.process_time()
        table = Catalog(Storage.at(folder)).open(TABLE)
        print(f"opening the table            {(time.process_time() - start) * 1e3:.0f} ms of CPU")
        where = pc.field("clip_id") == caption(7).clip_id
        start = time.process_time()
        found = catalog.read(TABLE, Caption, ["text"], where)["text"].to_pylist()
        opened = len(list(arrow_dataset(table, catalog.storage, TABLE, where).get_fragments()))
        print(f"looking a clip up            {(time.process_time() - start) * 1e3:.0f} ms of CPU,"
              f" {opened} files: {found}")  # fmt: skip
        before = folder_bytes(path, "**/*")
        later_ns = time.time_ns() + (_WEEK_S + 86_400) * 10**9
        start = time.process_time()
        list(collect_garbage(catalog, _WEEK_S, delete=True, now_ns=later_ns))
        after = folder_bytes(path, "**/*")
        print(f"gc a week later              {before[0]:,} → {after[0]:,} files,"
              f" {before[1] / 1e6:.0f} → {after[1] / 1e6:.0f} MB,"
              f" {time.process_time() - start:.1f} s of CPU")  # fmt: skip
        total = catalog.read(TABLE, Caption, ["clip_id"])
        assert total.num_rows == arguments.commits * arguments.rows


if __name__ == "__main__":
    main()
