"""The audit log: refused requests and those that changed something, as JSON lines in the state.

Each line has `at`, `address`, `caller`, `method`, `path`, `status`, and `detail`: why a request was
refused, or what it made. Refusals are recorded up to a rate, overall and of each address, so that
nobody fills the disk or hides behind noise; `unrecorded` counts those that were left out since the
line before. The file is rotated by size. What retention deletes is recorded here, too.
"""

from __future__ import annotations

import json
import logging
import logging.handlers
import threading
from pathlib import Path
from typing import Any

from pipelines.service.connections import client_network
from pipelines.service.database import timestamp
from pipelines.service.rate_limit import RateLimiter

REFUSALS = frozenset({400, 401, 403, 408, 411, 413, 415, 421, 429, 431, 503})
"""Statuses by which a request is refused for who sends it, or for how it is sent."""
_MAX_BYTES = 10 << 20
_MAX_FILES = 10
_MAX_DETAIL = 300
_PER_ADDRESS = (1.0, 30)
"""Recorded refusals of one address: a second, and at once."""
_OVERALL = (10.0, 300)
_log = logging.getLogger("reelmill.service")


class AuditLog:
    """The audit log of one server. Thread-safe; a line that cannot be written is lost."""

    def __init__(self, path: Path) -> None:
        self._file = _RotatingFile(path, maxBytes=_MAX_BYTES, backupCount=_MAX_FILES - 1)
        self._lock = threading.Lock()
        self._per_address, self._overall = RateLimiter(*_PER_ADDRESS), RateLimiter(*_OVERALL)
        self._unrecorded = 0

    def record(self, **fields: Any) -> None:
        """Adds a line; fields that are None are left out."""
        with self._lock:
            fields |= {"unrecorded": self._unrecorded or None}
            self._unrecorded = 0
        line = {"at": timestamp(), **fields}
        text = json.dumps({name: value for name, value in line.items() if value is not None})
        self._file.handle(logging.makeLogRecord({"msg": text}))

    def record_refusal(self, address: str, status: int, detail: str, **fields: Any) -> None:
        """Adds a line about a refused request, unless there are too many of them."""
        with self._lock:
            waits = self._per_address.take(client_network(address)) or self._overall.take("")
            self._unrecorded += bool(waits)
        if not waits:
            self.record(address=address, status=status, detail=detail[:_MAX_DETAIL], **fields)

    def close(self) -> None:
        """Closes the file."""
        self._file.close()


class _RotatingFile(logging.handlers.RotatingFileHandler):
    """A file that says once, not with every line, that it cannot be written."""

    is_failing = False

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802  the library's name
        """Called where a line could not be written."""
        if not self.is_failing:
            self.is_failing = True
            _log.exception("the audit log %s cannot be written", self.baseFilename)
