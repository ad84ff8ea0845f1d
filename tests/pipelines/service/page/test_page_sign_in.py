"""The page of a server that requires API keys, and of one without anything."""

import threading
import time

import pytest
import uvicorn

from pipelines.service.app import create_app
from pipelines.service.service import Service
from pipelines.service.settings import ServerSettings

pytestmark = pytest.mark.browser


@pytest.fixture
def served_at(tmp_path):
    """A server of this process over an empty root: its address and its API keys."""
    (tmp_path / "root").mkdir()
    service = Service.at(ServerSettings(root=str(tmp_path / "root"), state=tmp_path / "state"))
    config = uvicorn.Config(create_app(service), port=0, log_level="warning", ws="none")
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run)
    thread.start()
    while not server.started:
        time.sleep(0.02)
    yield f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}", service.api_keys
    server.should_exit = True
    thread.join()


def test_a_key_opens_the_page_and_leaves_no_trace_in_it(look, served_at):
    url, keys = served_at
    secret = keys.create("search", "web")
    page = look(url)
    page.get_by_label("API key").fill("reelmill_guess")
    page.get_by_role("button", name="Sign in").click()
    page.get_by_text("This key is not valid.").wait_for()
    page.get_by_label("API key").fill(secret)
    page.get_by_role("button", name="Sign in").click()
    page.get_by_text("No collection yet").wait_for()
    assert page.get_by_role("link", name="New job").count() == 0, "the key may not submit"
    assert secret not in page.evaluate("document.cookie + JSON.stringify(localStorage)")
    page.get_by_role("button", name="Sign out").click()
    page.get_by_label("API key").wait_for()
    page.reload()
    page.get_by_label("API key").wait_for()


def test_an_empty_server_says_how_to_begin(look, served_at):
    url, _ = served_at
    page = look(url)
    page.get_by_role("link", name="Curate some videos").click()
    page.get_by_text("This server has no sources").wait_for()
    page.get_by_role("link", name="Jobs").click()
    page.get_by_text("No job has been submitted yet.").wait_for()
    page.goto(f"{url}/?view=jobs&job=0123456789abcdef")
    page.get_by_text("There is no such job.").wait_for()
