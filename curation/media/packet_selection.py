"""How the stream of one source is decoded: the same packets each time, and what counts as damage.

Decoding begins at the first key frame. Packets before it, and pictures right after it that refer
back to them, are left out by their number: a broadcast that was recorded from the middle of a group
of pictures starts like that. Everything after has to decode without an error. Two kinds of error
are none: packets that the demuxer calls damaged where no picture is (see `probe_child`), and, in
H.264 that begins in the middle, orders to drop reference frames from before the beginning.
"""

from __future__ import annotations

from dataclasses import dataclass

from curation.media import allowlist, sandbox

_HARMLESS = ("mmco: unref short failure", "co located POCs unavailable")
"""What libavcodec says of references to frames from before the beginning."""


@dataclass(frozen=True, slots=True)
class Decoding:
    """Which packets of which stream."""

    stream_index: int
    skipped: int = 0
    """Packets before the first key frame."""
    leading: int = 0
    """Packets right after it that are shown before it."""
    excused: int = 0
    """Packets that the demuxer calls damaged where no picture is."""
    end_packet: int | None = None
    """The first packet that is not decoded any more, because of damage; None for all to the end."""

    midway: bool = False
    """Whether the file is cut out of a longer stream, whose damage was looked for there."""

    @property
    def strict(self) -> bool:
        """Whether the decoder stops at the first thing that looks like damage."""
        return not (self.excused or self._begins_midway or self.end_packet is not None)

    @property
    def _begins_midway(self) -> bool:
        return self.midway or self.skipped > 0

    def options(self, limits: sandbox.Limits, *, seeks: bool = False) -> dict[str, str]:
        """Input options for ffmpeg: allow-lists, one thread, which packets, and what is damage.

        Packets are left out by number, which is unknown after a seek. A filter graph is made once
        and goes on when colour tags or pixel formats change midway.
        """
        checks = "crccheck+bitstream+buffer" + ("+explode" if not self._begins_midway else "")
        left_out = "" if seeks else self._left_out()
        return {
            **self.demuxer_options(limits),
            "threads": "1",
            "err_detect": checks,
            "reinit_filter": "0",
            **({"bsf:v": f"noise=drop='{left_out}'"} if left_out else {}),
        }

    def demuxer_options(self, limits: sandbox.Limits) -> dict[str, str]:
        """The same for PyAV, which takes a demuxer's options alone."""
        return {**allowlist.input_options(), "max_pixels": str(limits.max_pixels)}

    def _left_out(self) -> str:
        """The condition on a packet's number `n` for which it is dropped."""
        parts = [f"lt(n,{self.skipped})"] if self.skipped else []
        if self.leading:
            parts.append(f"between(n,{self.skipped + 1},{self.skipped + self.leading})")
        if self.end_packet is not None:
            parts.append(f"gte(n,{self.end_packet})")
        return "+".join(parts)

    def excuses(self, words: str) -> bool:
        """Whether an error that the decoder reports is none."""
        harmless = self._begins_midway and words.startswith(_HARMLESS)
        return harmless or self.end_packet is not None
