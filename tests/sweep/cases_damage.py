"""Odd endings and beginnings: cut off, without an index, with something behind the end."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from tests.sweep import damage
from tests.sweep.case import Case
from tests.sweep.cases_codecs import SOUND
from tests.sweep.encoders import UNTIMED, recipe
from tests.sweep.generator import truth_of

CUT = {
    "truncated": "the file ends before its video does",
    "corrupt": "the cut lies in the middle of a picture",
}
BROKEN = {"corrupt": "damage in the middle of the pictures"}
GARBAGE = {"corrupt": "what follows the end reads like a damaged picture"}
ENDS: dict[str, tuple[str, str | None]] = {
    "mp4": ("h264b", "aac"), "mov": ("mjpeg", "pcm"), "mkv": ("h264b", "opus"),
    "webm": ("vp9", "opus"), "avi": ("mpeg4b", "mp3"), "ts": ("h264b", "mp2"),
    "m2ts": ("mpeg2b", "ac3"), "vob": ("mpeg2b", "ac3"), "mpg": ("mpeg1b", "mp2"),
    "flv": ("h264b", "aac"), "ogv": ("theora", "vorbis"), "ivf": ("vp9", None),
    "obu": ("av1", None), "h264": ("h264b", None), "hevc": ("hevcb", None),
    "m2v": ("mpeg2b", None), "m4v-es": ("mpeg4b", None), "mjpeg": ("mjpeg", None),
    "y4m": ("rawvideo", None), "gif": ("gif", None), "mxf": ("mpeg2b", "pcm"),
    "wmv": ("msmpeg4v3", "wma"), "3gp": ("h263", "amr"),
}  # fmt: skip


ENDLESS = ("ts", "m2ts", "vob", "mpg", "ogv", "y4m")
BOTH = ("mp4", "mkv", "avi", "ts", "vob")


def cases() -> Iterator[Case]:
    """The cases of this module."""
    for place, (container, (codec, kind)) in enumerate(ENDS.items()):
        made = recipe(container, codec, sound=SOUND[kind] if kind else None)
        truth = truth_of(made)
        endless = container in (*ENDLESS, *UNTIMED)
        cut = replace(truth, may_refuse=CUT, may_lose=60, ends_anywhere=endless, sound=None)
        for what, change, then in (
            ("cut off", damage.cut_at(0.8), cut),
            ("garbage behind", damage.followed_by(damage.GARBAGE),
             replace(truth, may_refuse=GARBAGE)),
            ("zeros behind", damage.followed_by(damage.ZEROS),
             replace(truth, may_refuse=GARBAGE if container in ("y4m", "obu") else {})),
        ):  # fmt: skip
            if what == ("garbage behind", "zeros behind")[place % 2] and container not in BOTH:
                continue
            yield Case(container, what, codec, replace(made, after=(change,)), then)
    yield from _indexes()
    yield from _streams()


def _indexes() -> Iterator[Case]:
    lacks = {"truncated": "an mp4 without its index (moov) cannot be read"}
    for container in ("mp4", "mov"):
        made = recipe(container, "h264", after=(damage.without_box(b"moov"),))
        truth = replace(truth_of(made), may_refuse=lacks, must_refuse=True)
        yield Case(container, "no index", "h264", made, truth)
    made = recipe(
        "mp4", "h264", output=("-movflags", "frag_keyframe+empty_moov"),
        after=(damage.cut_at(0.7),),
    )  # fmt: skip
    truth = replace(truth_of(made), may_refuse=CUT, may_lose=60)
    yield Case("mp4", "cut off", "fragmented", made, truth)
    made = recipe("mp4", "h264", output=("-movflags", "faststart"), after=(damage.cut_at(0.7),))
    yield Case("mp4", "cut off", "fast start", made, truth)
    for codec in ("mjpeg", "mpeg4b"):
        made = recipe("avi", codec, sound=SOUND["mp3"], after=(damage.without_index,))
        yield Case("avi", "no index", codec, made, truth_of(made))
    made = recipe("mkv", "h264b", output=("-live", "1"), after=(damage.cut_at(0.7),))
    yield Case("mkv", "cut off", "live", made, truth)


def _streams() -> Iterator[Case]:
    """Transport streams that begin, end or break anywhere."""
    for codec in ("h264", "h264b", "mpeg2b"):
        made = recipe("ts", codec, sound=SOUND["mp2"])
        truth = truth_of(made)
        group = 12 if codec == "mpeg2b" else 13
        late = replace(
            truth, numbers=truth.numbers[group:], starts=truth.starts[:-group],
            duration_s=(60 - group) / 25, sound=(0.0, (60 - group) / 25),
            sound_shift_s=group / 25,
        )  # fmt: skip
        yield Case("ts", "begins in a group", codec,
                   replace(made, after=(damage.ts_without_start(12),)), late)  # fmt: skip
        yield Case("ts", "begins in a packet", codec,
                   replace(made, after=(damage.starts_in_packet,)), truth)  # fmt: skip
        cut = replace(truth, may_refuse=CUT, may_lose=3)
        yield Case("ts", "ends in a packet", codec,
                   replace(made, after=(damage.cut_in_packet,)), cut)  # fmt: skip
        lost = replace(truth, sound=None, may_refuse=BROKEN, may_lose=60)
        yield Case("ts", "lost packets", codec,
                   replace(made, after=(damage.lost_packets(0.5, 5),)), lost)  # fmt: skip
