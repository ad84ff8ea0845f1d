"""Variable rates, repeated or falling timestamps, start times other than zero, long last frames."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

from tests.sweep import damage
from tests.sweep.case import Case
from tests.sweep.cases_codecs import OFFSET_AUDIO, SOUND
from tests.sweep.encoders import recipe_for
from tests.sweep.generator import Recipe, Truth, constant, dropped, truth_of, variable, write

VARIABLE: dict[str, tuple[str, ...]] = {
    "mp4": ("h264", "h264b", "hevcb", "vp9", "av1"), "mov": ("h264b", "prores", "mjpeg"),
    "mkv": ("h264", "h264b", "hevcb", "vp8", "mpeg2b", "mjpeg", "ffv1"),
    "webm": ("vp8", "vp9", "vp9alt", "av1"), "ts": ("h264", "h264b", "hevcb"),
    "m2ts": ("h264b",), "flv": ("flv1", "h264b"), "wmv": ("msmpeg4v3", "mjpeg"),
    "3gp": ("h264b",), "ivf": ("vp9",), "gif": ("gif",),
}  # fmt: skip
DROPPED: dict[str, tuple[str, ...]] = {
    "avi": ("mjpeg", "mpeg4", "mpeg4b", "h264", "h264b"), "mp4": ("mpeg4b",),
    "mkv": ("mpeg4b",), "ts": ("mpeg2b",), "vob": ("mpeg2b",), "mpg": ("mpeg1b",),
    "ogv": ("theora",), "wmv": ("msmpeg4v3",), "flv": ("h264b",),
}  # fmt: skip
FAST: dict[str, tuple[str, ...]] = {
    "mp4": ("h264b",), "mkv": ("vp9",), "ts": ("h264b",), "webm": ("vp9",), "flv": ("h264b",),
    "avi": ("mjpeg",),
}  # fmt: skip
STARTS: dict[str, tuple[str, ...]] = {
    "mp4": ("1.5", "36000"), "mov": ("1.5",), "mkv": ("1.5", "36000"), "webm": ("1.5", "36000"),
    "ts": ("1.5", "36000", "95441"), "m2ts": ("36000",), "vob": ("1.5", "36000"),
    "mpg": ("1.5",), "flv": ("1.5", "36000"), "wmv": ("1.5",), "ogv": ("1.5",), "3gp": ("1.5",),
}  # fmt: skip
CODECS: dict[str, tuple[str, str]] = {
    **OFFSET_AUDIO, "m2ts": ("h264b", "ac3"), "mpg": ("mpeg1b", "mp2"), "3gp": ("h264b", "aac"),
}  # fmt: skip


def cases() -> Iterator[Case]:
    """The cases of this module."""
    yield from _rates()
    yield from _starts()
    yield from _edits()
    yield from _pairs()
    yield from _lasting()
    yield from _gaps()


def _rates() -> Iterator[Case]:
    for what, table, times in (
        ("variable", VARIABLE, variable(60)), ("dropped", DROPPED, dropped(60)),
        ("fast", FAST, constant(100, Fraction(120))),
    ):  # fmt: skip
        for container, codecs in table.items():
            for codec in codecs:
                recipe = recipe_for(container, codec, times=times)
                copies = codec.startswith(("h264", "hevc"))
                last = float(times[-1] - times[-2])
                truth = replace(truth_of(recipe), duration_tolerance_s=max(0.081, last + 0.001))
                if what == "dropped" and container in ("avi", "vob", "mpg", "ogv"):
                    truth = replace(truth, repaired=True)  # not every frame has a timestamp there
                if container == "avi" and codec == "h264b":
                    truth = replace(truth, tolerance_s=0.121)  # AVI has no presentation order
                yield Case(
                    container, what, codec, recipe, truth, copies=copies, resampled=what != "fast"
                )
    for rate in (1, 5, 15):
        for container, codec in (("mp4", "h264b"), ("mkv", "h264"), ("ts", "h264b")):
            recipe = recipe_for(container, codec, times=constant(20, rate))
            yield Case(container, "slow", f"{codec} {rate}", recipe, truth_of(recipe), copies=True)
    for container, codec in (("mp4", "h264b"), ("mkv", "mpeg4b"), ("ts", "h264b")):
        recipe = recipe_for(container, codec, times=variable(60), sound=SOUND["aac"])
        yield Case(container, "variable", f"{codec} aac", recipe, truth_of(recipe))


def _starts() -> Iterator[Case]:
    for container, starts in STARTS.items():
        codec, kind = CODECS[container]
        for start in starts:
            recipe = recipe_for(container, codec, sound=SOUND[kind])
            recipe = replace(recipe, output=(*recipe.output, "-output_ts_offset", start))
            detail = f"{start} {codec} {kind}"
            yield Case(container, "start", detail, recipe, truth_of(recipe))


def _edits() -> Iterator[Case]:
    """mp4 edit lists that hide the first 8 frames: they are decoded and not shown."""
    for codec, kind in (("h264", None), ("h264b", None), ("hevcb", None), ("h264b", "aac")):
        recipe = recipe_for(
            "mp4", codec, sound=SOUND[kind] if kind else None, remux=("|", "-ss", "0.3")
        )
        full = truth_of(recipe)
        truth = replace(
            full, numbers=full.numbers[8:], starts=full.starts[:52], duration_s=52 / 25,
            sound=(-0.32, 2.08) if kind else None, sound_shift_s=0.32,
        )  # fmt: skip
        yield Case(
            "mp4", "edit list", f"{codec} {kind or 'silent'}", recipe, truth, copies=not kind
        )


def _pairs() -> Iterator[Case]:
    """One timestamp equal to the previous one, or before it."""
    odd = {"equal": damage.equal_pair(30), "fallen": damage.fallen(30), "wild": damage.wild(30)}
    for name, change in odd.items():
        for codec in ("h264", "mpeg2"):
            recipe = recipe_for(
                "ts", codec, sound=SOUND["mp2"], byte_edits=(damage.ts_times(change),)
            )
            truth = replace(truth_of(recipe), repaired=True)
            yield Case("ts", f"{name} time", codec, recipe, truth, resampled=name != "wild")
        if name != "wild":
            for container, codec in (("mkv", "h264"), ("mkv", "mjpeg"), ("webm", "vp8")):
                change_ms = damage.mkv_times(change)
                for kind, times in (("", constant(60)), (" variable", variable(60))):
                    recipe = recipe_for(container, codec, times=times, byte_edits=(change_ms,))
                    truth = replace(truth_of(recipe), duration_tolerance_s=0.1, repaired=True)
                    yield Case(
                        container, f"{name} time", codec + kind, recipe, truth, resampled=True
                    )
    for suffix in ("mp4", "mov"):
        for codec in ("h264", "h264b"):
            zero = damage.sample_of_length_0(20)
            recipe = recipe_for(suffix, codec, times=variable(60), byte_edits=(zero,))
            truth = replace(truth_of(recipe), duration_tolerance_s=0.1, tolerance_s=0.101)
            truth = replace(truth, repaired=True)
            yield Case(suffix, "equal time", codec, recipe, truth, resampled=True)


def _lasting() -> Iterator[Case]:
    """The last frame lasts three seconds, as does the audio."""
    last = "if(eq(N\\,59)\\,TS_LAST\\,DURATION)"
    for container, codec, kind, unit in (
        ("mp4", "h264", "aac", 12800), ("mov", "h264", "pcm", 12800), ("mkv", "h264", "opus", 1000),
        ("webm", "vp9", "opus", 1000), ("3gp", "h264", "aac", 12800),
        ("mp4", "mjpeg", "mp3", 12800),
    ):  # fmt: skip
        length = last.replace("TS_LAST", str(3 * unit))
        recipe = recipe_for(
            container, codec, sound=SOUND[kind], sound_to_s=5.36,
            remux=("-bsf:v", f"setts=duration={length}"),
        )  # fmt: skip
        truth = replace(truth_of(recipe), duration_s=59 / 25 + 3)
        yield Case(container, "long last frame", f"{codec} {kind}", recipe, truth)
    for container, codec, kind in (("mkv", "h264", "pcm"), ("ts", "h264", "mp2")):
        recipe = recipe_for(container, codec, sound=SOUND[kind], sound_to_s=5.36)
        yield Case(
            container, "sound outlasts", f"{codec} {kind}", recipe,
            replace(truth_of(recipe), duration_tolerance_s=3.01),
        )  # fmt: skip
    recipe = recipe_for("gif", "gif", output=("-final_delay", "300"))
    truth = replace(truth_of(recipe), duration_s=59 / 25 + 3)
    yield Case("gif", "long last frame", "gif", recipe, truth)
    recipe = recipe_for("gif", "gif", times=constant(2, 1), output=("-final_delay", "300"))
    yield Case(
        "gif", "long last frame", "2 frames", recipe, replace(truth_of(recipe), duration_s=4.0)
    )
    for container, codec in (("mp4", "h264"), ("mkv", "h264"), ("gif", "gif"), ("ts", "h264"),
                             ("avi", "mjpeg"), ("vob", "mpeg2")):  # fmt: skip
        recipe = recipe_for(container, codec, times=constant(1))
        truth = replace(truth_of(recipe), duration_tolerance_s=1.1)
        yield Case(container, "one frame", codec, recipe, truth)


def _gaps() -> Iterator[Case]:
    """Frames stop for an hour (or a minute) and continue; or time jumps back."""
    for container, codec in (("mp4", "h264"), ("mkv", "h264"), ("ts", "h264"), ("vob", "mpeg2"),
                             ("flv", "h264"), ("webm", "vp8")):  # fmt: skip
        for gap in (60, 3600):
            times = constant(60)
            times = (*times[:30], *(t + gap for t in times[30:]))
            recipe = recipe_for(container, codec, times=times)
            truth = truth_of(recipe)
            truth = replace(
                truth, breaks=(30,), duration_s=60 / 25, duration_tolerance_s=0.1,
                starts=tuple(n / 25 for n in range(60)),
            )  # fmt: skip
            if container == "vob":
                truth = replace(truth, break_slack=10)  # several small frames share a timestamp
            yield Case(container, "gap", f"{codec} {gap} s", recipe, truth)
    for container, codec in (("ts", "h264b"), ("vob", "mpeg2b"), ("ts", "mpeg2b")):
        yield _jump_back(container, codec)


def _jump_back(container: str, codec: str) -> Case:
    """Two streams joined, of which the second one's timestamps are an hour earlier."""
    late = recipe_for(container, codec, times=constant(30))
    late = replace(late, output=(*late.output, "-output_ts_offset", "3600"))
    early = recipe_for(container, codec, times=constant(30), first=30)
    truth = joined(late, early)
    return Case(
        container, "jump back", codec, late, truth, writer=lambda path: glue(path, late, early)
    )


def glue(path: Path, *parts: Recipe, continuous: bool = False) -> Path:
    """Writes the parts into one file; `continuous` renumbers the packets' continuity counters."""
    data = b""
    for number, part in enumerate(parts):
        piece = write(path.with_name(f"{path.name}.{number}"), part)
        data += piece.read_bytes()
        piece.unlink()
    target = path.with_name(path.name + parts[0].suffix)
    target.write_bytes(_renumbered(data) if continuous else data)
    return target


def _renumbered(data: bytes) -> bytes:
    """Transport packets with continuity counters as one encoder writes them."""
    packets, last = bytearray(data), dict[int, int]()
    for at in range(0, len(packets), 188):
        pid = (packets[at + 1] & 0x1F) << 8 | packets[at + 2]
        if packets[at + 3] & 0x10:
            last[pid] = (last.get(pid, -1) + 1) & 15
        packets[at + 3] = packets[at + 3] & 0xF0 | last.get(pid, 0)
    return bytes(packets)


def joined(*parts: Recipe, jumps: bool = True) -> Truth:
    """The truth of consecutive parts; `jumps` says whether timestamps are discontinuous."""
    truths = [truth_of(part) for part in parts]
    numbers = tuple(n for truth in truths for n in truth.numbers)
    starts, breaks, offset_s = [], [], 0.0
    for truth in truths:
        breaks.append(len(starts))
        starts += [offset_s + start for start in truth.starts]
        offset_s += truth.duration_s
    return replace(
        truths[0], numbers=numbers, starts=tuple(starts), breaks=tuple(breaks[1:]) if jumps else (),
        duration_s=offset_s, duration_tolerance_s=0.1,
    )  # fmt: skip
