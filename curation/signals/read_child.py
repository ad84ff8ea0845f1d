"""Run confined as its own program: reads the signals of one video.

Usage: read_child.py JSON with the fields of a `ReadRequest`. Prints the bytes of a `Recording`.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path, PurePath
from typing import Any


def main(fields: dict[str, Any]) -> bytes:
    """The recording; raises `SignalError`, and what else a broken file makes a library raise."""
    sys.path.insert(0, str(Path(__file__).parents[2]))
    from curation.signals.readers.base import ReadRequest
    from curation.signals.recording import to_bytes

    request = ReadRequest(**fields)
    return to_bytes(_reader(request.path)(request))


def _reader(path: str) -> Callable[[Any], Any]:
    suffix = PurePath(path).suffix.lower()
    if Path(path).is_dir():
        if (Path(path) / "metadata.yaml").exists():
            from curation.signals.readers.rosbag import read_rosbag

            return read_rosbag
        from curation.signals.readers.lerobot import read_lerobot

        return read_lerobot
    if suffix == ".mcap":
        from curation.signals.readers.mcap import read_mcap

        return read_mcap
    if suffix == ".bag":
        from curation.signals.readers.rosbag import read_rosbag

        return read_rosbag
    if suffix == ".gpx":
        from curation.signals.readers.gpx import read_gpx

        return read_gpx
    from curation.signals.readers.table import read_table

    return read_table


if __name__ == "__main__":
    try:
        result = main(json.loads(sys.argv[1]))
    except MemoryError:
        sys.exit("MemoryError")
    except ModuleNotFoundError as error:
        from curation.extras import install_command

        sys.exit(f"{error.name} is not installed: {install_command('signals')}")
    except Exception as error:  # a file from outside may break a library in any way
        name = type(error).__name__
        sys.exit(str(error) if name == "SignalError" else f"{name}: {error}")
    sys.stdout.buffer.write(result)
