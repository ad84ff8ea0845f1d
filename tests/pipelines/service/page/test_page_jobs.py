"""Asking for jobs, watching and cancelling them, and trying out thresholds, in a browser."""

import pytest

from pipelines.service.client import Client
from tests.pipelines.service.page.waiting import counted, until

pytestmark = pytest.mark.browser

JOB_S = 120.0


@pytest.fixture
def server(site):
    with Client(site.url) as client:
        yield client


@pytest.fixture
def selected(server):
    """The collection goes back to its selection."""
    yield
    job_request = {"kind": "select", "collection": "drive", "settings": {"duration_s.min": 0.9}}
    assert server.wait(server.submit(**job_request)["job_id"])["state"] == "done"


def kept(page, site) -> int:
    return page.request.get(f"{site.url}/v1/collections/drive").json()["verdicts"]["kept"]


def ended(page, state: str) -> None:
    until(page, f"document.querySelector('h1 .state')?.dataset.state === '{state}'", JOB_S)


def test_thresholds_are_tried_and_then_made_a_selection(look, site, server, selected):
    page = look(f"{site.url}/?view=overview&c=drive")
    plot = page.locator(".plot[data-value=duration_s]")
    plot.wait_for()
    assert page.locator(".funnel h3").all_text_contents()[:2] == ["Inputs4", "Clips5"]
    assert page.locator(".failures td").all_text_contents()[1] == "not video"
    least = plot.get_by_label("duration, s, at least")
    assert least.first.get_attribute("aria-valuenow") == "0.9"
    plot.locator("input").first.fill("0.3")
    plot.locator("input").first.press("Enter")
    after = page.locator("[data-kept]")
    after.wait_for()
    assert (after.text_content(), page.locator(".by").text_content()) == ("3", "+1")
    assert "too short 1 → 0" in page.locator(".preview").inner_text()
    assert kept(page, site) == 2, "nothing is stored"
    plot.locator("[role=slider]").first.focus()
    page.keyboard.press("Delete")
    until(page, "document.querySelector('.plot[data-value=duration_s] input').value === ''")
    plot.locator("input").nth(1).fill("0.7")
    plot.locator("input").nth(1).press("Enter")
    until(page, "document.querySelector('.by')?.textContent === '−1'")
    assert after.text_content() == "1"
    page.get_by_role("button", name="Make this selection").click()
    ended(page, "done")
    assert page.locator(".bar-of-step").get_attribute("aria-valuetext") == "5 of 5"
    assert "kept" in page.locator(".log").inner_text()
    assert page.locator(".events b").all_text_contents() == ["queued", "started", "done"]
    assert kept(page, site) == 1, "as it was foretold"
    page.get_by_role("link", name="Look at the collection").click()
    until(page, "document.querySelector('.totals')?.innerText.includes('Kept\\n1')")


def test_a_bound_is_dragged(look, site):
    page = look(f"{site.url}/?view=overview&c=drive")
    handle = page.locator(".plot[data-value=duration_s] .knob").first
    handle.scroll_into_view_if_needed()
    box = handle.bounding_box()
    x, y = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
    page.mouse.move(x, y)
    page.mouse.down()
    page.mouse.move(x - 400, y, steps=4)  # off the axis: no bound at all
    page.mouse.up()
    until(page, "document.querySelector('.by')?.textContent === '+1'")
    page.get_by_role("button", name="Reset").click()
    page.locator(".preview").wait_for(state="hidden")
    assert page.locator(".plot[data-value=duration_s] input").first.input_value() == "0.9"


def test_what_was_found_is_exported_as_a_dataset(look, site, server):
    page = look(f"{site.url}/?c=drive&is.verdict=kept")
    counted(page, 2)
    page.get_by_role("button", name="Export as dataset").click()
    page.get_by_label("Name", exact=True).fill("two clips")
    page.get_by_role("button", name="Export", exact=True).click()
    assert page.locator("dialog.sheet input[name=name]:invalid").count() == 1, "no blanks"
    page.get_by_label("Name", exact=True).fill("two-clips")
    page.get_by_role("button", name="Export", exact=True).click()
    ended(page, "done")
    page.locator(".files a").first.wait_for()
    names = page.locator(".files a").all_text_contents()
    shard = next(name for name in names if name.endswith(".tar"))
    with page.expect_download() as fetched:
        page.get_by_role("link", name=shard).click()
    assert fetched.value.path().stat().st_size > 0
    (job,) = server.jobs(state="done", limit=1)
    assert (job["kind"], job["steps"][-1]["counts"]) == ("export", {"exported": 2})


def test_a_job_is_planned_submitted_watched_and_cancelled(look, site, server):
    page = look(f"{site.url}/?view=submit&c=drive")
    until(page, "document.querySelector('[name=inputs]')?.value === 'videos'")
    page.get_by_label("Collection").last.fill("again")
    page.get_by_label("Settings").fill("motion.min = much")
    page.get_by_role("button", name="What would it do?").click()
    page.locator(".submit .wrong", has_text="motion.min").wait_for()
    page.get_by_label("Settings").fill("motion.min = 0.02")
    page.get_by_role("button", name="What would it do?").click()
    page.locator(".plan .command", has_text="policy.limits.motion.min=0.02").or_(
        page.locator(".plan .command", has_text="motion.min=0.02")
    ).wait_for()
    assert "4 new inputs" in page.locator(".plan").inner_text()
    page.get_by_role("button", name="Submit").click()
    ended(page, "running")
    page.get_by_role("button", name="Cancel …").click()
    page.get_by_label("Why").fill("<i>wrong</i> folder")
    page.get_by_role("button", name="Cancel the job").click()
    ended(page, "cancelled")
    assert page.locator(".notice").text_content() == "Cancelled by local: <i>wrong</i> folder"
    page.get_by_role("link", name="← All jobs").click()
    first = page.locator(".job").first
    first.wait_for()
    assert first.locator(".state").get_attribute("data-state") == "cancelled"
    assert server.jobs(limit=1)[0]["cancel_reason"] == "<i>wrong</i> folder"
