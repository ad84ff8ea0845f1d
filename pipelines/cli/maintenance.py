"""`reelmill compact` and `reelmill gc`: few files, and none that nothing needs."""

from __future__ import annotations

import re
from typing import Annotated

import typer

from curation.garbage import collect_garbage
from curation.lease import hold_lease
from curation.output_location import check_writable
from pipelines.cli.options import Out
from pipelines.cli.places import open_output
from pipelines.cli.rows import print_line, print_result
from pipelines.cli.terminal import count, escape

_UNITS_S = {"h": 3600, "d": 86_400, "w": 604_800}


def compact(out: Out) -> None:
    """Merges files, and prints the tables that have fewer."""
    catalog = open_output(out).catalog
    check_writable(catalog.storage)
    names = catalog.table_names()
    with hold_lease(catalog.storage, "compact", names):
        for name in names:
            before, after = catalog.compact(name)
            if before != after:
                print_result(
                    {"table": name, "files_before": before, "files": after},
                    f"{before:8,d} → {after:,d} files  {escape(name)}",
                )
    print_line(f"{count(len(names), 'table')} of right-sized files")


def period_s(text: str) -> float:
    """Seconds of a period such as `12h`, `7d` or `2w`."""
    match = re.fullmatch(r"(\d+)([hdw])", text)
    if match is None:
        raise typer.BadParameter("write a number of hours, days or weeks, such as 12h, 7d or 2w")
    return float(match[1]) * _UNITS_S[match[2]]


def gc(
    out: Out,
    older_than: Annotated[
        float,
        typer.Option(
            parser=period_s, metavar="PERIOD",
            help="Keep every version that was the newest within this period: 12h, 7d, 2w.",
        ),
    ] = "7d",  # type: ignore[assignment]  # given to the parser
    delete: Annotated[
        bool, typer.Option("--delete", help="Remove the files, instead of listing how many.")
    ] = False,
) -> None:  # fmt: skip
    """Removes or counts files, and prints how many of each table."""
    catalog = open_output(out).catalog
    check_writable(catalog.storage)
    files, size_bytes = 0, 0
    for name, garbage in collect_garbage(catalog, older_than, delete=delete):
        if garbage:
            table_bytes = sum(file.size_bytes for file in garbage)
            files, size_bytes = files + len(garbage), size_bytes + table_bytes
            amount = f"{len(garbage):8,d} files, {table_bytes / 1e6:,.1f} MB"
            row = {"table": name, "files": len(garbage), "size_bytes": table_bytes}
            print_result(row | {"removed": delete}, f"{amount}  {escape(name)}")
    total = f"{count(files, 'file')}, {size_bytes / 1e6:,.1f} MB"
    if delete or not files:
        print_line(f"removed {total}")
    else:
        print_line(f"{total} to remove: the same command with --delete")
