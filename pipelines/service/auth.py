"""Authorization: every route depends on one `RequireScope`, or on `public`; a test checks that.

Both are coroutines: a plain function would take one of the threads that searches and tables work
in, and an answer as small as `/healthz` would wait for them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, cast

from fastapi import Depends, HTTPException, Request

from pipelines.service.api_keys import Caller, Scope


@dataclass(frozen=True)
class RequireScope:
    """Admits callers with a scope, and passes the caller to the route."""

    scope: Scope

    async def __call__(self, request: Request) -> Caller:
        """The caller; 401 without a valid key, 403 with too low a scope."""
        caller = cast(Caller | None, request.state.caller)
        if caller is None:
            raise HTTPException(
                401, "send an API key: Authorization: Bearer …", {"WWW-Authenticate": "Bearer"}
            )
        if not caller.may(self.scope):
            raise HTTPException(
                403, f"this requires the scope {self.scope}; yours is {caller.scope}"
            )
        return caller


@dataclass(frozen=True)
class Public:
    """Admits every caller: for routes that reveal nothing about the data."""

    async def __call__(self) -> None:
        """Nothing to check."""


public = Depends(Public())
Reader = Annotated[Caller, Depends(RequireScope("read"))]
Searcher = Annotated[Caller, Depends(RequireScope("search"))]
Submitter = Annotated[Caller, Depends(RequireScope("submit"))]
