"""The sound of a source, decoded once: how loud each moment is, and its samples for who wants them.

A confined ffmpeg child measures momentary loudness on all channels of the first sound track
(EBU R128, ITU-R BS.1770-5) and mixes them down to 16 kHz mono. Both are counted from the first
frame's time; where the track begins later or has a gap, there is silence. Damage in the sound is no
verdict on the pictures: what could be decoded counts, and a track without any counts as none.
Cost: about 5 ms of CPU for a second of stereo.
"""

from __future__ import annotations

import contextlib
import os
import re
from collections.abc import Callable
from dataclasses import dataclass, field

import ffmpeg
import numpy as np
import numpy.typing as npt

from curation.errors import MediaError
from curation.media import allowlist, pipes, sandbox
from curation.media.probe import Facts
from curation.media.segments import Stretch, sound_clock

RATE = 16_000
"""Samples a second that are handed over."""
PIECE = 512 * 512
"""Samples of a piece that is handed over; the last may be shorter. About 16 s."""
TENTHS = 10
"""Values of loudness a second."""
_LEAST_LUFS = -120.0
_MOMENT = re.compile(r"pts_time:(-?[\d.]+)\s+lavfi\.r128\.M=(-?[\d.]+)")

Samples = npt.NDArray[np.float32]
"""Mono sound at 16 kHz, −1 to 1, shape [n]."""


@dataclass(frozen=True)
class Sound:
    """How loud a source is."""

    momentary: npt.NDArray[np.float64]
    """Loudness in LUFS of the 0.4 s that end a tenth of a second after each tenth, from the first
    frame on; NaN where there is none."""


def listen(
    path: str,
    facts: Facts,
    limits: sandbox.Limits,
    stretches: tuple[Stretch, ...],
    on_samples: Callable[[Samples], None] | None = None,
) -> Sound | None:
    """Decodes the first sound track once; None without one that can be decoded.

    Samples and loudness are counted in seconds from the first frame; `stretches` say when the
    container shows that, and where its times restart. Raises `ChildKilledError` if the decoder was
    killed from outside.
    """
    clock = sound_clock(stretches)
    if not facts.audio_streams or facts.audio_codec not in allowlist.AUDIO_CODECS or clock is None:
        return None
    pieces = _Pieces(on_samples)
    with contextlib.ExitStack() as stack:
        with contextlib.ExitStack() as handed_over:
            moments_r, moments_w = pipes.opened(stack, handed_over)
            sound_r, sound_w = pipes.opened(stack, handed_over)
            command = _command(path, limits, clock, moments_w, sound_w)
            process = stack.enter_context(
                sandbox.spawn(command, limits, pass_fds=[moments_w, sound_w])
            )
        assert process.stderr is not None
        moments, log = pipes.Pipe(most=limits.max_frames * 64), pipes.Pipe(most=pipes.LOG_BYTES)
        read = {
            moments_r: moments,
            sound_r: pipes.Pipe(2, pieces.feed),
            process.stderr.fileno(): log,
        }
        try:
            pipes.pump(read, process, limits)
            sandbox.check_exit(process.wait(), log.text(), limits, 0.0)
        except (MediaError, sandbox.ChildFailedError):
            pass  # what came until then counts
    pieces.end()
    return Sound(_momentary(moments.text())) if pieces.heard else None


@dataclass
class _Pieces:
    """Samples cut into pieces of one length."""

    sink: Callable[[Samples], None] | None
    heard: int = 0
    held: bytearray = field(default_factory=bytearray)

    def feed(self, raw: bytes) -> None:
        self.heard += len(raw) // 2
        if self.sink is not None:
            self.held += raw
            while len(self.held) >= 2 * PIECE:
                self._deliver(2 * PIECE)

    def end(self) -> None:
        if self.sink is not None and self.held:
            self._deliver(len(self.held))

    def _deliver(self, count: int) -> None:
        assert self.sink is not None
        levels = np.frombuffer(bytes(self.held[:count]), "<i2")
        del self.held[:count]
        self.sink(np.asarray(levels / np.float32(32768), np.float32))


def _command(
    path: str, limits: sandbox.Limits, clock: str, moments: int, samples: int
) -> list[str]:
    options = {**allowlist.input_options(audio=True), "threads": "1"}
    source = ffmpeg.input("file:" + os.path.abspath(path), vn=None, **options)
    first = source["a:0"].filter("asetpts", clock).filter_multi_output("asplit", 2)
    loud = first[0].filter("ebur128", metadata=1).filter(
        "ametadata", mode="print", key="lavfi.r128.M", file=f"pipe:{moments}"
    )  # fmt: skip
    after = first[1].filter("atrim", start=0)
    # With `first_pts` there is silence up to where a late track begins.
    mono = after.filter("aresample", RATE, ochl="mono", osf="s16", **{"async": 1, "first_pts": 0})
    most_s = limits.max_frames / 10  # a track may outlast its pictures without end
    both = ffmpeg.merge_outputs(
        ffmpeg.output(loud, "-", format="null", t=most_s),
        ffmpeg.output(mono, f"pipe:{samples}", format="s16le", acodec="pcm_s16le", t=most_s),
    )
    head = [allowlist.ffmpeg(), "-hide_banner", "-nostdin", "-nostats", "-v", "error", "-copyts"]
    return [*head, "-filter_complex_threads", "1", *both.get_args()]


def _momentary(text: str) -> npt.NDArray[np.float64]:
    """The values by tenth of a second since the first frame."""
    said = np.array(_MOMENT.findall(text), np.float64).reshape(-1, 2)
    places = np.round(said[:, 0] * TENTHS).astype(np.int64)
    values = np.full(max(0, places.max(initial=-1) + 1), np.nan)
    inside = places >= 0
    values[places[inside]] = np.maximum(said[inside, 1], _LEAST_LUFS)
    return values
