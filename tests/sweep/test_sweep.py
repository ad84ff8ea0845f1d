"""Files of every container on the allow-list are read correctly or refused with a reason.

By default a tenth of them, selected by name so that each container is included; `--sweep` runs all.
`python -m tests.sweep --table docs/media.md` runs all and writes the table.
"""

from __future__ import annotations

import pytest

from tests.sweep.__main__ import position_of
from tests.sweep.cases import cases
from tests.sweep.compare import compare
from tests.sweep.table import BEGIN, END, table, with_table

pytestmark = pytest.mark.sweep


def pytest_generate_tests(metafunc):
    if "case" in metafunc.fixturenames:
        selected = cases()
        if not metafunc.config.getoption("--sweep"):
            first = {}
            for case in sorted(selected, key=position_of):
                first.setdefault(case.container, case)
            selected = [c for c in selected if c is first[c.container] or position_of(c) < 0.07]
        metafunc.parametrize("case", selected, ids=[case.name for case in selected])


def test_a_file_is_read_correctly_or_refused_as_stated(case, tmp_path):
    outcome = compare(case, case.write(tmp_path))
    assert outcome.verdict in ("ok", "refused"), str(outcome)


def test_a_page_without_marks_gets_no_table():
    with pytest.raises(ValueError, match="needs the marks"):
        with_table("no marks", table({}))
    assert with_table(f"a {BEGIN} old {END} b", "new") == f"a {BEGIN}\nnew\n{END} b"
