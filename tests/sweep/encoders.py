"""Options of encoders, and which codecs each container is tried with."""

from __future__ import annotations

from tests.sweep.generator import Recipe
from tests.sweep.pictures import Coding

X264 = ("-c:v", "libx264", "-preset", "ultrafast", "-crf", "10", "-g", "13", "-sc_threshold", "0")
VIDEO: dict[str, tuple[str, ...]] = {
    "h264": X264,
    "h264b": (*X264, "-bf", "2", "-x264-params", "b-adapt=0:open-gop=0"),
    "h264open": (*X264, "-bf", "2", "-x264-params", "b-adapt=0:open-gop=1"),
    "hevc": ("-c:v", "libx265", "-preset", "ultrafast", "-crf", "10", "-g", "13",
             "-x265-params", "log-level=error:bframes=0"),
    "hevcb": ("-c:v", "libx265", "-preset", "ultrafast", "-crf", "10", "-g", "13",
              "-x265-params", "log-level=error:bframes=2:b-adapt=0"),
    "vvc": ("-c:v", "libvvenc", "-preset", "faster", "-qp", "12", "-period", "1"),
    "av1": ("-c:v", "libsvtav1", "-preset", "12", "-crf", "12", "-g", "26",
            "-svtav1-params", "lp=1"),
    "vp8": ("-c:v", "libvpx", "-deadline", "realtime", "-cpu-used", "8", "-b:v", "3M",
            "-qmax", "20", "-g", "26"),
    "vp9": ("-c:v", "libvpx-vp9", "-deadline", "realtime", "-cpu-used", "8", "-crf", "8",
            "-b:v", "0", "-g", "26"),
    "vp9alt": ("-c:v", "libvpx-vp9", "-deadline", "good", "-cpu-used", "5", "-crf", "8",
               "-b:v", "0", "-auto-alt-ref", "1", "-lag-in-frames", "12", "-g", "60"),
    "mpeg4": ("-c:v", "mpeg4", "-q:v", "2", "-g", "13"),
    "mpeg4b": ("-c:v", "mpeg4", "-q:v", "2", "-g", "13", "-bf", "2"),
    "xvid": ("-c:v", "libxvid", "-q:v", "2", "-g", "13"),
    "mpeg2": ("-c:v", "mpeg2video", "-q:v", "2", "-g", "13"),
    "mpeg2b": ("-c:v", "mpeg2video", "-q:v", "2", "-g", "12", "-bf", "2"),
    "mpeg1": ("-c:v", "mpeg1video", "-q:v", "2", "-g", "13"),
    "mpeg1b": ("-c:v", "mpeg1video", "-q:v", "1", "-qmin", "1", "-g", "12", "-bf", "2"),
    "mjpeg": ("-c:v", "mjpeg", "-q:v", "2"),
    "prores": ("-c:v", "prores_ks", "-profile:v", "2"),
    "dnxhd": ("-c:v", "dnxhd", "-profile:v", "dnxhr_hq"),
    "h263": ("-c:v", "h263", "-q:v", "2", "-g", "1"),
    "h263p": ("-c:v", "h263p", "-q:v", "2"),
    "flv1": ("-c:v", "flv", "-q:v", "2"),
    "theora": ("-c:v", "libtheora", "-q:v", "9", "-g", "13"),
    "msmpeg4v2": ("-c:v", "msmpeg4v2", "-q:v", "2"),
    "msmpeg4v3": ("-c:v", "msmpeg4", "-q:v", "2"),
    "wmv1": ("-c:v", "wmv1", "-q:v", "2"),
    "wmv2": ("-c:v", "wmv2", "-q:v", "2"),
    "ffv1": ("-c:v", "ffv1"),
    "rawvideo": ("-c:v", "rawvideo"),
    "rawrgb": ("-c:v", "rawvideo"),
    "png": ("-c:v", "png"),
    "gif": ("-c:v", "gif"),
    "qtrle": ("-c:v", "qtrle"),
    "dvvideo": ("-c:v", "dvvideo"),
    "huffyuv": ("-c:v", "huffyuv"),
}  # fmt: skip
FULL = Coding("bt601", full=True)
RGB = Coding(None)
SPECIAL: dict[str, dict[str, object]] = {
    "mjpeg": {"coding": FULL, "filters": "setparams=range=pc", "tags": "range=pc"},
    "prores": {"pixels": "yuv422p10le"},
    "dnxhd": {"pixels": "yuv422p", "coding": Coding("bt709")},  # which it says of itself
    "h263": {"size": (176, 144)},
    "rawrgb": {"coding": RGB, "pixels": "rgb24"},
    "png": {"coding": RGB, "pixels": "rgb24"},
    "qtrle": {"coding": RGB, "pixels": "rgb24"},
    "gif": {"coding": RGB, "pixels": "pal8",
            "filters": "split[a][b];[a]palettegen[p];[b][p]paletteuse=dither=none"},
    "huffyuv": {"pixels": "yuv422p"},
    "dvvideo": {"size": (720, 576)},
}  # fmt: skip
"""Recipe fields that a codec requires."""
CODECS: dict[str, tuple[str, ...]] = {
    "mp4": ("h264", "h264b", "h264open", "hevc", "hevcb", "vvc", "av1", "vp9", "mpeg4", "mpeg4b",
            "mpeg2b", "mpeg1", "mjpeg", "png"),
    "mov": ("h264b", "hevcb", "prores", "dnxhd", "mjpeg", "png", "mpeg4", "rawrgb", "qtrle",
            "h263", "dvvideo"),
    "mkv": ("h264", "h264b", "h264open", "hevcb", "av1", "vp8", "vp9", "vp9alt", "mpeg4b",
            "mpeg2b", "mpeg1b", "mjpeg", "prores", "theora", "ffv1", "msmpeg4v3", "rawvideo",
            "flv1", "huffyuv"),
    "webm": ("vp8", "vp9", "vp9alt", "av1"),
    "avi": ("mpeg4", "mpeg4b", "xvid", "mjpeg", "msmpeg4v2", "msmpeg4v3", "rawvideo",
            "ffv1", "png", "h264", "h264b", "mpeg2", "mpeg1", "huffyuv", "h263p", "wmv2"),
    "ts": ("h264", "h264b", "h264open", "hevc", "hevcb", "mpeg2", "mpeg2b", "mpeg1b", "mpeg4b",
           "vvc"),
    "m2ts": ("h264b", "hevcb", "mpeg2b"),
    "mpg": ("mpeg1", "mpeg1b", "mpeg2", "mpeg2b", "h264"),
    "vob": ("mpeg2", "mpeg2b"),
    "flv": ("flv1", "h264", "h264b", "hevcb", "vp9", "av1"),
    "ogv": ("theora", "vp8"),
    "ivf": ("vp8", "vp9", "av1"),
    "obu": ("av1",),
    "h264": ("h264", "h264b", "h264open"),
    "hevc": ("hevc", "hevcb"),
    "266": ("vvc",),
    "mjpeg": ("mjpeg",),
    "m2v": ("mpeg2", "mpeg2b"),
    "m1v": ("mpeg1", "mpeg1b"),
    "m4v-es": ("mpeg4", "mpeg4b"),
    "y4m": ("rawvideo",),
    "gif": ("gif",),
    "mxf": ("mpeg2", "mpeg2b", "dnxhd", "h264"),
    "wmv": ("wmv2", "msmpeg4v3", "wmv1", "mpeg4b", "mjpeg"),
    "3gp": ("h263", "mpeg4", "h264b"),
}  # fmt: skip
"""Codecs by container, which is the suffix."""
OUTPUT: dict[str, tuple[str, ...]] = {
    "vob": ("-f", "vob"),
    "m4v-es": ("-f", "m4v"),
    "y4m": ("-f", "yuv4mpegpipe"),
    "m2ts": ("-f", "mpegts", "-mpegts_m2ts_mode", "1"),
    "266": ("-f", "vvc"),
    "mjpeg": ("-f", "mjpeg"),
}  # fmt: skip
REFUSED_CODECS = {"qtrle", "dvvideo", "wmv1", "wmv2", "huffyuv", "msmpeg4v2"}
"""Codecs that the allow-list does not name."""
UNTIMED = ("h264", "hevc", "266", "obu", "m2v", "m1v", "m4v-es", "mjpeg")
"""Containers that hold no times."""


def recipe_for(container: str, codec: str, **overrides: object) -> Recipe:
    """The default recipe of a codec in a container; `overrides` replaces its fields."""
    fields: dict[str, object] = {
        "suffix": "." + container.removesuffix("-es"),
        "video": VIDEO[codec],
        "output": OUTPUT.get(container, ()),
        **SPECIAL.get(codec, {}),
        **overrides,
    }
    return Recipe(**fields)  # type: ignore[arg-type]
