"""Run as a program of its own, confined: opens one file with PyAV and prints its facts as JSON.

Usage: probe_child.py OPTIONS_JSON PATH. Imports nothing of Reelmill, so that it starts quickly and
so that nothing of the parent is in reach of the bytes it reads.
"""

from __future__ import annotations

import json
import sys
from typing import Any

import av
import av.logging


def _stream_facts(stream: Any) -> dict[str, Any]:
    context = stream.codec_context
    return {
        "index": stream.index,
        "codec": context.codec.name if context is not None else None,
        "attached": bool(stream.disposition & av.stream.Disposition.attached_pic),
        "frames": stream.frames,
        "duration_s": float(stream.duration * stream.time_base) if stream.duration else None,
        "fps": float(stream.average_rate) if stream.average_rate else None,
        "coded_fps": float(context.framerate) if context and context.framerate else None,
        "aspect": str(stream.sample_aspect_ratio or "1"),
        "transfer": int(getattr(context, "color_trc", 2) or 2),
    }


def _audio_codec(container: Any) -> str | None:
    streams = container.streams.audio
    context = streams[0].codec_context if streams else None
    return context.codec.name if context is not None else None


def _first_frame_facts(container: Any, stream: Any, options: dict[str, str]) -> dict[str, Any]:
    """What only a decoded frame tells; empty after 2,000 packets without a good one."""
    stream.codec_context.options = options
    for count, packet in enumerate(container.demux(stream)):
        if count > 2000:
            break
        try:
            frames = packet.decode()
        except av.error.FFmpegError:
            continue
        for frame in frames:
            return {
                "stored_width": frame.width,
                "stored_height": frame.height,
                "pixel_format": frame.format.name,
                "interlaced": bool(frame.interlaced_frame),
                "rotation": round(getattr(frame, "rotation", 0) or 0),
            }
    return {}


def _facts(options: dict[str, str], path: str) -> dict[str, Any]:
    try:
        container = av.open("file:" + path, options=options, metadata_errors="replace")
    except av.error.FFmpegError as error:
        return {"error": error.strerror, "demuxer": error.log[1] if error.log else None}
    with container:
        videos = [_stream_facts(s) for s in container.streams.video]
        facts: dict[str, Any] = {
            "container": container.format.name,
            "duration_s": container.duration / 1e6 if container.duration else None,
            "videos": videos,
            "audios": len(container.streams.audio),
            "audio_codec": _audio_codec(container),
            "first": {},
        }
        real = [v for v in videos if not v["attached"]]
        if real and real[0]["codec"]:
            stream = container.streams[real[0]["index"]]
            limit = {"max_pixels": options["max_pixels"]}
            facts["first"] = _first_frame_facts(container, stream, limit)
        return facts


def main(options: dict[str, str], path: str) -> dict[str, Any]:
    """The facts of one file, or `{"error": …}`; with what the libraries said meanwhile."""
    av.logging.set_level(av.logging.ERROR)
    with av.logging.Capture(local=False) as log:
        facts = _facts(options, path)
    said = [message.strip() for _, _, message in log]
    return {**facts, "said": said[:20] + said[20:][-20:]}


if __name__ == "__main__":
    json.dump(main(json.loads(sys.argv[1]), sys.argv[2]), sys.stdout)
