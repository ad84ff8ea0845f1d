"""Stages that go wrong in every way, for the conformance suite of executors."""

import errno
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from curation.errors import InfrastructureError, MediaError, UnavailableError
from curation.stage import Resources


@dataclass(frozen=True)
class Word:
    key: str


@dataclass(frozen=True)
class Shout:
    """Shouts a word; some words are bad."""

    folder: str
    memory_mb: int = 100
    version: ClassVar[int] = 1

    @property
    def resources(self) -> Resources:
        return Resources(cpus=0.5, memory_mb=self.memory_mb)

    def setup(self) -> Callable[[Word], str]:
        return self._shout

    def _shout(self, word: Word) -> str:
        tries = self._count(word.key)
        match word.key:
            case "bad":
                raise MediaError("corrupt", "a bad word")
            case "bug":
                raise KeyError("a bug")
            case "fluke" if tries == 1:
                raise KeyError("a fluke")
            case "full":
                raise OSError(errno.ENOSPC, "No space left on device")
            case "down":
                raise InfrastructureError("storage is down")
            case "away":
                raise UnavailableError("a disk is not mounted")
            case "deadly":
                os._exit(1)
            case "deadly once" if tries == 1:
                os._exit(1)
        return word.key.upper()

    def _count(self, key: str) -> int:
        """How often the word was tried, over all workers."""
        tries = Path(self.folder, key)
        with tries.open("a") as file:
            file.write(".")
        return tries.stat().st_size


@dataclass(frozen=True)
class Stillborn(Shout):
    """No worker lives long enough to work."""

    def setup(self) -> Callable[[Word], str]:
        os._exit(1)
