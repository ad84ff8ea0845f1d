"""All cases, in a fixed order."""

from __future__ import annotations

from collections import Counter

from tests.sweep import cases_codecs, cases_colour, cases_damage, cases_joins, cases_time
from tests.sweep.case import Case


def cases() -> tuple[Case, ...]:
    """Every case; names are unique."""
    modules = (cases_codecs, cases_time, cases_colour, cases_damage, cases_joins)
    all_cases = tuple(case for module in modules for case in module.cases())
    duplicates = [
        name for name, count in Counter(case.name for case in all_cases).items() if count > 1
    ]
    assert not duplicates, duplicates
    return all_cases
