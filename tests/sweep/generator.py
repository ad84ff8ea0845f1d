"""Writes one small video by a recipe, with its ground truth.

Raw pictures with exact timestamps go through a NUT file into ffmpeg; what no muxer would write
(equal timestamps, missing indexes, a second stream appended) is done to the bytes afterwards.
"""

from __future__ import annotations

import math
import subprocess
import tempfile
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from fractions import Fraction
from itertools import pairwise
from pathlib import Path

import av
import numpy as np

from curation.media.ffmpeg_command import ffmpeg_path
from tests.sweep import pictures
from tests.sweep.pictures import Coding, Floats

MILLISECOND = Fraction(1, 1000)
BT601 = Coding("bt601")
FORMATS = {(8, True): "rgb24", (8, False): "yuv444p", (10, False): "yuv444p10le"}


def constant(count: int, rate: Fraction | int = 25) -> tuple[Fraction, ...]:
    """Starts of `count` frames and the end of the last, in seconds."""
    return tuple(n / Fraction(rate) for n in range(count + 1))


def variable(count: int) -> tuple[Fraction, ...]:
    """Frames of 20 to 100 ms, in whole steps of 20 ms, with a long one now and then."""
    steps = (40, 20, 60, 40, 80, 20, 40, 100, 20, 40)
    times = np.cumsum([0, *(steps[n % len(steps)] for n in range(count))])
    return tuple(int(t) * MILLISECOND for t in times)


def dropped(count: int) -> tuple[Fraction, ...]:
    """25 frames a second of which every seventh is missing: times are multiples of 40 ms."""
    places = [n for n in range(2 * count) if n % 7 != 5][: count + 1]
    return tuple(Fraction(n, 25) for n in places)


@dataclass(frozen=True)
class Truth:
    """The ground truth of a file; times are seconds from its first frame."""

    numbers: tuple[int, ...]
    """The number that each frame carries, in order."""
    starts: tuple[float, ...]
    """When each frame is shown."""
    duration_s: float
    tolerance_s: float = 0.041
    """How far a start may be off, and twice that the duration."""
    duration_tolerance_s: float | None = None
    """The same for the duration alone, if it is another."""
    sound: tuple[float, float] | None = None
    """When the sound begins and ends; None without."""
    sound_shift_s: float = 0.0
    """Where in the sound's own seconds the first frame lies."""
    patches: Floats | None = None
    """RGB of the ten patches by the stated rule; None where colours are not looked at."""
    patch_tolerance: float = 8.0
    repaired: bool = False
    """Whether a time in the file is wrong, so that a neighbour of a frame may be nearest."""
    breaks: tuple[int, ...] = ()
    """Frames at which time jumps: no clip holds one inside, and starts after it may be any."""
    break_slack: int = 0
    """How many frames later a jump may be found, where frames have no times of their own."""
    may_refuse: dict[str, str] = field(default_factory=dict)
    """Reasons with which the file may be refused, and why that is right."""
    must_refuse: bool = False
    turned: str = ""
    """`vflip` where the pictures are shown upside down."""
    width: int = 256
    height: int = 144
    fps: float | None = None
    """Frames a second where that is stated by the stream."""
    ends_anywhere: bool = False
    """Whether nothing in such a file says where it should end, so that a loss cannot be told."""
    may_lose: int = 0
    """How many frames at the end may be missing if the row says so."""


@dataclass(frozen=True)
class Recipe:
    """What is written; the container follows from the suffix."""

    suffix: str = ".mp4"
    video: tuple[str, ...] = ("-c:v", "libx264", "-preset", "ultrafast", "-crf", "10")
    """Options of the video encoder."""
    times: tuple[Fraction, ...] = constant(60)
    sound: tuple[str, ...] | None = None
    """Options of the audio encoder; None without sound."""
    sound_from_s: float = 0.0
    sound_to_s: float | None = None
    """Where the sound begins and ends; None for the end of the pictures."""
    coding: Coding = BT601
    """How RGB becomes luma and chroma."""
    pixels: str = "yuv420p"
    """Pixel format that is encoded."""
    tags: str = ""
    """Arguments of the `setparams` filter; empty for none."""
    filters: str = ""
    """Further filters on what is encoded."""
    size: tuple[int, int] = (256, 144)
    turn: Callable[[np.ndarray], np.ndarray] | None = None
    """Applied to each plane before it is coded."""
    output: tuple[str, ...] = ()
    """Options of the muxer."""
    remux: tuple[str, ...] | None = None
    """Options of a second, copying pass; the last ones stand before the input if after `|`."""
    remux_suffix: str | None = None
    """Container of the second pass, if it is another."""
    first: int = 0
    """Number of the first frame."""
    byte_edits: tuple[Callable[[Path], None], ...] = ()
    """Applied to the written file."""

    @property
    def tick(self) -> Fraction:
        """The longest unit in which all times are whole."""
        steps = [b - a for a, b in pairwise(self.times)]
        common = math.lcm(*(step.denominator for step in steps))
        return Fraction(math.gcd(*(int(step * common) for step in steps)), common)


def ffmpeg(*arguments: object) -> None:
    """Runs the ffmpeg program; `RuntimeError` with its message if it fails."""
    head = [ffmpeg_path(), "-v", "error", "-nostdin", "-y"]
    result = subprocess.run([*head, *map(str, arguments)], capture_output=True, check=False)
    if result.returncode:
        raise RuntimeError(f"{arguments}: {result.stderr.decode(errors='replace')[-600:]}")


def write_raw(path: Path, recipe: Recipe) -> None:
    """Writes the raw pictures with their times as NUT."""
    width, height = recipe.size
    coding = recipe.coding
    ticks = [int(t * 90_000) for t in recipe.times]
    with av.open(str(path), "w", format="nut") as sink:
        stream = sink.add_stream("rawvideo", rate=1 / recipe.tick)
        stream.width, stream.height = width, height
        if recipe.turn is not None:
            blank = np.zeros((height, width))
            stream.height, stream.width = recipe.turn(blank).shape
        stream.pix_fmt = FORMATS[coding.bits, coding.matrix is None]
        stream.time_base = stream.codec_context.time_base = Fraction(1, 90_000)
        for number, (start, end) in enumerate(pairwise(ticks), recipe.first):
            packet = av.Packet(_bytes(number, recipe).tobytes())
            packet.stream, packet.time_base = stream, Fraction(1, 90_000)
            packet.pts = packet.dts = start
            packet.duration, packet.is_keyframe = end - start, True
            sink.mux(packet)


def _bytes(number: int, recipe: Recipe) -> np.ndarray:
    width, height = recipe.size
    data = pictures.raw(number, width, height, recipe.coding)
    if recipe.turn is None:
        return data
    if recipe.coding.matrix is None:
        return np.ascontiguousarray(recipe.turn(data.reshape(height, width, 3))).reshape(-1)
    kind = np.uint8 if recipe.coding.bits == 8 else np.uint16
    planes = data.view(kind).reshape(3, height, width)
    return np.concatenate([recipe.turn(p).reshape(-1) for p in planes]).view(np.uint8)


def write(path: Path, recipe: Recipe) -> Path:
    """Writes the file and returns its path, which gets the recipe's suffix."""
    ends_s = float(recipe.times[-1])
    with tempfile.TemporaryDirectory(prefix="sweep-") as folder:
        raw, wav = Path(folder, "raw.nut"), Path(folder, "sound.wav")
        write_raw(raw, recipe)
        inputs: list[object] = ["-i", raw]
        maps: list[object] = ["-map", "0:v"]
        if recipe.sound is not None:
            to_s = ends_s if recipe.sound_to_s is None else recipe.sound_to_s
            pictures.write_sound(wav, recipe.sound_from_s, to_s)
            inputs += ["-itsoffset", f"{recipe.sound_from_s:.6f}", "-i", wav]
            maps += ["-map", "1:a", *recipe.sound]
        filters = ",".join(
            part for part in (
                recipe.filters, f"format={recipe.pixels}",
                f"setparams={recipe.tags}" if recipe.tags else "",
            ) if part
        )  # fmt: skip
        target = path.with_name(path.name + recipe.suffix)
        first = Path(folder, "once" + recipe.suffix) if recipe.remux is not None else target
        ffmpeg(
            *inputs, *maps, "-vf", filters, "-flags:v", "+bitexact", *recipe.video,
            "-fps_mode", "passthrough", "-enc_time_base:v", recipe.tick, "-threads", 1,
            "-fflags", "+bitexact", *recipe.output, first,
        )  # fmt: skip
        if recipe.remux is not None:
            target = path.with_name(path.name + (recipe.remux_suffix or recipe.suffix))
            options = recipe.remux
            cut = options.index("|") if "|" in options else len(options)
            ffmpeg(
                *options[cut + 1 :], "-i", first, "-map", 0, "-c", "copy", *options[:cut], target
            )
    for edit in recipe.byte_edits:
        edit(target)
    return target


def truth_of(recipe: Recipe, rule: Coding | None = None, **overrides: object) -> Truth:
    """What is true of the recipe's file: its times as they are, colours read by `rule`."""
    times = [float(t - recipe.times[0]) for t in recipe.times]
    count = len(times) - 1
    colours = np.array(pictures.PATCHES, np.float64)
    if recipe.coding.matrix is not None:
        stored = np.round(pictures.to_yuv(colours, recipe.coding))
        colours = pictures.to_rgb(stored, rule or recipe.coding)
    sound = None
    if recipe.sound is not None:
        to_s = times[-1] if recipe.sound_to_s is None else recipe.sound_to_s
        sound = (recipe.sound_from_s, to_s)
    width, height = recipe.size
    if "h263" in recipe.video:
        width = round(width * 12 / 11)  # the shape of its pixels is not square
    steps = {b - a for a, b in pairwise(recipe.times)}
    truth = Truth(
        fps=float(1 / steps.pop()) if count > 2 and len(steps) == 1 else None,
        numbers=tuple(range(recipe.first, recipe.first + count)),
        starts=tuple(times[:-1]),
        duration_s=times[-1],
        sound=sound,
        patches=colours,
        width=width,
        height=height,
    )
    return replace(truth, **overrides)  # type: ignore[arg-type]
