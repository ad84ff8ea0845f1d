"""What of a damaged source lies before the first damage."""

from __future__ import annotations

import json
import os
import sys
from dataclasses import dataclass
from pathlib import Path

from curation.errors import MediaError
from curation.media import sandbox
from curation.media.probe import Facts

_CHILD = Path(__file__).with_name("salvage_child.py")


@dataclass(frozen=True, slots=True)
class Salvaged:
    """The good part of a damaged source."""

    end_packet: int
    """The first packet of the stream that is left out."""
    error: MediaError | None = None
    """What is wrong from there on; None where an earlier scan found it."""

    @classmethod
    def until(cls, end_packet: int | None) -> Salvaged | None:
        """What an earlier scan salvaged, if it did."""
        return None if end_packet is None else cls(end_packet)

    def __str__(self) -> str:
        return f"packet {self.end_packet}: {self.error}"


def salvage(path: str, facts: Facts, limits: sandbox.Limits, error: MediaError) -> Salvaged:
    """Decodes up to the first damage, one packet after the other.

    Raises the error itself if nothing lies before it, or if no packet shows where it is.
    """
    decoding = facts.decoding()
    order = {
        "path": os.path.abspath(path),
        "options": decoding.demuxer_options(limits),
        "stream": facts.stream_index,
        "first": decoding.skipped,
        "max_pixels": str(limits.max_pixels),
    }
    try:
        out, _ = sandbox.run([sys.executable, "-I", str(_CHILD), json.dumps(order)], limits)
    except sandbox.ChildFailedError:
        raise error from None
    good = json.loads(out)
    nowhere = error.reason == "corrupt" and good["packets"] >= facts.packets.count
    if not good["frames"] or nowhere:
        raise error
    return Salvaged(good["packets"], error)
