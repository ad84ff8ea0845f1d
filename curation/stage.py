"""The stage: the work on one item, apart from where it runs.

A stage is a frozen dataclass whose fields are its configuration. `setup` runs once in each worker,
loads models and returns the function from one item to one result. That function is pure: no clock,
no unseeded randomness, no writes to tables. It may raise `MediaError` (this input is bad),
`UnavailableError` (this input is unavailable: leave it for another run) or `InfrastructureError`
(not the input's fault: stop the run). Any other exception is a bug or a transient failure: the item
is retried once, then fails with reason `internal`, and the others go on.
"""

from __future__ import annotations

import errno
import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar, Protocol

from curation.errors import InfrastructureError, MediaError, UnavailableError
from curation.media import sandbox

_INFRASTRUCTURE_ERRNOS = {
    errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EMFILE, errno.ENFILE, errno.ESTALE, errno.EIO,
}  # fmt: skip


@dataclass(frozen=True)
class Resources:
    """What one worker of a stage reserves; only executors read it."""

    cpus: float = 1.0
    gpus: float = 0.0
    memory_mb: int = 1024


class Item(Protocol):
    """The input of a stage: anything picklable with a key."""

    @property
    def key(self) -> str:
        """Unique among the items of a step, for resuming and for messages."""


class Stage(Protocol):
    """One kind of work on one item."""

    version: ClassVar[int]
    """Part of the digest: incremented when the output changes."""

    @property
    def resources(self) -> Resources:
        """What one worker reserves."""

    def setup(self) -> Callable[[Any], Any]:
        """Loads models, once in each worker, and returns the function of one item."""


@dataclass(frozen=True)
class Done:
    """The stage's result for one item."""

    key: str
    value: Any
    cpu_seconds: float
    """Of this process and of children that have ended."""


@dataclass(frozen=True)
class Failed:
    """The item is bad, for a reason of the closed list."""

    key: str
    reason: str
    detail: str


@dataclass(frozen=True)
class Fault:
    """An infrastructure error: the item has no outcome, and the run has to stop."""

    key: str
    detail: str


@dataclass(frozen=True)
class Unavailable:
    """The item is unavailable: it has no outcome, and the others go on."""

    key: str
    detail: str


Outcome = Done | Failed | Unavailable | Fault


def attempt(work: Callable[[Any], Any], item: Item) -> Outcome:  # noqa: PLR0911  one an outcome
    """Runs the work on one item and returns its outcome; never raises an `Exception`."""
    start = time.process_time() + sandbox.cpu_seconds()
    for is_retry in (False, True):
        try:
            value = work(item)
            return Done(item.key, value, time.process_time() + sandbox.cpu_seconds() - start)
        except MediaError as error:
            return Failed(item.key, error.reason, error.detail)
        except UnavailableError as error:
            return Unavailable(item.key, str(error))
        except InfrastructureError as error:
            return Fault(item.key, str(error))
        except sandbox.ChildKilledError as error:
            if is_retry:
                return Failed(item.key, "decoder_died", str(error))
        except Exception as error:
            if isinstance(error, OSError) and error.errno in _INFRASTRUCTURE_ERRNOS:
                return Fault(item.key, str(error))
            if is_retry:
                return Failed(item.key, "internal", _describe(error))
    raise AssertionError("unreachable")


def _describe(error: Exception) -> str:
    """The error's message and the line that raised it."""
    frames = traceback.extract_tb(error.__traceback__)
    location = f" ({frames[-1].filename.rsplit('/', 1)[-1]}:{frames[-1].lineno})" if frames else ""
    return f"{type(error).__name__}: {error}{location}"[:500]
