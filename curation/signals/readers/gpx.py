"""GPX tracks (GPX 1.1, Topografix): latitude, longitude and elevation, by time."""

from __future__ import annotations

import xml.etree.ElementTree as ET
from datetime import datetime, timezone

import numpy as np

from curation.signals.clock import NS, Clock
from curation.signals.readers.base import ReadRequest, make_signal
from curation.signals.recording import Episode, Recording
from curation.signals.signal import SignalError

_EPOCH = datetime(1970, 1, 1, tzinfo=timezone.utc)


def read_gpx(request: ReadRequest) -> Recording:
    """The track's points as `gps.position` and `gps.elevation`; the first is the first frame's."""
    stamps: list[int] = []
    positions: list[list[float]] = []
    elevations: list[list[float]] = []
    try:
        for _, element in ET.iterparse(request.path):
            if element.tag.rpartition("}")[2] != "trkpt":
                continue
            children = {child.tag.rpartition("}")[2]: child.text or "" for child in element}
            if "time" not in children:
                raise SignalError(f"point {len(stamps) + 1} has no time")
            stamps.append(_nanoseconds(children["time"]))
            positions.append([float(element.attrib["lat"]), float(element.attrib["lon"])])
            elevations.append([float(children.get("ele") or "nan")])
            element.clear()
    except (ET.ParseError, KeyError, ValueError) as error:
        if isinstance(error, SignalError):
            raise
        raise SignalError(f"it is no GPX track: {error}") from error
    if not stamps:
        raise SignalError("the track has no points")
    times = np.array(stamps, np.int64)
    signals = [
        make_signal(
            "gps.position", times, np.array(positions), ("lat", "lon"), request, units="deg",
            frame="WGS 84",
        )
    ]  # fmt: skip
    if not np.isnan(elevations).all():
        values = np.array(elevations)
        signals.append(make_signal("gps.elevation", times, values, ("ele",), request, units="m"))
    clock = Clock(int(times[0]), request.offset_s, request.drift_ppm)
    return Recording((Episode(tuple(signals), clock),))


def _nanoseconds(text: str) -> int:
    """An ISO 8601 time as Unix nanoseconds, exactly; without a zone it is UTC."""
    time = datetime.fromisoformat(text.strip().replace("Z", "+00:00"))
    time = time if time.tzinfo else time.replace(tzinfo=timezone.utc)
    passed = time - _EPOCH
    return (passed.days * 86_400 + passed.seconds) * NS + passed.microseconds * 1_000
