"""A mark in the root of outputs, by which a worker checks that it has the same storage mounted.

A path that exists proves nothing: a container without the volume has the folder too, and what is
written there is lost with it. The mark is a random token in a small file, written once; a worker
reads it and compares.
"""

from __future__ import annotations

import os
import secrets
import socket
from dataclasses import dataclass
from pathlib import Path

from curation.errors import InfrastructureError
from curation.storage import Storage

VARIABLE = "REELMILL_STORAGE_MARK"
"""Passes a mark to the command and its workers: the token, a blank, the root."""
_NAME = ".reelmill-storage"


@dataclass(frozen=True)
class StorageMark:
    """The mark of a root."""

    root: str
    token: str

    @classmethod
    def create(cls, root: str) -> StorageMark:
        """The mark of a root, written if there is none yet; raises `InfrastructureError`."""
        storage = Storage.at(root)
        if storage.size(_NAME) is None:
            with storage.atomic_write(_NAME) as path:
                Path(path).write_text(secrets.token_hex(16), encoding="ascii")
        return cls(storage.root, _read_token(storage))

    @classmethod
    def from_environment(cls) -> StorageMark | None:
        """The mark that this process was started with, if any."""
        text = os.environ.get(VARIABLE)
        return cls.parse(text) if text else None

    @classmethod
    def parse(cls, text: str) -> StorageMark:
        """The mark that `str` wrote."""
        token, _, root = text.partition(" ")
        return cls(root, token)

    def __str__(self) -> str:
        """The text of the variable."""
        return f"{self.token} {self.root}"

    def check(self) -> None:
        """Raises `InfrastructureError` where this machine does not see the root."""
        storage = Storage.at(self.root)
        message = f"{socket.gethostname()} does not see the storage of {self.root}"
        try:
            is_same = storage.size(_NAME) is not None and _read_token(storage) == self.token
        except InfrastructureError as error:
            raise InfrastructureError(f"{message}: {error}") from error
        if not is_same:
            raise InfrastructureError(f"{message}; mount it there under the same path")


def _read_token(storage: Storage) -> str:
    with storage.local_path(_NAME) as path:
        return Path(path).read_text(encoding="ascii")
