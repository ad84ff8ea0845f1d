"""Searching in a browser."""

import re

import pytest

from tests.pipelines.service.page.waiting import counted, place, settled, until

pytestmark = pytest.mark.browser

TILES = ".tile"


def ids(page) -> list[str]:
    settled(page)
    return page.eval_on_selector_all(TILES, "tiles => tiles.map(tile => tile.dataset.clip)")


def test_words_find_clips_and_stand_in_the_address(page):
    counted(page, 3)
    assert page.locator(".score").count() == 0, "a list of all has no order to score"
    page.keyboard.press("/")
    page.keyboard.type("clip")
    page.wait_for_selector("mark")
    assert place(page)["q"] == ["clip"]
    assert set(page.locator("mark").all_text_contents()) == {"clip"}
    assert float(page.locator(".score b").first.text_content()) > 0
    page.go_back()
    counted(page, 3)
    assert page.locator("input[type=search]").input_value() == ""


def test_filters_narrow_and_can_be_taken_back(page):
    page.get_by_role("checkbox", name="kept").check()
    counted(page, 2)
    assert place(page)["is.verdict"] == ["kept"]
    assert page.locator(".verdict").all_text_contents() == ["kept", "kept"]
    page.reload()
    counted(page, 2)
    assert page.get_by_role("checkbox", name="kept").is_checked()
    page.get_by_role("button", name="Without verdict kept").click()
    counted(page, 3)
    page.get_by_label("Condition").fill("duration_s < 0.9")
    page.get_by_label("Condition").press("Enter")
    counted(page, 1)
    assert page.locator(".verdict").text_content() == "filtered: too short"


def test_near_duplicates_are_hidden_until_asked_for(page):
    counted(page, 3)
    assert "2 near-duplicates hidden" in page.locator(".found").text_content()
    page.get_by_label("Hide duplicates").uncheck()
    counted(page, 5)
    assert place(page)["all"] == ["1"]
    assert page.locator(".verdict", has_text="duplicate of").count() == 2


def test_nothing_found_and_a_wrong_condition_say_so(page, site):
    page.goto(f"{site.url}/?c=drive&in.duration_s=900..")
    page.get_by_text("Nothing in this collection passes all filters.").wait_for()
    page.goto(f"{site.url}/?c=drive&if=%3Cimg src%3Dx onerror%3Dalert(1)%3E")
    said = page.locator(".results .wrong")
    said.wait_for()
    assert "<img src=x onerror=alert(1)>" in said.text_content(), "shown as it was written"
    assert page.locator("main img[src=x]").count() == 0
    page.get_by_role("link", name="Clips").click()
    counted(page, 3)
    assert said.is_hidden()


def test_clips_are_kept_dropped_and_taken_back_with_keys(page):
    counted(page, 3)
    first, second, _ = ids(page)
    page.locator("a.open").first.focus()
    page.keyboard.press("x")
    page.get_by_text("dropped by hand").wait_for()
    assert page.evaluate("document.activeElement.closest('li').dataset.clip") == second
    page.keyboard.press("k")
    page.get_by_text("kept by hand", exact=True).wait_for()
    page.get_by_text("2 by hand").wait_for()
    page.keyboard.press("u")
    page.get_by_text("kept by hand", exact=True).wait_for(state="hidden")
    page.reload()
    page.locator(f"{TILES}[data-clip='{first}'] .review", has_text="dropped by hand").wait_for()
    page.locator(f"{TILES}[data-clip='{first}'] a.open").click()
    drop = page.get_by_role("button", name="Drop")
    until(page, "document.querySelector('dialog .choices [aria-pressed=true]')")
    drop.click()
    until(page, "!document.querySelector('dialog .choices [aria-pressed=true]')")
    page.keyboard.press("Escape")
    page.locator(f"{TILES}[data-clip='{first}'] .review").wait_for(state="hidden")


def test_what_is_taken_back_at_once_is_that_decision(page):
    """Both keys in one turn of the browser, before the server can have answered."""
    counted(page, 3)
    first, second, _ = ids(page)
    mark = f"{TILES}[data-clip='{{}}'] .review"
    page.locator("a.open").first.focus()
    page.keyboard.press("x")
    page.locator(mark.format(first), has_text="dropped by hand").wait_for()
    page.locator("a.open").nth(1).evaluate(
        "(tile) => { for (const key of 'kuk')"
        " tile.dispatchEvent(new KeyboardEvent('keydown', { key, bubbles: true })); }"
    )
    page.locator(mark.format(second), has_text="kept by hand").wait_for()
    assert page.locator(mark.format(first)).text_content() == "dropped by hand"
    for _ in range(2):
        page.keyboard.press("u")
    page.locator(mark.format(first)).wait_for(state="hidden")


def test_a_clip_plays_under_the_pointer(page):
    ranges = []
    page.on("response", lambda answer: ranges.append((answer.url, answer.status)))
    tile = page.locator(TILES, has_text="kept").first
    tile.hover()
    until(page, "document.querySelector('.frame video')?.currentTime > 0.1")
    clip = tile.get_attribute("data-clip")
    assert [status for url, status in ranges if f"{clip}/video" in url] == [206]
    page.locator("input[type=search]").hover()
    page.wait_for_selector(".frame video", state="detached")


def test_nothing_moves_for_who_wants_none_of_it(look, site):
    page = look(f"{site.url}/?c=drive", reduced_motion="reduce")
    page.locator(TILES).first.hover()
    page.wait_for_timeout(700)
    assert page.locator(".frame video").count() == 0
    page.locator("a.open").first.focus()
    page.keyboard.press("Space")
    page.wait_for_selector(".frame video")


def test_more_and_less_like_a_clip(page):
    tile = page.locator(TILES, has_text="kept").first
    clip = tile.get_attribute("data-clip")
    tile.hover()
    tile.get_by_role("button", name="More like this").click()
    page.wait_for_selector(".chip.like")
    page.wait_for_selector(".score")
    assert place(page)["like"] == [clip]
    alike = ids(page)
    assert alike
    assert clip not in alike
    scores = [float(text) for text in page.locator(".score b").all_text_contents()]
    assert scores == sorted(scores, reverse=True)
    page.locator(TILES).last.hover()
    page.locator(TILES).last.get_by_role("button", name="Less of this").click()
    page.wait_for_selector(".chip.minus")
    assert place(page)["minus"] == [alike[-1]]
    page.get_by_role("button", name=f"Without more like clip {clip[:8]}").click()
    page.wait_for_selector(".chip", state="hidden")
    assert "minus" not in place(page), "less of something needs something wanted"


def test_a_picture_is_searched_by_when_it_is_chosen_and_when_it_is_dropped(page, site):
    clip = ids(page)[0]
    picture = page.request.get(f"{site.url}/v1/collections/drive/clips/{clip}/thumbnail").body()
    with page.expect_file_chooser() as choosing:
        page.get_by_role("button", name="Search by a picture").click()
    choosing.value.set_files({"name": "a.jpg", "mimeType": "image/jpeg", "buffer": picture})
    page.wait_for_selector(".chip.example >> text=like this picture")
    page.wait_for_selector(".score")
    first = ids(page)
    page.get_by_role("button", name="Without the picture").click()
    page.wait_for_selector(".chip", state="hidden")
    page.evaluate(
        """async (clip) => {
          const answer = await fetch(`/v1/collections/drive/clips/${clip}/thumbnail`);
          const data = new DataTransfer();
          data.items.add(new File([await answer.blob()], "b.jpg", { type: "image/jpeg" }));
          for (const type of ["dragenter", "dragover", "drop"]) {
            const options = { dataTransfer: data, bubbles: true, cancelable: true };
            document.body.dispatchEvent(new DragEvent(type, options));
          }
        }""",
        clip,
    )
    page.wait_for_selector(".chip.example >> text=like this picture")
    page.wait_for_selector(".score")
    assert ids(page) == first
    page.reload()
    counted(page, 3)
    assert "picture" not in place(page), "it was never stored"


def test_a_clip_is_opened_and_sought_in_its_source(page):
    counted(page, 3)
    page.get_by_role("checkbox", name="kept").check()
    counted(page, 2)
    page.keyboard.press("/")
    page.keyboard.press("ArrowDown")
    page.keyboard.press("ArrowRight")
    page.keyboard.press("Enter")
    page.wait_for_selector(".strip li")
    assert place(page)["clip"] == [ids(page)[1]]
    assert page.locator(".strip li").count() == 2
    words = page.locator("dialog.clip header .num").text_content()
    start_s = float(re.match(r"00:(\d\d\.\d)", words)[1])
    page.get_by_role("button", name="Seek to it in the source").click()
    until(
        page,
        "document.querySelector('.stage video').readyState > 1"
        " && document.querySelector('.stage video').src.includes('/sources/')",
    )
    assert page.evaluate("document.querySelector('.stage video').currentTime") >= start_s
    page.keyboard.press("Escape")
    page.wait_for_selector("dialog.clip", state="hidden")
    until(page, "!location.search.includes('clip=')")
    second = ids(page)[1]  # back where one was
    until(page, f"document.activeElement.closest('.tile')?.dataset.clip === '{second}'")


def test_a_search_is_saved_under_a_name(page):
    page.get_by_role("checkbox", name="kept").check()
    counted(page, 2)
    page.get_by_role("button", name="Saved searches").click()
    page.get_by_label("Name of this search").fill("<b>mine</b>")
    page.get_by_role("button", name="Save", exact=True).click()
    page.get_by_role("link", name="<b>mine</b>").wait_for()
    page.keyboard.press("Escape")
    page.get_by_role("link", name="Clips").click()
    counted(page, 3)
    page.reload()
    counted(page, 3)
    page.get_by_role("button", name="Saved searches").click()
    page.get_by_role("link", name="<b>mine</b>").click()
    counted(page, 2)


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_every_view_fits_a_narrow_screen(look, site, scheme):
    page = look(f"{site.url}/", viewport={"width": 390, "height": 844}, color_scheme=scheme)
    page.wait_for_selector(TILES)
    shade = page.evaluate("getComputedStyle(document.body).backgroundColor")
    assert (int(re.findall(r"\d+", shade)[0]) < 60) == (scheme == "dark")
    for view, ready in (
        ("clips", TILES), ("overview", ".plot"), ("jobs", ".jobs"), ("submit", ".submit"),
        ("__proto__", TILES),
    ):  # fmt: skip
        page.goto(f"{site.url}/?view={view}&c=drive")
        page.wait_for_selector(ready, state="attached")
        assert page.evaluate("document.documentElement.scrollWidth") <= 390, view
