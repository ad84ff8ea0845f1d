"""The documentation says what is true: generated pages are current, links lead somewhere."""

import re
import runpy
import textwrap
from pathlib import Path

import numpy as np
import pytest

from curation.scores import Look, columns

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]


@pytest.mark.parametrize("name", ["tables.md", "cli.md"])
def test_generated_pages_are_current(name):
    made = runpy.run_path(str(ROOT / "docs" / "generate.py"))["PAGES"][name]()
    assert (ROOT / "docs" / name).read_text() == made, "run `make docs`"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page):
    links = re.findall(r"\]\(([^)#]+)\)", page.read_text())
    missing = [link for link in links if "://" not in link and not (page.parent / link).exists()]
    assert not missing


def test_every_column_is_documented():
    generate = runpy.run_path(str(ROOT / "docs" / "generate.py"))
    for name, record in generate["TABLES"].items():
        docs = generate["field_docs"](record)
        assert set(record.__dataclass_fields__) <= docs.keys(), name


def test_the_new_score_of_the_readme_works():
    code = re.search(r"```python\n(@dataclass.*?)```", (ROOT / "README.md").read_text(), re.S)
    assert code is not None
    head = """
    from dataclasses import dataclass
    from typing import ClassVar
    import numpy as np
    from curation.scores.look import Floats, Look, field, mean_or_none
    """
    found: dict = {}
    exec(textwrap.dedent(head) + code[1], found)
    score = found["Colour"]()
    red = np.zeros((32, 32, 3), np.uint8)
    red[..., 0] = 255
    measures = np.array([score.measure(Look.at(red), None)])
    assert score.summarise(measures, np.zeros(1)) == {"colourfulness": 1.0}
    assert [column.name for column in columns(type(score))] == ["colourfulness"]
