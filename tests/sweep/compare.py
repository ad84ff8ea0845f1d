"""Scans and renders one file as the product does, and compares with its ground truth."""

from __future__ import annotations

import io
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from PIL import Image

from curation import records
from curation.errors import MediaError
from curation.listing import entry_at
from curation.media.encode import Encoding
from curation.media.sandbox import Limits
from curation.records import Clip, Render, Source, Thumbnail
from curation.render.rendered_clip import frame_reader, open_rendered_clip, rendered_clip
from curation.render.stage import RenderBatch, RenderClips
from curation.scan.shots import FixedWindows
from curation.scan.stage import Scan, ScanItem, ScanResult
from curation.storage import Storage
from tests.sweep import oracle
from tests.sweep.case import Case
from tests.sweep.generator import Truth
from tests.sweep.pictures import Floats, heard_seconds, read_number, read_patches

WINDOW_S = 1.56
"""Clips are this long: three groups of 13 pictures at 25 frames a second."""
SOUND_TOLERANCE_S = 0.06


@dataclass
class Outcome:
    """The outcome of one file."""

    verdict: str = "ok"
    """`ok`, `refused` (as stated), `REFUSED` (though it should not be), `FAILED` (scanned, but a
    render failed with a reason) or `WRONG` (something was given, and it is not so)."""
    reason: str = ""
    """Of a refusal."""
    detail: str = ""
    wrong: list[str] = field(default_factory=list)
    """Differences from the ground truth."""
    failed: list[str] = field(default_factory=list)
    """Renders that failed with a reason."""

    def with_verdict(self) -> Outcome:
        """The outcome with the verdict that its lists imply."""
        if self.wrong:
            self.verdict = "WRONG"
        elif self.failed:
            self.verdict = "FAILED"
        return self

    def __str__(self) -> str:
        parts = [*self.wrong, *self.failed]
        detail = f"{self.reason}: {self.detail}" if self.reason else "; ".join(parts)
        return f"{self.verdict} {detail}".rstrip()


def scan(path: Path, window_s: float = WINDOW_S) -> ScanResult:
    """Scans a file, cut into windows."""
    stage = Scan(shots=FixedWindows(window_s), scores=(), embedders=())
    return stage.setup()(ScanItem(entry_at(str(path), {})))


def render(
    source: Source, clips: Sequence[Clip], output: Path, mode: str = "encode", **encoding: object
) -> list[Render]:
    """Renders clips of one source; a render that fails has a row that says so."""
    stage = RenderClips(
        output=str(output), mode=mode,  # type: ignore[arg-type]
        encoding=Encoding(preset="ultrafast", **encoding),  # type: ignore[arg-type]
    )  # fmt: skip
    return stage.setup()(RenderBatch(source, tuple(clips)))


def compare(
    case: Case,
    path: Path,
    window_s: float = WINDOW_S,
    rates: Sequence[float] | None = None,
    plain: bool = True,
) -> Outcome:
    """Compares everything that is stated of one file.

    `rates` are those that clips are rendered at besides their own; without `plain` only at those.
    """
    result, truth, outcome = scan(path, window_s), case.truth, Outcome()
    source = result.source
    if source.outcome != "scanned":
        allowed = source.reason in truth.may_refuse
        outcome.verdict = "refused" if allowed else "REFUSED"
        outcome.reason, outcome.detail = source.reason or "", source.detail or ""
        return outcome
    if truth.must_refuse:
        outcome.wrong.append(f"scanned, though {next(iter(truth.may_refuse.values()))}")
    clips = records.from_table(Clip, result.clips)
    outcome.wrong += scan_faults(source, clips, truth, result)
    if rates is None:
        rates = (10.0 if len(case.name) % 2 else 60.0,) if case.resampled else ()
    with tempfile.TemporaryDirectory(prefix="sweep-") as folder:
        output = Path(folder)
        if plain and (not case.truth.numbers or source.frames == len(case.truth.numbers)):
            _compare_renders(case, source, clips, output, outcome)
        for fps in rates:
            for row, clip in zip(render(source, clips, output, fps=fps), clips, strict=True):
                _compare_resampled(row, fps, clip, source, output, truth, outcome)
    return outcome.with_verdict()


def _compare_renders(
    case: Case, source: Source, clips: Sequence[Clip], output: Path, outcome: Outcome
) -> None:
    """Compares encodes of every clip, with audio if there is any, and copies if requested."""
    audio = "keep" if case.truth.sound is not None else "drop"
    for row, clip in zip(render(source, clips, output, audio=audio), clips, strict=True):
        _compare_render(row, clip, source, output, case.truth, outcome)
    if case.copies:
        for row, clip in zip(render(source, clips, output, "copy"), clips, strict=True):
            if row.mode != "encode":
                _compare_render(row, clip, source, output, case.truth, outcome)


def scan_faults(
    source: Source, clips: Sequence[Clip], truth: Truth, result: ScanResult | None = None
) -> list[str]:
    """Differences between the rows of a source and its clips and the ground truth."""
    wrong = []
    count = len(truth.numbers)
    remarks = source.remarks
    if truth.numbers and source.frames != count:
        lost = count - (source.frames or 0)
        if not 0 < lost <= truth.may_lose:
            wrong.append(f"{source.frames} frames for {count}")
        elif not remarks and not truth.ends_anywhere:
            wrong.append(f"{source.frames} frames for {count}, and the row says nothing of it")
    if truth.breaks and not remarks:
        wrong.append("the row says nothing of the jump of time")
    slack = truth.duration_tolerance_s or 2 * truth.tolerance_s
    if source.frames == count and abs((source.duration_s or 0) - truth.duration_s) > slack:
        wrong.append(f"duration {source.duration_s:.3f} s for {truth.duration_s:.3f} s")
    if (source.width, source.height) != (truth.width, truth.height):
        wrong.append(f"{source.width}x{source.height} for {truth.width}x{truth.height}")
    if truth.fps and abs((source.fps or 0) - truth.fps) > 0.02 * truth.fps:
        wrong.append(f"{source.fps} frames a second for {truth.fps}")
    if source.frames == count:
        wrong += _time_faults(clips, truth)
    if result is not None and truth.patches is not None:
        wrong += _thumbnail_faults(result, truth)
    place = 0
    for clip in clips:
        if clip.start_frame != place:
            wrong.append(f"clips leave frames {place} to {clip.start_frame} out")
        place = clip.end_frame
    if place != source.frames:
        wrong.append(f"clips end at frame {place} of {source.frames}")
    return wrong


def _time_faults(clips: Sequence[Clip], truth: Truth) -> Iterator[str]:
    ends = [*truth.starts[1:], truth.duration_s]
    for clip in clips:
        inside = [b for b in truth.breaks if clip.start_frame < b < clip.end_frame]
        if inside and clip.end_frame - inside[0] > truth.break_slack:
            yield f"clip {clip.start_frame}-{clip.end_frame} holds a break at {inside[0]}"
        after_break = bool(truth.breaks) and clip.end_frame > truth.breaks[0]
        start, end = truth.starts[clip.start_frame], ends[clip.end_frame - 1]
        off = abs(clip.start_s - start)
        if not after_break and off > truth.tolerance_s:
            yield f"frame {clip.start_frame} starts at {clip.start_s:.3f} s for {start:.3f} s"
        length, slack = clip.end_s - clip.start_s, 2 * truth.tolerance_s
        if clip.end_frame == len(truth.starts):
            slack = max(slack, truth.duration_tolerance_s or 0)
        if abs(length - (end - start)) > slack and not inside:
            yield (f"clip {clip.start_frame}-{clip.end_frame} lasts {length:.3f} s for "
                   f"{end - start:.3f} s")  # fmt: skip


def _thumbnail_faults(result: ScanResult, truth: Truth) -> Iterator[str]:
    for row in records.from_table(Thumbnail, result.side_rows.get("thumbnails", [])):
        rgb = np.asarray(Image.open(io.BytesIO(row.jpeg)).convert("RGB"))
        rgb = rgb[::-1] if truth.turned == "vflip" else rgb
        yield from patch_faults(read_patches(rgb), truth, "thumbnail", more=6)
        if truth.numbers and row.frame < len(truth.numbers):
            number = read_number(rgb)
            if number != truth.numbers[row.frame]:
                yield f"thumbnail of frame {row.frame} shows {number}"
        return


def patch_faults(decoded: Floats, truth: Truth, label: str, more: float = 0) -> Iterator[str]:
    """The patch that is furthest off, if any is too far."""
    assert truth.patches is not None
    off = np.abs(decoded - truth.patches).max(axis=1)
    if off.max() > truth.patch_tolerance + more:
        worst = int(off.argmax())
        yield (f"{label}: colour {truth.patches[worst].round().astype(int).tolist()} is "
               f"{decoded[worst].round().astype(int).tolist()}")  # fmt: skip


def numbers_expected(truth: Truth, clip: Clip) -> list[int]:
    """The numbers that the clip's frames carry."""
    return list(truth.numbers[clip.start_frame : clip.end_frame])


def _compare_render(  # noqa: PLR0917
    row: Render, clip: Clip, source: Source, output: Path, truth: Truth, outcome: Outcome
) -> None:
    """Reads a render as a viewer would and as the tokenizer does."""
    label = f"{row.mode or 'render'} {clip.start_frame}-{clip.end_frame}"
    if row.outcome != "rendered" or row.path is None:
        outcome.failed.append(f"{label} failed, {row.reason}: {row.detail}")
        return
    path = output / row.path
    expected = numbers_expected(truth, clip)
    decoded = oracle.decode(path, turned=truth.turned)
    numbers = decoded.numbers
    if expected and numbers != expected:
        outcome.wrong.append(f"{label} shows frames {spelled(numbers)} for {spelled(expected)}")
    elif not truth.numbers and (-1 in numbers or any(np.diff(numbers) != 1)):
        outcome.wrong.append(f"{label} shows frames {spelled(numbers)}")
    if decoded.size != (row.width, row.height):
        outcome.wrong.append(f"{label} is {decoded.size}, its row says {row.width}x{row.height}")
    if truth.patches is not None and decoded.patches is not None:
        outcome.wrong += patch_faults(decoded.patches, truth, label)
        if row.mode == "encode" and 2 in decoded.tags[:3]:
            outcome.wrong.append(f"{label} does not say how its colours are to be read")
    outcome.wrong += _token_faults(row, clip, source, output, truth, decoded, label)
    if expected == numbers:
        outcome.wrong += _render_time_faults(decoded, clip, truth, label)
    if truth.sound is not None and row.mode == "encode":
        outcome.wrong += _render_sound_faults(path, clip, truth, label)


def _token_faults(  # noqa: PLR0917
    row: Render, clip: Clip, source: Source, output: Path, truth: Truth,
    decoded: oracle.Decoded, label: str,
) -> Iterator[str]:  # fmt: skip
    file = rendered_clip(row, clip, source, Storage.at(str(output)))
    try:
        with open_rendered_clip(file) as path:
            read, _ = frame_reader(path, file, file.width, file.height, Limits())
            frames = read(range(file.frames))
            frames = frames[:, ::-1] if truth.turned == "vflip" else frames
    except MediaError as error:
        yield f"{label}: tokens cannot read it, {error}"
        return
    numbers = [read_number(frame) for frame in frames]
    if numbers != decoded.numbers:
        yield f"{label}: tokens see frames {spelled(numbers)} for {spelled(decoded.numbers)}"
    if truth.patches is not None:
        yield from patch_faults(read_patches(frames[len(frames) // 2]), truth, f"{label}, tokens")


def _render_time_faults(
    decoded: oracle.Decoded, clip: Clip, truth: Truth, label: str
) -> Iterator[str]:
    if not truth.starts or any(start is None for start in decoded.starts):
        return
    shown = np.array(decoded.starts, np.float64)
    true = np.array(truth.starts[clip.start_frame : clip.end_frame])
    if any(clip.start_frame < b < clip.end_frame for b in truth.breaks):
        return
    off = np.abs((shown - shown[0]) - (true - true[0]))
    if off.max() > truth.tolerance_s + 0.001:
        frame = int(off.argmax())
        yield f"{label}: frame {frame} at {shown[frame]:.3f} s for {true[frame] - true[0]:.3f} s"


def _render_sound_faults(path: Path, clip: Clip, truth: Truth, label: str) -> Iterator[str]:
    assert truth.sound is not None
    start = truth.starts[clip.start_frame] if truth.starts else clip.start_s
    ends = [*truth.starts[1:], truth.duration_s]
    length = ends[clip.end_frame - 1] - start if truth.starts else clip.end_s - clip.start_s
    if truth.duration_tolerance_s and clip.end_frame == len(truth.starts):
        length = clip.end_s - clip.start_s
    begin, end = truth.sound[0] - start, truth.sound[1] - start
    audio = oracle.sound_of(path)
    if audio is None:
        if begin < length - 0.1 and end > 0.1:
            yield f"{label} has no sound"
        return
    samples, rate, first_s = audio
    for fault in sound_faults(
        samples, rate, begin_s=first_s, length_s=length, expected=(begin, end),
        offset_s=start + truth.sound_shift_s,
    ):  # fmt: skip
        yield f"{label}: {fault}"


def sound_faults(
    samples: Floats, rate: int, *, begin_s: float, length_s: float,
    expected: tuple[float, float], offset_s: float = 0.0,
) -> list[str]:  # fmt: skip
    """Whether the sound of `length_s` seconds is that which begins `offset_s` into the source.

    `begin_s` is when the first sample is heard; `expected` says from when to when there is sound.
    """
    middles, seconds = heard_seconds(samples, rate)
    middles = middles + begin_s
    wrong = []
    tail = begin_s + len(samples) / rate
    if tail > length_s + 0.15:
        wrong.append(f"sound goes on to {tail:.2f} s of {length_s:.2f} s")
    if tail < min(length_s, expected[1]) - 0.15 and expected[0] < length_s - 0.2:
        wrong.append(f"sound ends at {tail:.2f} s of {min(length_s, expected[1]):.2f} s")
    inside = (middles > max(expected[0], 0) + SOUND_TOLERANCE_S + 0.02) & (
        middles < min(expected[1], length_s) - SOUND_TOLERANCE_S - 0.02
    )
    source_s = middles + offset_s
    clear = np.abs(source_s - np.round(source_s)) > SOUND_TOLERANCE_S
    true_seconds = np.floor(source_s).astype(np.int64)
    off = inside & clear & (seconds != true_seconds)
    if off.any():
        place = int(np.flatnonzero(off)[0])
        wrong.append(
            f"at {middles[place]:.2f} s second {seconds[place]} is heard for {true_seconds[place]}"
            f" ({off.sum() / max((inside & clear).sum(), 1):.0%})"
        )
    silent = (middles < expected[0] - 0.1) & (middles > 0.05) & (seconds >= 0)
    if silent.any():
        wrong.append(f"sound {silent.sum() / 100:.2f} s before it begins")
    return wrong


def _compare_resampled(  # noqa: PLR0917
    row: Render, fps: float, clip: Clip, source: Source, output: Path, truth: Truth,
    outcome: Outcome,
) -> None:  # fmt: skip
    """A render at another rate: each frame is the one shown then, and the tokens' names agree."""
    label = f"at {fps:g} fps {clip.start_frame}-{clip.end_frame}"
    if row.outcome != "rendered" or row.path is None:
        outcome.failed.append(f"{label} failed, {row.reason}: {row.detail}")
        return
    decoded = oracle.decode(output / row.path, turned=truth.turned)
    file = rendered_clip(row, clip, source, Storage.at(str(output)))
    shown = np.array(truth.starts[clip.start_frame : clip.end_frame])
    shown = shown - shown[0]

    length = clip.end_s - clip.start_s
    if abs(len(decoded.numbers) - length * fps) > 1.5:
        outcome.wrong.append(f"{label} has {len(decoded.numbers)} frames of {length:.2f} s")
    if row.frames != len(decoded.numbers):
        outcome.wrong.append(
            f"{label} has {len(decoded.numbers)} frames, its row says {row.frames}"
        )
    names = {number: place for place, number in enumerate(truth.numbers)}
    for frame, number in enumerate(decoded.numbers):
        place = names.get(number, -1) - clip.start_frame
        if not 0 <= place < len(shown):
            outcome.wrong.append(f"{label}: frame {frame} shows {number}")
            return
        until = shown[place + 1] if place + 1 < len(shown) else length
        off = abs(shown[place] - frame / fps)
        least = float(np.abs(shown - frame / fps).min())
        if off > least + (0.051 if truth.repaired else 0.021):
            outcome.wrong.append(
                f"{label}: frame {frame} ({frame / fps:.3f} s) shows {number}, which is at "
                f"{shown[place]:.3f} to {until:.3f} s"
            )
            return
        named = file.source_frame(frame) - clip.start_frame
        if named != place and abs(shown[min(max(named, 0), len(shown) - 1)] - shown[place]) > 0.021:
            outcome.wrong.append(
                f"{label}: frame {frame} shows {place + clip.start_frame}, tokens are named by "
                f"{named + clip.start_frame}"
            )
            return


def spelled(numbers: Sequence[int]) -> str:
    """Numbers as ranges."""
    parts: list[list[int]] = []
    for number in numbers:
        if parts and number == parts[-1][1] + 1:
            parts[-1][1] = number
        else:
            parts.append([number, number])
    text = " ".join(str(a) if a == b else f"{a}-{b}" for a, b in parts[:8])
    return f"{text} … ({len(numbers)})" if len(parts) > 8 else text or "none"
