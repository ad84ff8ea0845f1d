"""Damaged ends and starts: truncated, without an index, with bytes after the end."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from tests.sweep import damage
from tests.sweep.case import Case
from tests.sweep.cases_codecs import SOUND
from tests.sweep.encoders import UNTIMED, recipe_for
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
    for index, (container, (codec, kind)) in enumerate(ENDS.items()):
        recipe = recipe_for(container, codec, sound=SOUND[kind] if kind else None)
        truth = truth_of(recipe)
        endless = container in (*ENDLESS, *UNTIMED)
        cut = replace(truth, may_refuse=CUT, may_lose=60, ends_anywhere=endless, sound=None)
        for what, change, changed_truth in (
            ("cut off", damage.truncate_at(0.8), cut),
            ("garbage behind", damage.followed_by(damage.GARBAGE),
             replace(truth, may_refuse=GARBAGE)),
            ("zeros behind", damage.followed_by(damage.ZEROS),
             replace(truth, may_refuse=GARBAGE if container in ("y4m", "obu") else {})),
        ):  # fmt: skip
            if what == ("garbage behind", "zeros behind")[index % 2] and container not in BOTH:
                continue
            yield Case(container, what, codec, replace(recipe, byte_edits=(change,)), changed_truth)
    yield from _indexes()
    yield from _streams()


def _indexes() -> Iterator[Case]:
    no_index = {"truncated": "an mp4 without its index (moov) cannot be read"}
    for container in ("mp4", "mov"):
        recipe = recipe_for(container, "h264", byte_edits=(damage.without_box(b"moov"),))
        truth = replace(truth_of(recipe), may_refuse=no_index, must_refuse=True)
        yield Case(container, "no index", "h264", recipe, truth)
    recipe = recipe_for(
        "mp4", "h264", output=("-movflags", "frag_keyframe+empty_moov"),
        byte_edits=(damage.truncate_at(0.7),),
    )  # fmt: skip
    truth = replace(truth_of(recipe), may_refuse=CUT, may_lose=60)
    yield Case("mp4", "cut off", "fragmented", recipe, truth)
    recipe = recipe_for(
        "mp4", "h264", output=("-movflags", "faststart"), byte_edits=(damage.truncate_at(0.7),)
    )
    yield Case("mp4", "cut off", "fast start", recipe, truth)
    for codec in ("mjpeg", "mpeg4b"):
        recipe = recipe_for("avi", codec, sound=SOUND["mp3"], byte_edits=(damage.without_index,))
        yield Case("avi", "no index", codec, recipe, truth_of(recipe))
    recipe = recipe_for(
        "mkv", "h264b", output=("-live", "1"), byte_edits=(damage.truncate_at(0.7),)
    )
    yield Case("mkv", "cut off", "live", recipe, truth)


def _streams() -> Iterator[Case]:
    """Transport streams that start, end or break anywhere."""
    for codec in ("h264", "h264b", "mpeg2b"):
        recipe = recipe_for("ts", codec, sound=SOUND["mp2"])
        truth = truth_of(recipe)
        group = 12 if codec == "mpeg2b" else 13
        truth_from_group = replace(
            truth, numbers=truth.numbers[group:], starts=truth.starts[:-group],
            duration_s=(60 - group) / 25, sound=(0.0, (60 - group) / 25),
            sound_shift_s=group / 25,
        )  # fmt: skip
        from_group = replace(recipe, byte_edits=(damage.ts_without_start(12),))
        yield Case("ts", "begins in a group", codec, from_group, truth_from_group)
        yield Case("ts", "begins in a packet", codec,
                   replace(recipe, byte_edits=(damage.starts_in_packet,)), truth)  # fmt: skip
        cut = replace(truth, may_refuse=CUT, may_lose=3)
        yield Case("ts", "ends in a packet", codec,
                   replace(recipe, byte_edits=(damage.cut_in_packet,)), cut)  # fmt: skip
        lost = replace(truth, sound=None, may_refuse=BROKEN, may_lose=60)
        yield Case("ts", "lost packets", codec,
                   replace(recipe, byte_edits=(damage.lost_packets(0.5, 5),)), lost)  # fmt: skip
