"""Run as a program of its own, confined: copies the packets of one span into an mp4 file.

Usage: copy_child.py JSON with path, options, stream, start, end, frames, target, colour (numbers of
matrix, primaries and transfer). Prints `{"frames": n}` if both ends of the span lie on key frames
and exactly its frames lie between, else why not.
"""

from __future__ import annotations

import json
import sys
from typing import Any

import av
import av.bitstream


def main(order: dict[str, Any]) -> dict[str, Any]:
    """Copies the span, or says why it cannot be copied exactly."""
    with av.open("file:" + order["path"], options=order["options"]) as source:
        stream = source.streams[order["stream"]]
        packets = _between(source, stream, order["start"], order["end"])
        if isinstance(packets, str):
            return {"refused": packets}
        times = sorted(packet.pts for packet in packets)
        end = order["end"]
        if times[0] < order["start"]:
            return {"refused": "frames before the first key frame are stored after it"}
        if len(times) != order["frames"]:
            return {"refused": f"{len(times)} packets for {order['frames']} frames"}
        if end is not None and times[-1] >= end:
            return {"refused": "frames of the next group come in between"}
        _write(packets, stream, order)
    return {"frames": len(times)}


def _between(source: Any, stream: Any, start: int, end: int | None) -> Any:
    """The packets from the key frame at `start` up to the key frame at `end`, in file order.

    A transport stream has no index, and a seek may land behind its aim: it gets some seconds.
    """
    margin_s = 12 if "mpeg" in source.format.name else 0
    aim = start - int(margin_s / stream.time_base)
    if aim > (stream.start_time or 0):
        source.seek(aim, stream=stream, backward=True)
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


def _tagged(stream: Any, copy: Any, colour: dict[str, int]) -> Any:
    """What writes colour tags into the stream; None where it has these already."""
    context = stream.codec_context
    stated = {
        "matrix": context.colorspace,
        "primaries": context.color_primaries,
        "transfer": context.color_trc,
    }
    if {name: int(value) for name, value in stated.items()} == colour:
        return None
    tags = (
        f"colour_primaries={colour['primaries']}:transfer_characteristics={colour['transfer']}"
        f":matrix_coefficients={colour['matrix']}"
    )
    filters = f"{context.codec.name}_metadata={tags}"
    made = av.bitstream.BitStreamFilterContext(filters, in_stream=stream, out_stream=copy)
    # The filter hands over the tag of the container that was read, which mp4 may not know.
    if copy.codec_context.codec_tag not in ("avc1", "avc3", "hvc1", "hev1"):
        copy.codec_context.codec_tag = {"h264": "avc1", "hevc": "hev1"}[context.codec.name]
    return made


def _write(packets: list[Any], stream: Any, order: dict[str, Any]) -> None:
    options = {"movflags": "+faststart", "fflags": "+bitexact"}
    with av.open(order["target"], "w", format="mp4", options=options) as sink:
        copy = sink.add_stream_from_template(stream)
        tags = _tagged(stream, copy, order["colour"])
        if tags is not None:
            packets = [each for packet in packets for each in tags.filter(packet)]
            packets += tags.filter(None)
        for packet in packets:
            packet.pts -= order["start"]
            if packet.dts is not None:
                packet.dts -= order["start"]
            packet.stream = copy
            sink.mux(packet)


if __name__ == "__main__":
    try:
        json.dump(main(json.loads(sys.argv[1])), sys.stdout)
    except av.error.FFmpegError as error:
        json.dump({"refused": f"{type(error).__name__}: {error.strerror}"}, sys.stdout)
