"""`--dry-run`: what a job would do and take, without doing it."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence

from curation import pending_inputs
from curation.dataset import Dataset
from curation.listing import Entry
from curation.output_location import check_writable
from curation.steps import STEPS
from pipelines.cli import terminal
from pipelines.cli.rows import Column, print_rows
from pipelines.cli.terminal import count, escape
from pipelines.config import Profile
from pipelines.report.formatting import duration
from pipelines.run.estimate import estimate_steps, measure_rates, scan_step

_FIRST = 5


def print_plan(
    out: str,
    profile: Profile,
    steps: Iterable[str],
    entries: Sequence[Entry],
    retry: Collection[str],
) -> None:
    """Prints the inputs without an outcome, and how much each step would do and take."""
    dataset = Dataset(out)
    check_writable(dataset.catalog.storage)
    tables = ("sources", pending_inputs.LISTED)
    is_new = all(dataset.catalog.open(name) is None for name in tables)
    scan = scan_step(dataset, profile, entries, retry)
    scan.check()
    items = scan.todo()
    new = [item.entry for item in items if item.known_clips is None]
    size_gb = sum(entry.size_bytes for entry in new) / 1e9
    state = "without an outcome or to retry" if retry else "without an outcome"
    terminal.console.print(
        f"{count(len(entries), 'input')}, {len(new):,} {state} ({size_gb:.2f} GB)"
    )
    if backfill := len(items) - len(new):
        terminal.console.print(f"{count(backfill, 'known source')} lack a score or an embedding")
    for entry in new[: len(new) if terminal.output.verbose else _FIRST]:
        terminal.console.print(f"  {escape(entry.uri)}")
    if len(new) > _FIRST and not terminal.output.verbose:
        terminal.console.print(f"  and {len(new) - _FIRST:,} more")
    costs = estimate_steps(
        None if is_new else dataset, profile, steps, items,
        measure_rates([] if is_new else [dataset]), retry=retry,
    )  # fmt: skip
    print_rows(
        [
            {
                "kind": "plan",
                "step": step,
                "items": cost.items,
                "unit": STEPS[step].unit,
                "seconds": cost.seconds,
            }
            for step, cost in costs.items()
        ],
        _COLUMNS,
    )
    terminal.console.print("nothing was written; without --dry-run this runs")


_COLUMNS = (
    Column("step"),
    Column("items", "to do", lambda n: "not known yet" if n is None else f"{n:,}", right=True),
    Column("unit", ""),
    Column("seconds", "about", lambda s: "not known yet" if s is None else duration(s), right=True),
)
