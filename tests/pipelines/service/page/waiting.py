"""Waiting for a page: asked from outside, as its policy lets nobody evaluate text inside."""

import time
from urllib.parse import parse_qs, urlsplit

MOST_S = 30.0


def until(page, expression: str, most_s: float = MOST_S) -> None:
    """Waits until an expression holds."""
    ends = time.monotonic() + most_s
    while not page.evaluate(expression):
        assert time.monotonic() < ends, f"{expression}: {page.inner_text('main')[:2000]}"
        page.wait_for_timeout(50)


def counted(page, number: int) -> None:
    """Waits until so many clips are shown."""
    until(
        page,
        f"!document.querySelector('.grid.waits')"
        f" && document.querySelectorAll('.tile').length === {number}",
    )


def settled(page) -> None:
    """Waits until no search is under way."""
    until(page, "!document.querySelector('.grid.waits')")


def place(page) -> dict[str, list[str]]:
    """What stands in the address."""
    return parse_qs(urlsplit(page.url).query)
