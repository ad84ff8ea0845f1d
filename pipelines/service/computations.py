"""Threads for what requests compute: searches, plans, reports.

Few and apart from those that answer everything else, so that the light routes never wait for them,
and their memory is that of so many. One caller never has all of them, so that slow searches
leave a thread to everybody else. A place is held until its thread
is through, even if nobody waits for the response any more; what has not begun by then never does.
"""

from __future__ import annotations

import asyncio
import contextvars
import functools
from collections import Counter
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from typing import ParamSpec, TypeVar, cast

from curation.sql_filter import is_interrupted
from pipelines.service.api_keys import Caller
from pipelines.service.middleware import Rejection
from pipelines.service.settings import ServerLimits

Result = TypeVar("Result")
Parameters = ParamSpec("Parameters")
_RETRY_S = 5.0


class Computations:
    """The computations of one server."""

    def __init__(self, limits: ServerLimits) -> None:
        self._limits = limits
        self._threads = ThreadPoolExecutor(limits.computations, "computation")
        self._decoders = ThreadPoolExecutor(limits.decoders, "decoder")
        self._per_caller: Counter[str] = Counter()
        self._turns: dict[tuple[str, bool], asyncio.Semaphore] = {}
        """By caller and whether it decodes, what lets some of its computations on the threads."""

    async def run(
        self, caller: str, function: Callable[[], Result], *, decodes: bool = False
    ) -> Result:
        """The result of a function; a `Rejection` where too many run or wait already.

        Those that decode media, which takes seconds of another process, have threads apart.
        """
        limits = self._limits
        if self._per_caller[caller] >= limits.computations_per_caller:
            raise Rejection(429, "too many of your requests are computed at once", _RETRY_S)
        self._per_caller += Counter()  # forgets those with nothing to compute
        if self._per_caller.total() >= limits.all_computations:
            raise Rejection(503, "the server is busy; try again in a moment", _RETRY_S)

        def compute() -> Result:
            if is_interrupted():
                raise Rejection(503, "nobody waits for this any more")
            return function()

        self._per_caller[caller] += 1
        try:
            loop, context = asyncio.get_running_loop(), contextvars.copy_context()
            threads = self._decoders if decodes else self._threads
            async with self._turn(caller, decodes):
                return await loop.run_in_executor(threads, context.run, compute)
        finally:
            self._per_caller[caller] -= 1
            if not self._per_caller[caller]:
                for kind in (False, True):
                    self._turns.pop((caller, kind), None)

    def _turn(self, caller: str, decodes: bool) -> asyncio.Semaphore:
        """Admits one caller to all threads but one; where there is one, in turn with others."""
        threads = self._limits.decoders if decodes else self._limits.computations
        return self._turns.setdefault((caller, decodes), asyncio.Semaphore(max(1, threads - 1)))

    def route(
        self, function: Callable[Parameters, Result]
    ) -> Callable[Parameters, Awaitable[Result]]:
        """A route whose plain function, which takes the `caller`, is computed here."""

        @functools.wraps(function)
        async def computed(*values: Parameters.args, **names: Parameters.kwargs) -> Result:
            caller = cast(Caller, names["caller"])
            return await self.run(caller.name, functools.partial(function, *values, **names))

        return computed
