"""Stages that go wrong in every way, for the conformance suite of executors."""

import errno
import os
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from curation.catalog import Catalog
from curation.errors import InfrastructureError, MediaError, UnavailableError
from curation.stage import Done, Failed, Resources
from curation.storage import Storage


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


class WordStep:
    """A step over words, whose ledger is a dictionary."""

    name = "shout"
    result = "words"
    tables: Mapping[str, type] = {}

    def __init__(self, folder: Path, words: list[str]) -> None:
        self.stage = Shout(str(folder))
        self.catalog = Catalog(Storage.at(folder / "out"))
        self.words = words
        self.committed: dict[str, Done | Failed] = {}

    def check(self):
        pass

    def todo(self):
        return [Word(word) for word in self.words if word not in self.committed]

    def retried(self, items):
        return 0

    def split(self, item):
        return [item]

    def weight(self, item):
        return 1

    def size(self, item):
        return 1.0

    def video_s(self, item, outcome):
        return 0.0

    def finished(self):
        return 0

    def ledger(self, writer, items):
        return self

    def commit(self, results):
        for item, outcome in results:
            assert item.key not in self.committed, "committed twice"
            self.committed[item.key] = outcome
        return Counter(type(outcome).__name__ for _, outcome in results)
