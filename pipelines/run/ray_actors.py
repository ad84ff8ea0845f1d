"""Actors on a Ray cluster that this process has joined, each with one stage set up.

Plain actors, not Ray Data: it is known which item a dead worker was at work on, several stages
share a cluster without each holding all of it, and models are loaded once a worker.
"""

from __future__ import annotations

import pickle
import time
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from curation.errors import InfrastructureError
from curation.stage import Fault, Resources, attempt
from pipelines.run.stage_setup import limit_threads, set_up_stage
from pipelines.run.storage_check import StorageMark

Answer = tuple[int, bytes | None, bool]
"""An actor's number, the pickled outcome of its first item or None, and whether it died."""


@dataclass
class _Handle:
    actor: Any
    calls: deque[tuple[Any, str | None]]
    """In order: the reference to the answer, and the item's key; none for whether it is ready."""


@dataclass
class RayActors:
    """Actors by number."""

    _handles: dict[int, _Handle] = field(default_factory=dict)

    def nodes(self) -> list[Resources]:
        """What each node of the cluster has."""
        import ray

        with _cluster_errors():
            nodes = [node["Resources"] for node in ray.nodes() if node["Alive"]]
        return [
            Resources(node.get("CPU", 0.0), node.get("GPU", 0.0), int(node.get("memory", 0)) >> 20)
            for node in nodes
        ]

    def start(self, number: int, stage: bytes, resources: Resources) -> None:
        """Asks Ray for an actor, which is ready once it is placed and its models are loaded."""
        import ray

        with _cluster_errors():
            actor = (
                ray.remote(_Actor)
                .options(
                    num_cpus=resources.cpus,
                    num_gpus=resources.gpus,
                    memory=resources.memory_mb << 20,
                    max_restarts=0,
                    max_task_retries=0,
                )
                .remote(stage, StorageMark.from_environment())
            )
            self._handles[number] = _Handle(actor, deque([(actor.is_ready.remote(), None)]))

    def send(self, number: int, item: bytes, key: str) -> None:
        """Calls an actor, if it lives."""
        if handle := self._handles.get(number):
            with _cluster_errors():
                handle.calls.append((handle.actor.attempt.remote(item), key))

    def wait(self, timeout_s: float) -> list[Answer]:
        """The first answer of each actor that has one, after at most this time."""
        import ray

        first = {c.calls[0][0]: number for number, c in self._handles.items() if c.calls}
        if not first:
            time.sleep(timeout_s)
            return []
        with _cluster_errors():
            ray.wait(list(first), num_returns=1, timeout=timeout_s)
            answered, _ = ray.wait(list(first), num_returns=len(first), timeout=0)
        return [self._answer(first[reference]) for reference in answered]

    def stop(self, number: int) -> None:
        """Kills an actor."""
        import ray

        if handle := self._handles.pop(number, None):
            with _cluster_errors():
                ray.kill(handle.actor)

    def _answer(self, number: int) -> Answer:
        import ray

        reference, key = self._handles[number].calls.popleft()
        try:
            outcome = ray.get(reference)
        except ray.exceptions.RayTaskError as error:
            return number, pickle.dumps(Fault(key or "", f"a worker: {error}")), False
        except (ray.exceptions.RayActorError, ray.exceptions.ObjectLostError):
            self.stop(number)
            return number, None, True
        return number, None if key is None else outcome, False


class _Actor:
    """Sets the stage up once, then returns outcomes of items and never raises."""

    def __init__(self, stage: bytes, mark: StorageMark | None) -> None:
        limit_threads()
        self._work = set_up_stage(stage, mark.check if mark else None)

    def is_ready(self) -> bool:
        return True

    def attempt(self, item: bytes) -> bytes:
        return pickle.dumps(attempt(self._work, pickle.loads(item)))


@contextmanager
def _cluster_errors() -> Iterator[None]:
    """Ray's own errors as an `InfrastructureError`."""
    import ray

    try:
        yield
    except ray.exceptions.RayError as error:
        raise InfrastructureError(f"Ray ended in the middle of a step: {error}") from error
