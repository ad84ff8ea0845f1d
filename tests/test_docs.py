"""The documentation says what is true: generated pages are current, links lead somewhere."""

import re
import runpy
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]


@pytest.mark.parametrize("name", ["tables.md", "cli.md", "api.md"])
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
