"""The table of docs/media.md: what was tried and what came of it."""

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
    said = ", ".join(f"{count} {verdict}" for verdict, count in total.most_common())
    lines = [
        f"{len(outcomes)} files: {said}.", "",
        "| container | what | tried | right | refused, and why |", "|---|---|---|---|---|",
    ]  # fmt: skip
    for (container, what), found in rows.items():
        right = sum(outcome.verdict == "ok" for _, outcome in found)
        tried = ", ".join(case.detail for case, _ in found)
        lines.append(
            f"| {container} | {what} | {tried} | {right} of {len(found)} | {_reasons(found)} |"
        )
    return "\n".join(lines)


def _reasons(found: list[tuple[Case, Outcome]]) -> str:
    parts = []
    for case, outcome in found:
        if outcome.verdict == "ok":
            continue
        which = f"{case.detail}: " if len(found) > 1 else ""
        if outcome.verdict == "refused":
            why = case.truth.may_refuse[outcome.reason]
            parts.append(f"{which}`{outcome.reason}` ({why})")
        else:
            parts.append(f"{which}**{outcome}**".replace("|", "/").replace("\n", " "))
    return "; ".join(parts)


def with_table(text: str, made: str) -> str:
    """The page with its table replaced; `ValueError` if it lacks the marks."""
    if BEGIN not in text or END not in text:
        raise ValueError(f"the page needs the marks {BEGIN} and {END}")
    pattern = re.compile(re.escape(BEGIN) + ".*?" + re.escape(END), re.DOTALL)
    return pattern.sub(lambda _: f"{BEGIN}\n{made}\n{END}", text)
