"""Who may call a route: every route depends on one `Needs`, or on `anyone`; a test holds it.

Both are coroutines: a plain function would take one of the threads that searches and tables work
in, and an answer as small as `/healthz` would wait for them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, cast

from fastapi import Depends, HTTPException, Request

from pipelines.service.api_keys import Caller, Scope


@dataclass(frozen=True)
class Needs:
    """Lets callers of a scope through, and tells the route who calls."""

    scope: Scope

    async def __call__(self, request: Request) -> Caller:
        """The caller; 401 without a token that holds, 403 with one that does not reach."""
        caller = cast(Caller | None, request.state.caller)
        if caller is None:
            raise HTTPException(
                401, "show a token: Authorization: Bearer …", {"WWW-Authenticate": "Bearer"}
            )
        if not caller.may(self.scope):
            raise HTTPException(403, f"this takes the scope {self.scope}; yours is {caller.scope}")
        return caller


@dataclass(frozen=True)
class Anyone:
    """Lets everybody through: for what says nothing about the data."""

    async def __call__(self) -> None:
        """Nothing to check."""


anyone = Depends(Anyone())
Reader = Annotated[Caller, Depends(Needs("read"))]
Searcher = Annotated[Caller, Depends(Needs("search"))]
Submitter = Annotated[Caller, Depends(Needs("submit"))]
Admin = Annotated[Caller, Depends(Needs("admin"))]
