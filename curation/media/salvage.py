"""The part of a damaged source that precedes the first damage."""

from __future__ import annotations

import os
from dataclasses import dataclass

from curation.errors import MediaError
from curation.media import sandbox
from curation.media.confinement import FileAccess
from curation.media.probe import MediaInfo


@dataclass(frozen=True, slots=True)
class SalvageResult:
    """The good part of a damaged source."""

    end_packet: int
    """The first packet of the stream that is not decoded."""
    error: MediaError | None = None
    """What is wrong from there on; None if an earlier scan salvaged it."""

    @classmethod
    def from_end_packet(cls, end_packet: int | None) -> SalvageResult | None:
        """What an earlier scan salvaged, if anything."""
        return None if end_packet is None else cls(end_packet)

    def __str__(self) -> str:
        return f"packet {self.end_packet}: {self.error}"


def salvage(path: str, info: MediaInfo, limits: sandbox.Limits, error: MediaError) -> SalvageResult:
    """Decodes packet by packet up to the first damage.

    Raises `error` itself if nothing precedes it, or if no packet shows where it is.
    """
    selection = info.packet_selection()
    request = {
        "path": os.path.abspath(path),
        "options": selection.demuxer_options(limits),
        "stream": info.stream_index,
        "first_packet": selection.skipped,
        "max_pixels": str(limits.max_pixels),
    }
    try:
        files = FileAccess(reads=(path,))
        good = sandbox.run_child("salvage_child.py", request, limits, files=files)
    except sandbox.ChildFailedError:
        raise error from None
    not_located = error.reason == "corrupt" and good["packets"] >= info.packets.count
    if not good["frames"] or not_located:
        raise error
    return SalvageResult(good["packets"], error)
