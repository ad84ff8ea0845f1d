"""Files of every container that the allow-list names: nothing wrong is given without a word.

By default a tenth of them, chosen by their names so that each container is tried; `--sweep` tries
all. `python -m tests.sweep --table docs/media.md` tries all and writes the table.
"""

from __future__ import annotations

import pytest

from tests.sweep.__main__ import place_of
from tests.sweep.cases import cases
from tests.sweep.compare import compare
from tests.sweep.table import BEGIN, END, table, with_table

pytestmark = pytest.mark.sweep


def pytest_generate_tests(metafunc):
    if "case" in metafunc.fixturenames:
        found = cases()
        if not metafunc.config.getoption("--sweep"):
            first = {}
            for case in sorted(found, key=place_of):
                first.setdefault(case.container, case)
            found = [c for c in found if c is first[c.container] or place_of(c) < 0.07]
        metafunc.parametrize("case", found, ids=[case.name for case in found])


def test_a_file_is_read_right_or_refused_as_stated(case, tmp_path):
    outcome = compare(case, case.write(tmp_path))
    assert outcome.verdict in ("ok", "refused"), str(outcome)


def test_a_page_without_marks_gets_no_table():
    with pytest.raises(ValueError, match="needs the marks"):
        with_table("no marks", table({}))
    assert with_table(f"a {BEGIN} old {END} b", "new") == f"a {BEGIN}\nnew\n{END} b"
