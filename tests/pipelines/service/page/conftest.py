"""A server over one curated output as a process of its own, and a Chromium that looks at it."""

import shutil
import signal
import socket
import subprocess
import time
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.outputs import COMMAND, ROOT, environment

ARGUMENTS = (
    "--no-sandbox", "--disable-gpu", "--disable-background-networking",
    "--disable-component-update", "--disable-sync", "--no-first-run",
)  # fmt: skip
_STARTS_S = 120
_ANSWERS_MS = 20_000


@dataclass(frozen=True)
class Site:
    """A server that runs."""

    url: str
    root: Path


@pytest.fixture(scope="session")
def chromium() -> str:
    found = shutil.which("chromium") or shutil.which("chromium-browser")
    if found is None:
        pytest.skip("no Chromium here: apt-get install chromium")
    return found


@pytest.fixture(scope="session")
def site(chromium, outputs, curated, tmp_path_factory) -> Iterator[Site]:
    root = tmp_path_factory.mktemp("site") / "root"
    shutil.copytree(outputs, root)  # jobs change it
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [
        *COMMAND, "serve", str(root), "--source", f"videos={curated.videos}", "--config",
        str(curated.profile), "--port", str(port), "--rate", "1000",
    ]  # fmt: skip
    log = root.parent / "server.log"
    with open(log, "wb") as said:
        process = subprocess.Popen(
            command, env=environment(), cwd=ROOT, stdout=said, stderr=subprocess.STDOUT
        )
    try:
        url = f"http://127.0.0.1:{port}"
        ends = time.monotonic() + _STARTS_S
        while not _answers(url):
            assert time.monotonic() < ends, log.read_text()
            assert process.poll() is None, log.read_text()
            time.sleep(0.1)
        yield Site(url, root)
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(20)


def _answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(f"{url}/healthz", timeout=5):
            return True
    except OSError:
        return False


@pytest.fixture(scope="module")
def browser(chromium):
    """One Chromium a module: a loop of Playwright's runs while it is there."""
    playwright = pytest.importorskip("playwright.sync_api")
    with playwright.sync_playwright() as started:
        opened = started.chromium.launch(executable_path=chromium, args=list(ARGUMENTS))
        yield opened
        opened.close()


@pytest.fixture
def look(browser):
    """Opens pages with further options of a context; none of them may have complained."""
    complaints, contexts = [], []

    def opened(url: str, **options):
        context = browser.new_context(**{"viewport": {"width": 1280, "height": 900}, **options})
        context.set_default_timeout(_ANSWERS_MS)
        contexts.append(context)
        page = context.new_page()
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.on("console", lambda said: _heard(said, complaints))
        page.goto(url)
        return page

    yield opened
    for context in contexts:
        context.close()
    assert complaints == []


def _heard(said, complaints: list[str]) -> None:
    """Errors of scripts and of the policy count; that an answer was 4xx is no mistake."""
    if said.type == "error" and "Failed to load resource" not in said.text:
        complaints.append(said.text)


@pytest.fixture
def page(look, site):
    """The clips of the output."""
    shown = look(f"{site.url}/?c=drive")
    shown.wait_for_selector(".tile")
    return shown
