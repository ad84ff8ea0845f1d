"""The table of docs/media.md: the cases and their outcomes."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Mapping

from tests.sweep.case import Case
from tests.sweep.compare import Outcome

BEGIN, END = "<!-- sweep: begin -->", "<!-- sweep: end -->"


def table(outcomes: Mapping[Case, Outcome]) -> str:
    """Markdown: a row for each container and property."""
    rows: dict[tuple[str, str], list[tuple[Case, Outcome]]] = defaultdict(list)
    for case, outcome in outcomes.items():
        rows[case.container, case.what].append((case, outcome))
    total = Counter(outcome.verdict for outcome in outcomes.values())
    verdicts = ", ".join(f"{count} {verdict}" for verdict, count in total.most_common())
    lines = [
        f"{len(outcomes)} files: {verdicts}.", "",
        "| container | what | tried | right | refused, and why |", "|---|---|---|---|---|",
    ]  # fmt: skip
    for (container, what), results in rows.items():
        right = sum(outcome.verdict == "ok" for _, outcome in results)
        details = ", ".join(case.detail for case, _ in results)
        lines.append(
            f"| {container} | {what} | {details} | {right} of {len(results)} |"
            f" {_reasons(results)} |"
        )
    return "\n".join(lines)


def _reasons(results: list[tuple[Case, Outcome]]) -> str:
    parts = []
    for case, outcome in results:
        if outcome.verdict == "ok":
            continue
        which = f"{case.detail}: " if len(results) > 1 else ""
        if outcome.verdict == "refused":
            why = case.truth.may_refuse[outcome.reason]
            parts.append(f"{which}`{outcome.reason}` ({why})")
        else:
            parts.append(f"{which}**{outcome}**".replace("|", "/").replace("\n", " "))
    return "; ".join(parts)


def with_table(text: str, new_table: str) -> str:
    """The page with its table replaced; `ValueError` if it lacks the marks."""
    if BEGIN not in text or END not in text:
        raise ValueError(f"the page needs the marks {BEGIN} and {END}")
    pattern = re.compile(re.escape(BEGIN) + ".*?" + re.escape(END), re.DOTALL)
    return pattern.sub(lambda _: f"{BEGIN}\n{new_table}\n{END}", text)
