"""A mark in an outputs' root, by which a machine proves that it sees the same storage.

A path that exists proves nothing: a container without the volume has the folder too, and what is
written there is lost with it. The mark is a random word in a small file, made once; whoever is to
work for the root reads it and compares.
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
"""Hands a mark to the command and its workers: the word, a blank, the root."""
_NAME = ".reelmill-storage"


@dataclass(frozen=True)
class StorageMark:
    """What a root's file holds."""

    root: str
    token: str

    @classmethod
    def create(cls, root: str) -> StorageMark:
        """The mark of a root, made if there is none yet; raises `EnvironmentFaultError`."""
        storage = Storage.at(root)
        if storage.size(_NAME) is None:
            with storage.atomic_write(_NAME) as path:
                Path(path).write_text(secrets.token_hex(16), encoding="ascii")
        return cls(storage.root, _word(storage))

    @classmethod
    def from_environment(cls) -> StorageMark | None:
        """The mark that this process was started with, if any."""
        said = os.environ.get(VARIABLE)
        return cls.parse(said) if said else None

    @classmethod
    def parse(cls, text: str) -> StorageMark:
        """The mark that `str` wrote."""
        word, _, root = text.partition(" ")
        return cls(root, word)

    def __str__(self) -> str:
        """As the variable holds it."""
        return f"{self.token} {self.root}"

    def check(self) -> None:
        """Raises `EnvironmentFaultError` where this machine does not see the root."""
        storage = Storage.at(self.root)
        try:
            is_same = storage.size(_NAME) is not None and _word(storage) == self.token
        except InfrastructureError as error:
            raise InfrastructureError(f"{_unseen(self.root)}: {error}") from error
        if not is_same:
            raise InfrastructureError(f"{_unseen(self.root)}; mount it there under the same path")


def _word(storage: Storage) -> str:
    with storage.local_path(_NAME) as path:
        return Path(path).read_text(encoding="ascii")


def _unseen(root: str) -> str:
    return f"{socket.gethostname()} does not see the storage of {root}"
