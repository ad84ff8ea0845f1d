"""The files of the page: how they are served, and that none makes markup of text."""

import re

import pytest

from pipelines.service.routes.page import page_files

NAMES = sorted(page_files())
SINKS = re.compile(
    r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\(|new Function|srcdoc|DOMParser"
)
MOST_LINES = 250


def test_the_page_and_its_files_are_served_under_the_policy(served):
    page = served.client.get("/")
    assert page.headers["content-type"] == "text/html; charset=utf-8"
    assert "script-src 'self'" in page.headers["content-security-policy"]
    named = set(re.findall(r'(?:src|href)="/page/([^"]+)"', page.text))
    for name in NAMES:
        if name != "index.html":
            found = served.client.get(f"/page/{name}")
            assert (found.status_code, found.content) == (200, page_files()[name].content)
    assert named == {name for name in NAMES if name != "index.html"}, "asked for all at once"


def test_a_file_that_the_browser_has_is_not_sent_again(served):
    first = served.client.get("/page/main.js")
    assert first.headers["content-type"] == "text/javascript; charset=utf-8"
    again = served.client.get("/page/main.js", headers={"If-None-Match": first.headers["etag"]})
    assert (again.status_code, again.content) == (304, b"")


@pytest.mark.parametrize("path", ["nothing.js", "index.html", "..%2fapp.py", "%2e%2e/a.py"])
def test_other_names_are_none(served, path):
    assert served.client.get(f"/page/{path}").status_code in (404, 422)


@pytest.mark.parametrize("name", NAMES)
def test_no_file_makes_markup_or_code_of_text(name):
    text = page_files()[name].content.decode()
    assert not SINKS.search(text)
    assert len(text.splitlines()) <= MOST_LINES
    if name.endswith(".html"):
        assert not re.search(r"<style|\sstyle=|\son\w+=|<script(?![^>]*\ssrc=)", text)


@pytest.mark.parametrize("name", [name for name in NAMES if name.endswith(".js")])
def test_what_a_module_imports_is_there(name):
    text = page_files()[name].content.decode()
    for names, module in re.findall(r'import (.+?) from "\./([a-z_]+\.js)"', text):
        known = page_files()[module].content.decode()
        if names.startswith("{"):
            for wanted in re.findall(r"\w+", names):
                exported = rf"export (?:async )?(?:function|const|class) {wanted}\b"
                assert re.search(exported, known), f"{module} has no {wanted}"
