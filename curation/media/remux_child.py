"""Run confined as its own program: copies the packets of one span into an mp4 file.

Usage: remux_child.py JSON with path, options, stream, start, end, frames, target, colour (H.273
codes of matrix, primaries and transfer). Prints `{"frames": n}` if both ends of the span are on key
frames and exactly its frames are between them, else `{"refused": reason}`.
"""

from __future__ import annotations

import json
import sys
from typing import Any

import av
import av.bitstream


def main(request: dict[str, Any]) -> dict[str, Any]:
    """Copies the span, or says why it cannot be copied exactly."""
    start, end = request["start"], request["end"]
    with av.open("file:" + request["path"], options=request["options"]) as source:
        stream = source.streams[request["stream"]]
        packets = _packets_between(source, stream, start, end)
        if isinstance(packets, str):
            return {"refused": packets}
        pts = sorted(packet.pts for packet in packets)
        if pts[0] < start:
            return {"refused": "frames before the first key frame are stored after it"}
        if len(pts) != request["frames"]:
            return {"refused": f"{len(pts)} packets for {request['frames']} frames"}
        if end is not None and pts[-1] >= end:
            return {"refused": "frames of the next group come in between"}
        _write(packets, stream, request)
    return {"frames": len(pts)}


def _packets_between(source: Any, stream: Any, start: int, end: int | None) -> Any:
    """The packets from the key frame at `start` up to the key frame at `end`, in file order.

    A transport stream has no index, and a seek may land after its target: it gets some seconds.
    """
    margin_s = 12 if "mpeg" in source.format.name else 0
    target = start - int(margin_s / stream.time_base)
    if target > (stream.start_time or 0):
        source.seek(target, stream=stream, backward=True)
    packets: list[Any] = []
    for packet in source.demux(stream):
        if packet.pts is None:
            continue
        if not packets and not (packet.is_keyframe and packet.pts == start):
            if packet.is_keyframe and packet.pts > start:
                return "the span does not start on a key frame"
            continue
        if end is not None and packet.pts == end:
            return packets if packet.is_keyframe else "the span does not end before a key frame"
        packets.append(packet)
    return packets if end is None and packets else "the span's ends are not on key frames"


def _colour_tagger(stream: Any, copy: Any, colour: dict[str, int]) -> Any:
    """The bitstream filter that writes colour tags; None if the stream has these already."""
    context = stream.codec_context
    stated = {
        "matrix": int(context.colorspace),
        "primaries": int(context.color_primaries),
        "transfer": int(context.color_trc),
    }
    if stated == colour:
        return None
    tags = (
        f"colour_primaries={colour['primaries']}:transfer_characteristics={colour['transfer']}"
        f":matrix_coefficients={colour['matrix']}"
    )
    tagger = av.bitstream.BitStreamFilterContext(
        f"{context.codec.name}_metadata={tags}", in_stream=stream, out_stream=copy
    )
    # The filter passes on the codec tag of the source's container, which mp4 may not know.
    if copy.codec_context.codec_tag not in ("avc1", "avc3", "hvc1", "hev1"):
        copy.codec_context.codec_tag = {"h264": "avc1", "hevc": "hev1"}[context.codec.name]
    return tagger


def _write(packets: list[Any], stream: Any, request: dict[str, Any]) -> None:
    options = {"movflags": "+faststart", "fflags": "+bitexact"}
    with av.open(request["target"], "w", format="mp4", options=options) as sink:
        copy = sink.add_stream_from_template(stream)
        tagger = _colour_tagger(stream, copy, request["colour"])
        if tagger is not None:
            packets = [tagged for packet in packets for tagged in tagger.filter(packet)]
            packets += tagger.filter(None)
        for packet in packets:
            packet.pts -= request["start"]
            if packet.dts is not None:
                packet.dts -= request["start"]
            packet.stream = copy
            sink.mux(packet)


if __name__ == "__main__":
    try:
        json.dump(main(json.loads(sys.argv[1])), sys.stdout)
    except av.error.FFmpegError as error:
        json.dump({"refused": f"{type(error).__name__}: {error.strerror}"}, sys.stdout)
