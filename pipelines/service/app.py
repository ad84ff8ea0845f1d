"""The application: routes, the guard before them, and what errors become."""

from __future__ import annotations

import contextlib
import importlib.metadata
from collections.abc import AsyncIterator, Sequence
from typing import Any

from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from starlette.responses import JSONResponse

from curation.errors import InfrastructureError, MediaError, UnavailableError
from curation.listing import ListingError
from curation.search.errors import SearchError
from pipelines.config import ConfigError
from pipelines.service.api_keys import Scope
from pipelines.service.auth import Reader, anyone
from pipelines.service.jobs.commands import OrderError
from pipelines.service.jobs.queue import QueueError
from pipelines.service.middleware import COOKIE, Guard
from pipelines.service.outputs import NoOutputError
from pipelines.service.previews import BusyError
from pipelines.service.routes import clips, collections, jobs, page, search, sources, statistics
from pipelines.service.schemas import Record
from pipelines.service.service import Service

_REFUSED: dict[type[Exception], int] = {
    OrderError: 422, ConfigError: 422, ListingError: 422, SearchError: 422,
    NoOutputError: 404, UnavailableError: 409, MediaError: 409,
}  # fmt: skip
_LATER: dict[type[Exception], tuple[int, str]] = {
    BusyError: (429, "another clip is being cut from its source"),
    InfrastructureError: (503, "the storage cannot be reached"),
}
"""What may go well in a moment."""
_ROUTES = (
    jobs, collections, statistics, sources, clips, search,
)  # fmt: skip
_RETRY_S = "5"


class Alive(Record):
    """That the server is there."""

    status: str = "ok"


class Me(Record):
    """Who the server takes the caller for."""

    name: str
    scope: Scope


class Show(Record):
    """A token, to be kept in a cookie that no script can read."""

    token: str


def create_app(service: Service) -> FastAPI:
    """The application over a service, whose supervisor it starts and ends."""

    @contextlib.asynccontextmanager
    async def life(_: FastAPI) -> AsyncIterator[None]:
        service.supervisor.start()
        yield
        service.supervisor.close()

    app = FastAPI(
        title="Reelmill",
        version=importlib.metadata.version("reelmill"),
        openapi_url=None,
        docs_url=None,
        redoc_url=None,
        lifespan=life,
        responses={code: {"description": words} for code, words in _ANSWERS.items()},
    )
    _add_own(app, service)
    page.add(app)
    for routes in _ROUTES:
        routes.add(app, service)
    _add_handlers(app)
    app.add_middleware(
        Guard, settings=service.settings, tokens=service.tokens, metrics=service.metrics
    )
    return app


_ANSWERS: dict[int | str, str] = {
    400: "The request cannot be read.",
    401: "A token is needed.",
    403: "The token's scope does not reach.",
    404: "There is no such thing.",
    408: "The body took too long to arrive.",
    409: "Not in this state.",
    413: "The body is too long.",
    415: "Not this type of body.",
    422: "The request makes no sense; the detail says why.",
    429: "Too many requests; Retry-After says how many seconds to wait.",
}


def _add_own(app: FastAPI, service: Service) -> None:
    @app.get("/healthz", dependencies=[anyone])
    async def health() -> Alive:
        """That the server answers."""
        return Alive()

    @app.get("/metrics", response_class=Response)
    def metrics(caller: Reader) -> Response:
        """Requests and jobs in numbers, as Prometheus reads them."""
        return Response(service.metrics.text(), media_type="text/plain; version=0.0.4")

    @app.get("/v1/openapi.json", response_class=JSONResponse)
    def openapi(caller: Reader) -> JSONResponse:
        """This interface, as OpenAPI."""
        return JSONResponse(app.openapi())

    @app.get("/v1/me")
    def me(caller: Reader) -> Me:
        """Who the server takes the caller for."""
        return Me(name=caller.name, scope=caller.scope)

    @app.post("/v1/session", status_code=204, dependencies=[anyone])
    def begin(show: Show, request: Request) -> Response:
        """Puts a token into a cookie for a browser: for this site only, out of scripts' reach."""
        if service.tokens.find(show.token) is None:
            return JSONResponse({"detail": "this token does not hold"}, 401)
        response = Response(status_code=204)
        response.set_cookie(
            COOKIE, show.token, httponly=True, samesite="strict",
            secure=request.url.scheme == "https",
        )  # fmt: skip
        return response

    @app.delete("/v1/session", status_code=204, dependencies=[anyone])
    def end() -> Response:
        """Takes the cookie away."""
        response = Response(status_code=204)
        response.delete_cookie(COOKIE)
        return response


def _add_handlers(app: FastAPI) -> None:
    def invalid(_: Request, error: Exception) -> Response:
        """What is wrong and where, without repeating what was sent."""
        assert isinstance(error, RequestValidationError)
        return JSONResponse({"detail": _places(error.errors())}, 422)

    def refused(_: Request, error: Exception) -> Response:
        status = error.status if isinstance(error, QueueError) else _REFUSED[type(error)]
        headers = {"Retry-After": _RETRY_S} if status == 429 else None
        return JSONResponse({"detail": _text(str(error))}, status, headers)

    def later(_: Request, error: Exception) -> Response:
        status, words = _LATER[type(error)]
        return JSONResponse({"detail": words}, status, {"Retry-After": _RETRY_S})

    app.add_exception_handler(RequestValidationError, invalid)
    for kind in (*_REFUSED, QueueError):
        app.add_exception_handler(kind, refused)
    for kind in _LATER:
        app.add_exception_handler(kind, later)


def _places(errors: Sequence[Any]) -> list[dict[str, str]]:
    return [
        {
            "loc": _text(".".join(str(part) for part in error["loc"])),
            "msg": _text(error["msg"]),
            "type": error["type"],
        }
        for error in errors
    ]


def _text(words: str) -> str:
    """Text that JSON can hold, whatever was sent."""
    return words.encode("utf-8", "replace").decode()[:2000]
