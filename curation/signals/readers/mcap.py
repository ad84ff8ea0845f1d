"""MCAP files: topics in JSON and ROS 2's CDR; libraries `mcap` and, for CDR, `rosbags`."""

from __future__ import annotations

import json
from typing import Any

from curation.signals.readers.base import ReadRequest
from curation.signals.readers.messages import Topics
from curation.signals.recording import Recording
from curation.signals.signal import SignalError


def read_mcap(request: ReadRequest) -> Recording:
    """All topics as one episode; raises `SignalError`."""
    from mcap.exceptions import McapError
    from mcap.reader import make_reader

    topics, decoders = Topics(request), _Decoders()
    try:
        with open(request.path, "rb") as stream:
            for schema, channel, message in make_reader(stream).iter_messages():
                encoding = channel.message_encoding
                kind = "" if schema is None else schema.name
                if encoding == "json":
                    fields = json.loads(message.data)
                elif encoding == "cdr" and schema is not None:
                    fields = decoders.cdr(schema, message.data)
                else:
                    topics.skip(channel.topic, f"its messages are {encoding or 'of no encoding'}")
                    continue
                if isinstance(fields, list | int | float):
                    fields = {"value": fields}
                published = message.publish_time or message.log_time
                topics.add(channel.topic, kind, published, message.log_time, fields)
    except (McapError, OSError, ValueError, KeyError) as error:
        raise SignalError(f"it is no complete MCAP file: {type(error).__name__} {error}") from error
    return topics.recording()


class _Decoders:
    """Types of CDR messages, each read once from its schema."""

    def __init__(self) -> None:
        self._store: Any = None
        self._names: dict[int, str] = {}

    def cdr(self, schema: Any, data: bytes) -> Any:
        from rosbags.typesys import Stores, get_types_from_idl, get_types_from_msg, get_typestore

        if self._store is None:
            self._store = get_typestore(Stores.EMPTY)
        if schema.id not in self._names:
            text, name = schema.data.decode("utf-8"), schema.name
            if name.count("/") == 1:
                name = name.replace("/", "/msg/")
            if schema.encoding == "ros2msg":
                types = get_types_from_msg(text, name)
            else:
                types = get_types_from_idl(text)
            new = {n: t for n, t in types.items() if n not in self._store.fielddefs}
            self._store.register(new)
            self._names[schema.id] = name
        return self._store.deserialize_cdr(data, self._names[schema.id])
