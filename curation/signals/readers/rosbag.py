"""Bags of ROS 1 and ROS 2, by the library `rosbags`: a `.bag` file, or a folder of ROS 2."""

from __future__ import annotations

from pathlib import Path

from curation.signals.readers.base import ReadRequest
from curation.signals.readers.messages import Topics
from curation.signals.recording import Recording
from curation.signals.signal import SignalError


def read_rosbag(request: ReadRequest) -> Recording:
    """All topics as one episode; raises `SignalError`."""
    from rosbags.highlevel import AnyReader, AnyReaderError
    from rosbags.typesys import Stores, get_typestore

    topics = Topics(request)
    try:
        store = get_typestore(Stores.LATEST)
        with AnyReader([Path(request.path)], default_typestore=store) as reader:
            for connection, time, data in reader.messages():
                kind = connection.msgtype
                if kind not in reader.typestore.fielddefs:
                    topics.skip(connection.topic, f"its type {kind} is not known")
                    continue
                fields = reader.deserialize(data, kind)
                topics.add(connection.topic, kind, time, time, fields)
    except (AnyReaderError, OSError, ValueError, KeyError) as error:
        raise SignalError(f"it is no complete bag: {type(error).__name__} {error}") from error
    return topics.recording()
