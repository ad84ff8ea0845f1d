"""Lists of inputs: text, CSV, TSV, JSON lines or Parquet files with one input a row."""

from __future__ import annotations

import contextlib
import csv
import io
import json
import os
import stat
from collections.abc import Iterable, Iterator, Sequence
from pathlib import PurePosixPath
from typing import Any, BinaryIO

import pyarrow as pa
import pyarrow.parquet as pq

from curation.errors import ReelmillError
from curation.storage import utf8_path

LIST_SUFFIXES = (".txt", ".csv", ".tsv", ".jsonl", ".json", ".parquet")
"""Of files that are read as lists of inputs."""
PATH_COLUMNS = ("uri", "path", "file", "video", "url", "file_name")
_SAMPLE_PATH = "filepath"
"""Of a sample of FiftyOne, whatever columns its fields are called like."""


class ListingError(ReelmillError, ValueError):
    """An address that cannot be listed."""


class NoPathColumnError(ListingError):
    """A list without a column of paths."""


def read_rows(
    path: str,
    address: str,
    path_columns: Sequence[str] = PATH_COLUMNS,
    *,
    max_bytes: int | None = None,
    follow_links: bool = True,
) -> list[tuple[str, dict[str, str]]]:
    """The path in each row of a list file, and its other columns as text.

    The suffix of `address` says what the file holds. Only a regular file is opened; without
    `follow_links` no link. Raises `ListingError`, which names the address, also for more than
    `max_bytes`, in the file or unpacked.
    """
    with _problems(address), _open(path, max_bytes, follow_links) as file:
        return list(_rows(file, address, path_columns, max_bytes))


def _open(path: str, max_bytes: int | None, follow_links: bool) -> BinaryIO:
    """A regular file; a pipe or a device would be read for ever."""
    flags = os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC | (0 if follow_links else os.O_NOFOLLOW)
    file = open(os.open(path, flags), "rb")  # noqa: SIM115  returned to a with statement
    status = os.fstat(file.fileno())
    problem = "" if stat.S_ISREG(status.st_mode) else "is no regular file"
    if max_bytes is not None and status.st_size > max_bytes:
        problem = f"has {status.st_size:,} bytes, more than {max_bytes:,}"
    if problem:
        file.close()
        raise ListingError(problem)
    return file


@contextlib.contextmanager
def _problems(address: str) -> Iterator[None]:
    """Turns what is wrong with a list into a `ListingError` that names it."""
    try:
        yield
    except NoPathColumnError as error:
        raise NoPathColumnError(f"{utf8_path(address)}: {error}") from error
    except (csv.Error, OSError, pa.ArrowException, ListingError) as error:
        raise ListingError(f"{utf8_path(address)}: {error}") from error


def _rows(
    file: BinaryIO, address: str, path_columns: Sequence[str], max_bytes: int | None
) -> Iterator[tuple[str, dict[str, str]]]:
    suffix = PurePosixPath(address).suffix.lower()
    if suffix == ".parquet":
        yield from _parquet_rows(file, path_columns, max_bytes)
        return
    text = file.read().decode("utf-8-sig", "surrogateescape")
    if "\0" in text:
        raise ListingError("holds zero bytes; a list has to be UTF-8 text")
    lines = io.StringIO(text, newline="")
    if suffix in (".csv", ".tsv"):
        reader = csv.DictReader(lines, delimiter="\t" if suffix == ".tsv" else ",")
        numbered = ((reader.line_num, row) for row in reader)
        yield from _path_column(numbered, reader.fieldnames or [], path_columns)
    elif suffix == ".jsonl":
        objects = dict(_json_rows(text.split("\n")))
        names = dict.fromkeys(name for row in objects.values() for name in row)
        yield from _path_column(objects.items(), list(names), path_columns)
    elif suffix == ".json":
        rows = dict(enumerate(_samples(text), 1))
        names = dict.fromkeys(name for row in rows.values() for name in row)
        yield from _path_column(rows.items(), list(names), (_SAMPLE_PATH,))
    else:
        for line in text.split("\n"):
            if line.strip() and not line.lstrip().startswith("#"):
                yield line.strip(), {}


def _parquet_rows(
    file: BinaryIO, path_columns: Sequence[str], max_bytes: int | None
) -> Iterator[tuple[str, dict[str, str]]]:
    parquet = pq.ParquetFile(file)
    groups = (parquet.metadata.row_group(n) for n in range(parquet.num_row_groups))
    size = sum(group.total_byte_size for group in groups)
    if max_bytes is not None and max(size, parquet.metadata.num_rows) > max_bytes:
        raise ListingError(f"unpacks to {size:,} bytes, more than {max_bytes:,}")
    table = parquet.read()
    rows = enumerate(table.to_pylist(), 1)
    yield from _path_column(rows, table.column_names, path_columns)


def _samples(text: str) -> Iterator[dict[str, Any]]:
    """The samples of FiftyOne's `samples.json`: numbers and texts, labels of classes, and tags."""
    try:
        samples = json.loads(text)["samples"]
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise ListingError("holds no JSON object with `samples`, as FiftyOne writes it") from error
    if not isinstance(samples, list) or not all(isinstance(item, dict) for item in samples):
        raise ListingError("its `samples` are no list of JSON objects")
    for sample in samples:
        row = {}
        for name, value in sample.items():
            if isinstance(value, dict) and value.get("_cls") == "Classification":
                row[name] = value.get("label")
            elif name == "tags" and isinstance(value, list):
                row[name] = ",".join(map(str, value))
            elif name == _SAMPLE_PATH or not (
                name.startswith("_") or isinstance(value, dict | list)
            ):
                row[name] = value
        yield row


def _json_rows(lines: Iterable[str]) -> Iterator[tuple[int, dict[str, Any]]]:
    """The objects of a file with one on each line, by the number of the line."""
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
        except (ValueError, RecursionError) as error:
            text = line.strip()
            raise ListingError(f"line {number} is not JSON: {text!r:.60}") from error
        if not isinstance(row, dict):
            raise ListingError(f"line {number} is no JSON object")
        yield number, row


def _path_column(
    rows: Iterable[tuple[int, dict[str, Any]]], names: Sequence[str], path_columns: Sequence[str]
) -> Iterator[tuple[str, dict[str, str]]]:
    column = next((name for name in path_columns if name in names), None)
    if column is None:
        raise NoPathColumnError(
            f"needs a column named one of {', '.join(path_columns)}; it has"
            f" {', '.join(names) or 'none'}"
        )
    for number, row in rows:
        if None in row:
            raise ListingError(f"line {number} has more cells than the header")
        address = row.pop(column, None)
        if address is not None and not isinstance(address, str):
            raise ListingError(f"row {number} has no path under {column!r}, but {address!r:.60}")
        if not address:
            raise ListingError(f"row {number} has nothing under {column!r}")
        extra = {name: value for name, value in row.items() if value or value == 0}
        yield str(address), {name: _utf8_text(value) for name, value in extra.items()}


def _utf8_text(value: Any) -> str:
    return str(value).encode("utf-8", "surrogateescape").decode("utf-8", "replace")
