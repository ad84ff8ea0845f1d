"""Times by which rows are ordered, although clocks are set back.

Of two rows the newer one counts. If the clock was a day ahead when the first was written and is
right again, the second has to be the newer one all the same.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterable
from datetime import datetime, timedelta, timezone


def time_after(stored: Iterable[str | None], timespec: str, default: str | None = None) -> str:
    """The time now, or the default; just after the newest stored one if that lies ahead of now.

    All are in ISO format in UTC; `timespec` is that of `datetime.isoformat`.
    """
    now = datetime.now(timezone.utc)
    newest = now
    for text in filter(None, stored):
        with contextlib.suppress(ValueError, TypeError):
            newest = max(newest, datetime.fromisoformat(text))
    if newest > now:
        return (newest + timedelta(**{timespec: 1})).isoformat(timespec=timespec)
    return default or now.isoformat(timespec=timespec)
