"""Matrices, ranges, depths and tags, and the RGB values that the stated rule gives.

The rule: a matrix tag that is known is honoured; without one BT.709 from a height of 720 or a width
of 1280 on, else BT.601. PQ and HLG are tone-mapped to SDR in BT.709.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np

from tests.sweep.case import Case
from tests.sweep.encoders import RGB, recipe_for
from tests.sweep.generator import constant, truth_of
from tests.sweep.pictures import PATCHES, Coding, Floats, to_rgb, to_yuv

BT601, BT709, BT2020 = Coding("bt601"), Coding("bt709"), Coding("bt2020")
HD = (1280, 720)
SHORT = constant(20)
TAGGED = {
    "bt601 tagged": (BT601, "colorspace=smpte170m:color_primaries=smpte170m:color_trc=smpte170m"),
    "bt709 tagged": (BT709, "colorspace=bt709:color_primaries=bt709:color_trc=bt709"),
    "bt470bg tagged": (BT601, "colorspace=bt470bg:color_primaries=bt470bg:color_trc=bt470bg"),
    "matrix alone": (BT709, "colorspace=bt709"),
    "fcc": (Coding("fcc"), "colorspace=fcc"),
    "smpte240m": (Coding("smpte240m"), "colorspace=smpte240m"),
    "bt2020 sdr": (BT2020, "colorspace=bt2020nc:color_primaries=bt2020:color_trc=bt2020-10"),
    "full bt601": (Coding("bt601", True), "colorspace=smpte170m:range=pc"),
    "full bt709": (Coding("bt709", True), "colorspace=bt709:range=pc"),
}
UNUSUAL = ("ycgco", "bt2020c", "smpte2085", "chroma-derived-nc", "chroma-derived-c", "ictcp",
           "ipt-c2", "ycgco-re", "ycgco-ro")  # fmt: skip
"""Matrices that are no linear 4:2:0 ones, or that no library here converts."""


def cases() -> Iterator[Case]:
    """The cases of this module."""
    yield from _tagged()
    yield from _untagged()
    yield from _unusual_tags()
    yield from _rgb()
    yield from _bit_depths()
    yield from _hdr()


def _tagged() -> Iterator[Case]:
    for container, codec in (("mp4", "h264b"), ("mkv", "h264"), ("ts", "h264"), ("mp4", "hevc"),
                             ("webm", "vp9"), ("mov", "prores"), ("mkv", "ffv1"),
                             ("mp4", "av1"), ("mpg", "mpeg2")):  # fmt: skip
        for name, (coding, tags) in TAGGED.items():
            if container != "mp4" and name not in ("bt709 tagged", "full bt709"):
                continue
            if codec in ("hevc", "av1") and name not in ("bt709 tagged", "bt2020 sdr"):
                continue
            if codec in ("prores", "mpeg2") and coding.full:
                continue
            range_filter = "setparams=range=pc" if coding.full else ""
            recipe = recipe_for(
                container, codec, times=SHORT, coding=coding, tags=tags, filters=range_filter
            )
            yield Case(
                container, "colour", f"{codec} {name}", recipe, truth_of(recipe), copies=True
            )


def _untagged() -> Iterator[Case]:
    for container, codec in (("mp4", "h264"), ("mkv", "vp8"), ("ts", "mpeg2"), ("webm", "vp9"),
                             ("avi", "mpeg4"), ("y4m", "rawvideo"), ("flv", "h264")):  # fmt: skip
        recipe = recipe_for(container, codec, times=constant(6), size=HD, coding=BT709)
        rule = BT601 if codec == "vp8" else BT709  # VP8 is BT.601 by its definition
        yield Case(
            container, "colour", f"{codec} untagged HD", recipe, truth_of(recipe, rule), copies=True
        )
    for name, size, stored, rule in (
        ("untagged SD of 709", (256, 144), BT709, BT601), ("untagged HD of 601", HD, BT601, BT709),
        ("untagged 1280x544", (1280, 544), BT709, BT709),
        ("untagged 720x1280", (720, 1280), BT709, BT709),
        ("untagged 720x576", (720, 576), BT601, BT601),
        ("untagged 960x720", (960, 720), BT709, BT709),
    ):  # fmt: skip
        recipe = recipe_for("mp4", "h264", times=constant(6), size=size, coding=stored)
        yield Case("mp4", "colour", name, recipe, truth_of(recipe, rule), copies=True)


def _unusual_tags() -> Iterator[Case]:
    for tag in UNUSUAL:
        recipe = recipe_for("mp4", "h264", times=SHORT)
        number = {"ycgco": 8, "bt2020c": 10, "smpte2085": 11, "chroma-derived-nc": 12,
                  "chroma-derived-c": 13, "ictcp": 14, "ipt-c2": 15, "ycgco-re": 16,
                  "ycgco-ro": 17}[tag]  # fmt: skip
        tagged = f"h264_metadata=matrix_coefficients={number}"
        coding = BT2020 if tag == "bt2020c" else BT601
        recipe = replace(recipe, coding=coding, remux=("-bsf:v", tagged))
        yield Case("mp4", "colour", f"matrix tag {tag}", recipe, truth_of(recipe), copies=True)
    recipe = recipe_for(
        "mp4", "h264", times=SHORT, remux=("-bsf:v", "h264_metadata=matrix_coefficients=0")
    )
    yield Case("mp4", "colour", "matrix tag RGB on 420", recipe, truth_of(recipe), copies=True)
    for tag in ("colour_primaries", "transfer_characteristics"):
        bsf = f"h264_metadata={tag}=12" if tag == "colour_primaries" else f"h264_metadata={tag}=8"
        recipe = recipe_for("mp4", "h264", times=SHORT, remux=("-bsf:v", bsf))
        yield Case("mp4", "colour", f"odd {tag}", recipe, truth_of(recipe), copies=True)


def _rgb() -> Iterator[Case]:
    for container, encoder, pixels in (
        ("mkv", "libx264rgb", "rgb24"), ("mp4", "libx264rgb", "rgb24"), ("mkv", "ffv1", "bgr0"),
        ("mkv", "ffv1", "gbrp10le"), ("mov", "png", "rgba"), ("avi", "rawvideo", "bgr24"),
        ("avi", "png", "rgb24"), ("mkv", "libx265", "gbrp"), ("webm", "libvpx-vp9", "gbrp"),
    ):  # fmt: skip
        options = ("-c:v", encoder, *(("-crf", "5") if encoder.startswith("lib") else ()))
        if encoder == "libx265":
            options = (*options, "-preset", "ultrafast", "-x265-params", "log-level=error")
        if encoder == "libvpx-vp9":
            options = (*options, "-b:v", "0", "-deadline", "realtime", "-cpu-used", "8")
        recipe = recipe_for(
            container, "h264", times=SHORT, coding=RGB, video=options, pixels=pixels
        )
        yield Case(container, "colour", f"RGB {encoder} {pixels}", recipe, truth_of(recipe))
    recipe = recipe_for("mkv", "h264", times=constant(6), size=HD, coding=RGB,
                  video=("-c:v", "ffv1"), pixels="bgr0")  # fmt: skip
    yield Case("mkv", "colour", "RGB ffv1 HD", recipe, truth_of(recipe))


def _bit_depths() -> Iterator[Case]:
    for container, codec, pixels in (
        ("mp4", "h264", "yuv420p10le"), ("mkv", "hevc", "yuv420p10le"), ("mp4", "h264", "yuv444p"),
        ("mkv", "h264", "yuv422p"), ("webm", "vp9", "yuv444p"), ("mkv", "ffv1", "yuv444p10le"),
        ("mp4", "av1", "yuv420p10le"), ("mov", "prores", "yuv444p10le"), ("mkv", "ffv1", "yuv410p"),
        ("avi", "mjpeg", "yuvj422p"), ("avi", "mjpeg", "yuvj444p"),
    ):  # fmt: skip
        fields: dict[str, object] = {"times": SHORT, "pixels": pixels}
        if codec == "prores":
            fields["video"] = ("-c:v", "prores_ks", "-profile:v", "4")
        recipe = recipe_for(container, codec, **fields)
        yield Case(container, "colour", f"{codec} {pixels}", recipe, truth_of(recipe))
    recipe = recipe_for("mkv", "ffv1", times=SHORT, pixels="gray")
    grey = np.repeat(_luma(np.array(PATCHES, np.float64)), 3, axis=1)
    yield Case("mkv", "colour", "ffv1 gray", recipe, replace(truth_of(recipe), patches=grey))


def _luma(rgb: Floats) -> Floats:
    return (to_yuv(rgb, BT601)[:, :1] - 16) / 219 * 255


def _hdr() -> Iterator[Case]:
    deep = Coding("bt2020", bits=10)
    for name, transfer, primaries, matrix in (
        ("PQ", "smpte2084", "bt2020", "bt2020nc"),
        ("PQ no primaries", "smpte2084", None, "bt2020nc"),
        ("PQ no matrix", "smpte2084", "bt2020", None), ("PQ alone", "smpte2084", None, None),
        ("HLG", "arib-std-b67", "bt2020", "bt2020nc"),
        ("HLG no primaries", "arib-std-b67", None, "bt2020nc"),
        ("HLG alone", "arib-std-b67", None, None),
    ):  # fmt: skip
        tags = f"color_trc={transfer}"
        tags += f":color_primaries={primaries}" if primaries else ""
        tags += f":colorspace={matrix}" if matrix else ""
        for container, codec in (("mp4", "hevc"), ("mkv", "h264"), ("webm", "vp9")):
            if codec == "vp9" and name not in ("PQ", "HLG", "PQ alone"):
                continue
            recipe = recipe_for(
                container, codec, times=SHORT, coding=deep, tags=tags, pixels="yuv420p10le"
            )
            stored = np.round(to_yuv(np.array(PATCHES, np.float64), deep))
            signal = to_rgb(stored, deep) / 255
            patches = tone_mapped(signal, transfer == "smpte2084")
            truth = replace(truth_of(recipe), patches=patches, patch_tolerance=12)
            yield Case(container, "colour", f"{codec} {name}", recipe, truth, copies=True)


def tone_mapped(signal: Floats, pq: bool) -> Floats:
    """PQ or HLG signals of 0 to 1 in BT.2020 as SDR of 0 to 255 in BT.709.

    Linear light in units of 100 nits, BT.709 primaries, the Hable curve on the largest channel with
    a peak of ten units, and the inverse of a display of BT.1886, which BT.709 is shown on.
    """
    linear = _pq(signal) if pq else _hlg(signal)
    bt709 = np.maximum(linear @ np.linalg.inv(_XYZ_OF_709).dot(_XYZ_OF_2020).T, 0)
    peak = np.maximum(bt709.max(axis=1, keepdims=True), 1e-6)
    mapped = bt709 * (_hable(peak) / _hable(np.array(10.0))) / peak
    return np.asarray(np.clip(mapped, 0, 1) ** (1 / 2.4) * 255, np.float64)


_XYZ_OF_2020 = np.array([[0.636958, 0.144617, 0.168881], [0.262700, 0.677998, 0.059302],
                         [0.0, 0.028073, 1.060985]])  # fmt: skip
_XYZ_OF_709 = np.array([[0.412391, 0.357584, 0.180481], [0.212639, 0.715169, 0.072192],
                        [0.019331, 0.119195, 0.950532]])  # fmt: skip


def _pq(signal: Floats) -> Floats:
    power = signal ** (1 / 78.84375)
    base = np.maximum(power - 0.8359375, 0) / (18.8515625 - 18.6875 * power)
    return np.asarray(100 * base ** (1 / 0.1593017578125), np.float64)


def _hlg(signal: Floats) -> Floats:
    """Scene light with the system gamma of 1.2 for a display of 1000 nits, on each channel."""
    a, b, c = 0.17883277, 0.28466892, 0.55991073
    scene = np.where(signal <= 0.5, signal**2 / 3, (np.exp((signal - c) / a) + b) / 12)
    return np.asarray(10 * scene**1.2, np.float64)


def _hable(light: Floats) -> Floats:
    a, b, c, d, e, f = 0.15, 0.50, 0.10, 0.20, 0.02, 0.30
    return np.asarray(
        (light * (light * a + b * c) + d * e) / (light * (light * a + b) + d * f) - e / f
    )
