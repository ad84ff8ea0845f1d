"""Every video codec in every container that supports it, and every audio codec likewise."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from fractions import Fraction

from tests.sweep.case import Case
from tests.sweep.encoders import CODECS, REFUSED_CODECS, UNTIMED, recipe_for
from tests.sweep.generator import constant, truth_of

NOT_LISTED = {"codec_not_allowed": "the allow-list does not name the codec"}
SOUND: dict[str, tuple[str, ...]] = {
    "aac": ("-c:a", "aac", "-b:a", "96k"),
    "mp3": ("-c:a", "libmp3lame", "-b:a", "96k"),
    "mp2": ("-c:a", "mp2", "-b:a", "128k"),
    "ac3": ("-c:a", "ac3", "-b:a", "128k"),
    "eac3": ("-c:a", "eac3", "-b:a", "128k"),
    "dts": ("-c:a", "dca", "-strict", "-2", "-b:a", "768k", "-ac", "2"),
    "opus": ("-c:a", "libopus", "-b:a", "96k"),
    "vorbis": ("-c:a", "libvorbis", "-q:a", "5", "-ac", "2"),
    "flac": ("-c:a", "flac"),
    "alac": ("-c:a", "alac"),
    "pcm": ("-c:a", "pcm_s16le"),
    "pcm24": ("-c:a", "pcm_s24le"),
    "pcmbe": ("-c:a", "pcm_s16be"),
    "float": ("-c:a", "pcm_f32le"),
    "mulaw": ("-c:a", "pcm_mulaw", "-ar", "16000"),
    "alaw": ("-c:a", "pcm_alaw", "-ar", "16000"),
    "u8": ("-c:a", "pcm_u8"),
    "wma": ("-c:a", "wmav2", "-b:a", "96k"),
    "amr": ("-c:a", "libopencore_amrnb", "-ar", "8000", "-b:a", "12.2k"),
    "adpcm": ("-c:a", "adpcm_ms"),
}  # fmt: skip
AUDIO: dict[str, tuple[str, tuple[str, ...]]] = {
    "mp4": ("h264b", ("aac", "mp3", "mp2", "ac3", "eac3", "opus", "flac", "alac", "dts")),
    "mov": ("h264b", ("aac", "pcm", "pcm24", "pcmbe", "mulaw", "alaw", "float", "alac")),
    "mkv": ("h264b", ("aac", "mp3", "mp2", "ac3", "dts", "opus", "vorbis", "flac", "pcm", "u8")),
    "webm": ("vp9", ("opus", "vorbis")),
    "avi": ("mpeg4b", ("mp3", "mp2", "ac3", "pcm", "aac", "mulaw", "u8", "adpcm")),
    "ts": ("h264b", ("aac", "mp3", "mp2", "ac3", "eac3", "opus", "dts")),
    "m2ts": ("h264b", ("ac3", "dts")),
    "mpg": ("mpeg1b", ("mp2", "ac3", "mp3")),
    "vob": ("mpeg2b", ("ac3", "mp2", "dts")),
    "flv": ("h264b", ("aac", "mp3")),
    "ogv": ("theora", ("vorbis", "opus", "flac")),
    "mxf": ("mpeg2b", ("pcm", "pcm24")),
    "wmv": ("msmpeg4v3", ("wma", "mp3", "ac3")),
    "3gp": ("h263", ("amr", "aac")),
}
"""The video codec and the audio codecs of each container."""
OFFSET_AUDIO: dict[str, tuple[str, str]] = {
    "mp4": ("h264b", "aac"), "mov": ("h264b", "pcm"), "mkv": ("h264b", "opus"),
    "webm": ("vp9", "opus"), "avi": ("mjpeg", "mp3"), "ts": ("h264b", "mp2"),
    "vob": ("mpeg2b", "ac3"), "flv": ("h264b", "aac"), "ogv": ("theora", "vorbis"),
    "wmv": ("msmpeg4v3", "wma"),
}  # fmt: skip
"""Codecs of files whose audio is longer or shorter than the video, or starts at another time."""


def cases() -> Iterator[Case]:
    """The cases of this module."""
    yield from _codecs()
    yield from _sounds()
    yield from _offset_audio()


def _codecs() -> Iterator[Case]:
    for container, codecs in CODECS.items():
        for codec in codecs:
            count = 20 if codec in ("vvc", "rawvideo", "rawrgb", "dvvideo") else 60
            recipe = recipe_for(container, codec, times=constant(count))
            truth = truth_of(recipe)
            if codec in REFUSED_CODECS:
                truth = replace(truth, may_refuse=NOT_LISTED, must_refuse=True)
            if codec in ("gif", "qtrle"):
                truth = replace(truth, patch_tolerance=10)
            copies = codec.startswith(("h264", "hevc"))
            yield Case(container, "codec", codec, recipe, truth, copies=copies)
            if container in UNTIMED:
                continue
            if codec in ("h264b", "vp9", "mpeg2b", "theora", "prores") and container != "3gp":
                recipe = replace(recipe, times=constant(count, Fraction(30000, 1001)))
                truth = truth_of(recipe)
                yield Case(container, "29.97", codec, recipe, truth, copies=copies)


def _sounds() -> Iterator[Case]:
    for container, (codec, kinds) in AUDIO.items():
        for kind in kinds:
            recipe = recipe_for(container, codec, sound=SOUND[kind])
            truth = truth_of(recipe)
            if kind == "adpcm":
                truth = replace(truth, sound=None)  # not on the allow-list: a render without audio
            yield Case(container, "sound", kind, recipe, truth)


def _offset_audio() -> Iterator[Case]:
    for container, (codec, kind) in OFFSET_AUDIO.items():
        for what, start_s, end_s in (
            ("late sound", 0.7, None), ("early sound", -0.4, None),
            ("short sound", 0.0, 1.3), ("long sound", 0.0, 4.0),
        ):  # fmt: skip
            if container == "avi" and start_s:
                continue  # it has no start times
            if container not in ("mp4", "mkv", "ts", "avi") and what in (
                "early sound",
                "short sound",
            ):
                continue
            recipe = recipe_for(
                container, codec, sound=SOUND[kind], sound_from_s=start_s, sound_to_s=end_s
            )
            yield Case(container, what, f"{codec} {kind}", recipe, truth_of(recipe))
