"""Which packets of a source are decoded, always the same ones, and what counts as damage.

Decoding starts at the first key frame. Packets before it, and pictures right after it that refer
back to them, are dropped by index: a broadcast recorded from the middle of a group of pictures
starts like that. Everything after has to decode without an error. Two kinds of error are ignored:
packets that the demuxer calls damaged where no picture is (see `probe_child`), and, in H.264 that
starts midway, orders to drop reference frames from before the start.
"""

from __future__ import annotations

from dataclasses import dataclass

from curation.media import allowlist, sandbox

_HARMLESS = ("mmco: unref short failure", "co located POCs unavailable")
"""libavcodec's messages about references to frames from before the start."""


@dataclass(frozen=True, slots=True)
class PacketSelection:
    """Which packets of which stream."""

    stream_index: int
    skipped: int = 0
    """Packets before the first key frame."""
    leading: int = 0
    """Packets right after it that are shown before it."""
    excused: int = 0
    """Packets that the demuxer calls damaged where no picture is."""
    end_packet: int | None = None
    """The first packet that is not decoded because of damage; None for all to the end."""

    is_excerpt: bool = False
    """Whether the file is cut out of a longer stream that was checked for damage already."""

    @property
    def strict(self) -> bool:
        """Whether the decoder stops at the first error."""
        return not (self.excused or self._starts_midway or self.end_packet is not None)

    @property
    def _starts_midway(self) -> bool:
        return self.is_excerpt or self.skipped > 0

    def options(self, limits: sandbox.Limits, *, seeks: bool = False) -> dict[str, str]:
        """Input options for ffmpeg: allow-lists, one thread, which packets, and what is damage.

        Packets are dropped by index, which is unknown after a seek. The filter graph is kept when
        colour tags or pixel formats change midway.
        """
        dropped = "" if seeks else self._dropped()
        return {
            **self.demuxer_options(limits),
            "threads": "1",
            "err_detect": "crccheck+bitstream+buffer" + ("" if self._starts_midway else "+explode"),
            "reinit_filter": "0",
            **({"bsf:v": f"noise=drop='{dropped}'"} if dropped else {}),
        }

    def demuxer_options(self, limits: sandbox.Limits) -> dict[str, str]:
        """The same for PyAV, which takes options of a demuxer only."""
        return {**allowlist.input_options(), "max_pixels": str(limits.max_pixels)}

    def _dropped(self) -> str:
        """The condition on a packet's index `n` for which it is dropped."""
        conditions = [f"lt(n,{self.skipped})"] if self.skipped else []
        if self.leading:
            conditions.append(f"between(n,{self.skipped + 1},{self.skipped + self.leading})")
        if self.end_packet is not None:
            conditions.append(f"gte(n,{self.end_packet})")
        return "+".join(conditions)

    def is_harmless(self, message: str) -> bool:
        """Whether a decoder's error message is no damage."""
        harmless = self._starts_midway and message.startswith(_HARMLESS)
        return harmless or self.end_packet is not None
