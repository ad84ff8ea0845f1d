"""Joined recordings, several streams in one file, and properties that change midway."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import numpy as np

from tests.sweep.case import Case
from tests.sweep.cases_codecs import SOUND
from tests.sweep.cases_time import glue, joined
from tests.sweep.encoders import UNTIMED, X264, recipe_for
from tests.sweep.generator import Recipe, Truth, constant, ffmpeg, truth_of, write

SIZES = {"size_changes": "the size of the picture changes midway"}


def cases() -> Iterator[Case]:
    """The cases of this module."""
    yield from _joins()
    yield from _changes()
    yield from _streams()
    yield from _interlaced()
    yield from _orientations()


def _joins() -> Iterator[Case]:
    half = constant(30)
    for container, codec, kind in (
        ("ts", "h264b", None), ("ts", "mpeg2b", "mp2"), ("ts", "h264", "aac"),
        ("m2ts", "h264b", None),
        ("vob", "mpeg2b", "ac3"), ("mpg", "mpeg1b", "mp2"), ("h264", "h264b", None),
        ("hevc", "hevcb", None), ("m2v", "mpeg2b", None), ("mjpeg", "mjpeg", None),
        ("ts", "hevcb", None), ("ts", "mpeg2", None),
    ):  # fmt: skip
        sound = SOUND[kind] if kind else None
        one = recipe_for(container, codec, times=half, sound=sound)
        two = replace(one, first=30)
        truth = joined(one, two, jumps=container not in UNTIMED)
        yield Case(container, "joined", f"{codec} {kind or 'silent'}", one, truth,
                   writer=lambda path, one=one, two=two: glue(path, one, two))  # fmt: skip
    for codec in ("h264b", "mpeg2b"):
        one = recipe_for("ts", codec, times=half)
        two = replace(
            one, first=30, output=("-output_ts_offset", "1.2", "-mpegts_start_pid", "512")
        )
        truth = replace(joined(one, two, jumps=False), may_lose=30)
        yield Case("ts", "pid changes", codec, one, truth,
                   writer=lambda path, one=one, two=two: glue(path, one, two))  # fmt: skip


def _changes() -> Iterator[Case]:
    half = constant(30)
    one = recipe_for("ts", "h264", times=half, coding=recipe_for("ts", "h264").coding)
    later = ("-output_ts_offset", "1.2")
    small = replace(one, first=30, size=(192, 112), output=later)
    truth = replace(joined(one, small, jumps=False), may_refuse=SIZES, must_refuse=True)
    yield Case("ts", "size changes", "h264", one, truth,
               writer=lambda path: glue(path, one, small, continuous=True))  # fmt: skip
    lost = {"corrupt": "packet counters restart while timestamps continue, as after a loss"}
    truth = replace(joined(one, replace(one, first=30), jumps=False), may_refuse=lost)
    two = replace(one, first=30, output=later)
    yield Case(
        "ts", "joined", "time continues", one, truth, writer=lambda path: glue(path, one, two)
    )
    tagged = "colorspace=bt709:color_primaries=bt709:color_trc=bt709"
    changes: dict[str, dict[str, object]] = {
        "to 444": {"pixels": "yuv444p"},
        "to 422": {"pixels": "yuv422p"},
        "to 10 bit": {"pixels": "yuv420p10le"},
        "tags appear": {"tags": "colorspace=smpte170m:color_primaries=smpte170m"},
        "other matrix": {"tags": tagged, "coding": replace(one.coding, matrix="bt709")},
        "to full range": {"tags": "range=pc", "filters": "setparams=range=pc",
                          "coding": replace(one.coding, full=True)},
        "to B-frames": {"video": (*X264, "-bf", "2")},
        "to hevc": {"video": recipe_for("ts", "hevc").video},
    }  # fmt: skip
    for name, fields in changes.items():
        other = replace(one, first=30, output=later, **fields)  # type: ignore[arg-type]
        truth = joined(one, other, jumps=False)
        if name == "to hevc":
            why = {"corrupt": "another codec under the same PID cannot be read"}
            truth = replace(truth, may_refuse=why)
        yield Case("ts", "midway", name, one, truth,
                   writer=lambda path, o=other: glue(path, one, o, continuous=True))  # fmt: skip
        if name in ("to 444", "tags appear", "other matrix", "to 10 bit", "to full range"):
            yield Case("mkv", "midway", name, one, truth,
                       writer=lambda path, o=other: _joined_in(path, ".mkv", one, o))  # fmt: skip


def _joined_in(path: Path, suffix: str, *parts: Recipe) -> Path:
    """The parts joined as a transport stream, then remuxed into another container."""
    glued = glue(path.with_name(path.name + ".parts"), *parts)
    target = path.with_name(path.name + suffix)
    ffmpeg("-i", glued, "-map", "0:v", "-c", "copy", target)
    glued.unlink()
    return target


def _streams() -> Iterator[Case]:
    base = recipe_for("mp4", "h264b", times=constant(60))
    thumbnail = recipe_for("mp4", "mjpeg", times=constant(1), first=900)
    proxy = recipe_for("mp4", "h264", times=constant(60), size=(128, 72), first=500)
    truth = truth_of(base)
    for suffix in (".mp4", ".mkv"):
        container = suffix[1:]
        yield Case(container, "streams", "thumbnail first", base, truth,
                   writer=lambda path, s=suffix: _two_streams(
                       path, s, thumbnail, base))  # fmt: skip
        yield Case(container, "streams", "proxy first", base, truth,
                   writer=lambda path, s=suffix: _two_streams(path, s, proxy, base))  # fmt: skip
        yield Case(container, "streams", "proxy after", base, truth,
                   writer=lambda path, s=suffix: _two_streams(path, s, base, proxy))  # fmt: skip
        yield Case(container, "streams", "cover first", base, truth,
                   writer=lambda path, s=suffix: _two_streams(
                       path, s, thumbnail, base, "-disposition:v:0", "attached_pic"))  # fmt: skip
        yield Case(container, "streams", "default second", base, truth,
                   writer=lambda path, s=suffix: _two_streams(
                       path, s, replace(base, first=500), base,
                       "-disposition:v:0", "0", "-disposition:v:1", "default"))  # fmt: skip
    with_audio = recipe_for("mp4", "h264b", sound=SOUND["aac"])
    for suffix, name, options in (
        (".mp4", "sound first", ("-map", "0:a", "-map", "0:v")),
        (".mkv", "sound first", ("-map", "0:a", "-map", "0:v")),
        (".ts", "sound first", ("-map", "0:a", "-map", "0:v")),
        (".mov", "timecode", ("-map", "0", "-timecode", "01:02:03:04")),
        (".mp4", "fragmented", ("-map", "0", "-movflags", "frag_keyframe+empty_moov")),
        (".mp4", "fast start", ("-map", "0", "-movflags", "faststart")),
        (".mkv", "live", ("-map", "0", "-live", "1")),
        (".flv", "no duration", ("-map", "0", "-flvflags", "no_duration_filesize")),
        (".ts", "aac latm", ("-map", "0", "-mpegts_flags", "latm")),
    ):
        yield Case(suffix[1:], "streams", name, with_audio, truth_of(with_audio),
                   writer=lambda path, s=suffix, o=options: _remux(
                       path, s, with_audio, o))  # fmt: skip


def _two_streams(path: Path, suffix: str, one: Recipe, two: Recipe, *options: str) -> Path:
    """Two videos as two streams of one file."""
    target = path.with_name(path.name + suffix)
    pieces = [write(path.with_name(f"{path.name}.{n}"), part) for n, part in enumerate((one, two))]
    ffmpeg("-i", pieces[0], "-i", pieces[1], "-map", "0:v", "-map", "1:v", "-c", "copy",
           *options, target)  # fmt: skip
    for piece in pieces:
        piece.unlink()
    return target


def _remux(path: Path, suffix: str, recipe: Recipe, options: tuple[str, ...]) -> Path:
    """The file of a recipe, copied with other options of the muxer."""
    piece = write(path.with_name(path.name + ".once"), recipe)
    target = path.with_name(path.name + suffix)
    ffmpeg("-i", piece, "-c", "copy", *options, target)
    piece.unlink()
    return target


def _interlaced() -> Iterator[Case]:
    """Interlaced coding; each picture's number is in both of its fields."""
    fields = ("-flags:v", "+ildct+ilme+bitexact")
    for container, codec in (("vob", "mpeg2b"), ("ts", "mpeg2b"), ("mxf", "mpeg2b"),
                             ("mkv", "mpeg2b"), ("avi", "mpeg4"), ("mpg", "mpeg2")):  # fmt: skip
        recipe = recipe_for(container, codec)
        recipe = replace(recipe, video=(*recipe.video, *fields), filters="setfield=tff")
        truth = truth_of(recipe)
        yield Case(container, "interlaced", codec, recipe, truth)
    telecined = golden_telecine()
    for container in ("mpg", "ts", "m2v"):
        yield Case(container, "soft telecine", "mpeg2", Recipe(), telecined,
                   writer=lambda path, c=container: _copied(path, c))  # fmt: skip
    for container in ("mp4", "ts", "mkv"):
        recipe = recipe_for(container, "h264", filters="setfield=tff")
        recipe = replace(
            recipe, video=(*X264, "-flags:v", "+ildct+ilme+bitexact", "-x264-params", "tff=1")
        )
        yield Case(container, "interlaced", "h264", recipe, truth_of(recipe))


def golden_telecine() -> Truth:
    """96 film frames, shown for two and three fields by turns."""
    film = truth_of(Recipe(times=constant(96, Fraction(24000, 1001)), size=(320, 192)))
    return replace(film, tolerance_s=0.042, duration_tolerance_s=0.05)


def _copied(path: Path, container: str) -> Path:
    """The telecined file of tests/golden in another container."""
    target = path.with_name(f"{path.name}.{container}")
    source = Path(__file__).parents[1] / "golden/media/09_soft_telecine_dvd.vob"
    ffmpeg("-i", source, "-map", "0:v", "-c", "copy", target)
    return target


def _orientations() -> Iterator[Case]:
    """A display matrix; pictures are stored so that they are displayed upright."""
    turns = {
        "rotate 90": (("-display_rotation", "90"), lambda p: np.rot90(p, -1)),
        "rotate 180": (("-display_rotation", "180"), lambda p: np.rot90(p, 2)),
        "rotate 270": (("-display_rotation", "270"), lambda p: np.rot90(p, 1)),
        "hflip": (("-display_hflip",), lambda p: p[:, ::-1]),
        "vflip": (("-display_vflip",), lambda p: p[::-1]),
    }  # fmt: skip
    for container in ("mp4", "mov", "mkv"):
        for name, (options, turn) in turns.items():
            recipe = recipe_for(container, "h264", turn=turn, remux=("|", *options), suffix=".mp4",
                          remux_suffix="." + container)  # fmt: skip
            yield Case(container, "orientation", name, recipe, truth_of(recipe), copies=True)
    for container in ("mp4", "mkv"):
        for aspect in ("4/3", "1/2"):
            recipe = recipe_for(container, "h264", filters=f"setsar={aspect}")
            truth = truth_of(recipe)
            wide = (341, 144) if aspect == "4/3" else (256, 288)
            truth = replace(truth, width=wide[0], height=wide[1])
            yield Case(container, "pixel aspect", aspect, recipe, truth, copies=True)
