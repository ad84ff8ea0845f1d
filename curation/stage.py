"""The Stage contract: what a worker does with one item, told apart from where it runs.

A stage is a frozen dataclass whose fields are its configuration. `setup` runs once in the worker,
loads models and returns the function that turns one item into one result. That function is pure:
no clock, no unseeded randomness, no writes to tables. It may raise `MediaError` (this input is
bad), `OutOfReachError` (this input is away: leave it for another run) or `EnvironmentFaultError`
(the surroundings failed: stop, nothing is decided). Anything else is a bug, or a fluke: it is tried
once more, then this input fails with reason `internal` and everything else goes on.
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

_ENVIRONMENT_ERRNOS = {
    errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EMFILE, errno.ENFILE, errno.ESTALE, errno.EIO,
}  # fmt: skip


@dataclass(frozen=True)
class Needs:
    """What one worker of a stage reserves; only executors read it."""

    cpus: float = 1.0
    gpus: float = 0.0
    memory_mb: int = 1024


class Item(Protocol):
    """What goes into a stage: anything picklable with a name of its own."""

    @property
    def key(self) -> str:
        """Names the item among all items of this step, for resuming and for messages."""


class Stage(Protocol):
    """One kind of work on one item."""

    version: ClassVar[int]
    """Part of the digest: raised when the output changes."""

    @property
    def needs(self) -> Needs:
        """What one worker reserves."""

    def setup(self) -> Callable[[Any], Any]:
        """Loads what the work needs, once in each worker, and returns the work."""


@dataclass(frozen=True)
class Done:
    """The stage's result for one item."""

    key: str
    value: Any
    cpu_seconds: float
    """Of this process and the children it ended."""


@dataclass(frozen=True)
class Failed:
    """The item is bad, for a reason of the closed list."""

    key: str
    reason: str
    detail: str


@dataclass(frozen=True)
class Fault:
    """The surroundings failed: nothing is decided about the item, and the run has to stop."""

    key: str
    detail: str


@dataclass(frozen=True)
class Away:
    """The item is out of reach: nothing is decided about it, and the others go on."""

    key: str
    detail: str


Outcome = Done | Failed | Away | Fault


def attempt(work: Callable[[Any], Any], item: Item) -> Outcome:  # noqa: PLR0911  one an outcome
    """Runs the work on one item and says how it went; never raises an `Exception`."""
    start = time.process_time() + sandbox.cpu_seconds()
    for last in (False, True):
        try:
            value = work(item)
            return Done(item.key, value, time.process_time() + sandbox.cpu_seconds() - start)
        except MediaError as error:
            return Failed(item.key, error.reason, error.detail)
        except UnavailableError as error:
            return Away(item.key, str(error))
        except InfrastructureError as error:
            return Fault(item.key, str(error))
        except sandbox.ChildKilledError as error:
            if last:
                return Failed(item.key, "decoder_died", str(error))
        except Exception as error:
            if isinstance(error, OSError) and error.errno in _ENVIRONMENT_ERRNOS:
                return Fault(item.key, str(error))
            if last:
                return Failed(item.key, "internal", _where(error))
    raise AssertionError("unreachable")


def _where(error: Exception) -> str:
    """The error's words and the innermost line of ours that it passed."""
    frames = traceback.extract_tb(error.__traceback__)
    place = f" ({frames[-1].filename.rsplit('/', 1)[-1]}:{frames[-1].lineno})" if frames else ""
    return f"{type(error).__name__}: {error}{place}"[:500]
