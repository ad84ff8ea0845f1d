"""All cases, in a fixed order."""

from __future__ import annotations

from collections import Counter

from tests.sweep import cases_codecs, cases_colour, cases_damage, cases_joins, cases_time
from tests.sweep.case import Case


def cases() -> tuple[Case, ...]:
    """Every case; names are unique."""
    rooms = (cases_codecs, cases_time, cases_colour, cases_damage, cases_joins)
    found = tuple(case for room in rooms for case in room.cases())
    twice = [name for name, count in Counter(case.name for case in found).items() if count > 1]
    assert not twice, twice
    return found
