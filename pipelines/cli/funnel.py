"""How many clips a selection keeps, and why it leaves out the others."""

from __future__ import annotations

from collections import Counter

from pipelines.cli.rows import Column, Row, print_rows

_NAMES = {"kept": "kept", "duplicate": "duplicates", "all": "all"}


def print_funnel(current: Counter[str], previous: Counter[str] | None) -> None:
    """Prints clips by verdict and reason, with those of the previous selection if there is one."""
    names = (current | (previous or Counter())).keys() - {"kept", "duplicate"}
    order = ("kept", "duplicate", *sorted(names, key=lambda name: (-current[name], name)))
    total = current.total()
    rows: list[Row] = [
        {
            "kind": "funnel",
            "outcome": name,
            "clips": current[name],
            "share": current[name] / max(total, 1),
            "before": previous[name] if previous is not None else None,
        }
        for name in order
    ]
    rows.append({
        "kind": "funnel", "outcome": "all", "clips": total, "share": None,
        "before": previous.total() if previous is not None else None,
    })  # fmt: skip
    print_rows(rows, _COLUMNS)


def _green(row: Row) -> str | None:
    return "green" if row["outcome"] == "kept" else None


_COLUMNS = (
    Column("outcome", "clips", lambda name: _NAMES.get(name, f"filtered: {name}"), style=_green),
    Column("clips", "now", right=True, style=_green),
    Column("share", "", lambda share: "" if share is None else f"{share:.0%}", right=True),
    Column("before", right=True),
)
