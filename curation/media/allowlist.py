"""Containers, codecs and protocols that may be opened, and the options that enforce it.

A file that names other files (a playlist, an edit script) opens them if a demuxer for it is
enabled, regardless of its own suffix; so only demuxers that read a single file are listed.
"""

from __future__ import annotations

CONTAINERS: tuple[str, ...] = (
    "mov,mp4,m4a,3gp,3g2,mj2", "mov", "mp4", "matroska,webm", "matroska", "webm", "avi", "mpegts",
    "mpeg", "mpegvideo", "flv", "ogg", "ivf", "obu", "h264", "hevc", "vvc", "m4v", "mjpeg",
    "yuv4mpegpipe", "gif", "mxf", "asf",
)  # fmt: skip
"""Demuxers by ffmpeg's names."""

VIDEO_CODECS: tuple[str, ...] = (
    "h264", "hevc", "vvc", "av1", "libdav1d", "vp8", "vp9", "mpeg4", "mpeg2video", "mpeg1video",
    "mjpeg", "prores", "dnxhd", "h263", "flv", "flv1", "theora", "wmv3", "vc1", "gif", "rawvideo",
    "ffv1", "png", "msmpeg4v3", "msmpeg4",
)  # fmt: skip
"""Video decoders, and the codec ids they decode."""

AUDIO_CODECS: tuple[str, ...] = (
    "aac", "aac_latm", "mp3", "mp3float", "mp2", "mp2float", "ac3", "eac3", "opus", "libopus",
    "vorbis", "flac", "alac", "pcm_s16le", "pcm_s16be", "pcm_s24le", "pcm_s24be", "pcm_s32le",
    "pcm_f32le", "pcm_u8", "pcm_mulaw", "pcm_alaw", "amrnb", "amrwb", "dca", "wmav1", "wmav2",
    "pcm_bluray", "pcm_dvd",
)  # fmt: skip
"""Audio decoders."""

VIDEO_SUFFIXES: frozenset[str] = frozenset((
    # mov and its family: cameras, phones, proxies, fragments with a header of their own
    ".mp4", ".mpg4", ".mp4v", ".m4v", ".mov", ".qt", ".mqv", ".hdmov", ".3gp",
    ".3gpp", ".3g2", ".3gp2", ".3gpp2", ".k3g", ".f4v", ".mj2", ".mjp2", ".psp", ".ism",
    ".ismv", ".cmfv", ".gifv", ".lrv", ".lrf", ".insv", ".360", ".osv", ".trec",
    # matroska, avi, flv, asf
    ".mkv", ".mk3d", ".webm", ".avi", ".divx", ".xvid", ".flv", ".wmv", ".wm", ".asf", ".dvr-ms",
    # transport and program streams
    ".ts", ".m2ts", ".m2t", ".mts", ".trp", ".tp", ".tod", ".ssif", ".mpg", ".mpeg",
    ".mpe", ".mpeg1", ".mpeg2", ".mpeg4", ".mpg2", ".m1s", ".m2s", ".m2p", ".vob", ".vro", ".evo",
    ".mod",
    # ogg, and bare streams
    ".ogv", ".ogg", ".ogm", ".ogx", ".m1v", ".m2v", ".mpv", ".mpgv", ".mpv2", ".mp2v", ".ivf",
    ".av1", ".obu", ".y4m", ".h264", ".264", ".h26l", ".avc", ".h265", ".265", ".hevc",
    ".vvc", ".h266", ".266", ".mjpeg", ".mjpg", ".gif", ".mxf",
    # no container above reads these: listed, so that each fails by name instead of being ignored
    ".rm", ".rmvb", ".dv", ".wtv", ".nut", ".nsv", ".bik", ".amv", ".nuv",
))  # fmt: skip
"""Suffixes of files that a folder listing includes as videos."""


def input_options(*, audio: bool = False) -> dict[str, str]:
    """Options for ffmpeg and PyAV that allow one local file and nothing else."""
    codecs = VIDEO_CODECS + (AUDIO_CODECS if audio else ())
    return {
        "protocol_whitelist": "file",
        "format_whitelist": ",".join(dict.fromkeys(",".join(CONTAINERS).split(","))),
        "codec_whitelist": ",".join(codecs),
    }
