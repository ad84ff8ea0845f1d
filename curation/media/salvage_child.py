"""Run confined as its own program: decodes a stream up to its first damage.

Usage: salvage_child.py JSON with path, options, stream, first_packet, max_pixels. Prints how many
packets precede the first that is damaged or cannot be read, and how many frames they hold.
"""

from __future__ import annotations

import json
import sys
from typing import Any

import av


def main(request: dict[str, Any]) -> dict[str, int]:
    """Packets and frames before the damage."""
    packets = frames = 0
    try:
        with av.open("file:" + request["path"], options=request["options"]) as source:
            stream = source.streams[request["stream"]]
            context = stream.codec_context
            context.thread_count = 1
            context.options = {
                "err_detect": "crccheck+bitstream+buffer+explode",
                "max_pixels": request["max_pixels"],
            }
            for packet in source.demux(stream):
                if packet.size and packets >= request["first_packet"]:
                    if packet.is_corrupt:
                        break
                    frames += len(context.decode(packet))
                packets += bool(packet.size)
    except av.error.FFmpegError:
        pass  # this is where the damage is
    return {"packets": packets, "frames": frames}


if __name__ == "__main__":
    json.dump(main(json.loads(sys.argv[1])), sys.stdout)
