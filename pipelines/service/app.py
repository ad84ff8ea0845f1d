"""The application: routes, the middleware before them, and errors as responses."""

from __future__ import annotations

import contextlib
import functools
import importlib.metadata
import itertools
from collections.abc import AsyncIterator
from typing import cast

from anyio.to_thread import current_default_thread_limiter
from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from starlette.responses import JSONResponse

from curation.errors import InfrastructureError, MediaError, ReelmillError, UnavailableError
from curation.input_list import ListingError
from curation.object_stores import store_scheme
from curation.search.query import SearchError
from pipelines.config import ConfigError
from pipelines.service.api_keys import SESSION_DAYS, Scope
from pipelines.service.auth import Reader, public
from pipelines.service.jobs.commands import JobRequestError
from pipelines.service.jobs.queue import QueueError
from pipelines.service.middleware import COOKIE, SecurityMiddleware, session_id
from pipelines.service.outputs import NoOutputError
from pipelines.service.previews import BusyError
from pipelines.service.routes import (
    clips,
    collections,
    jobs,
    page,
    reviews,
    search,
    sources,
    statistics,
)
from pipelines.service.schemas import StrictModel
from pipelines.service.service import Service

_ERROR_STATUS: dict[type[Exception], int] = {
    JobRequestError: 422, ConfigError: 422, ListingError: 422, SearchError: 422,
    NoOutputError: 404, UnavailableError: 409, MediaError: 409, QueueError: 409,
}  # fmt: skip
"""Of each class and its subclasses; an error's own `status` goes first."""
_RETRYABLE: dict[type[Exception], tuple[int, str]] = {
    BusyError: (429, "another clip is being cut from its source"),
    InfrastructureError: (503, "the storage is unavailable"),
}
"""Errors that a retry may not meet again."""
_RETRY_S = "5"
_MAX_ERRORS = 20
"""Mistakes in one request that are explained."""
_ERROR_DESCRIPTIONS: dict[int | str, str] = {
    400: "The request cannot be read.",
    401: "An API key is required.",
    403: "The key's scope is too low.",
    404: "There is no such thing.",
    408: "The body took too long to arrive.",
    409: "Not possible in this state.",
    411: "A body has to declare its length.",
    413: "The body is too long.",
    415: "This type of body is not accepted.",
    422: "The request is invalid; the detail says why.",
    429: "Too many requests; Retry-After says how many seconds to wait.",
    431: "The headers are too many or too long.",
    503: "The server is busy; Retry-After says how many seconds to wait.",
}


class Health(StrictModel):
    """The state of the server."""

    status: str = "ok"


class Me(StrictModel):
    """The caller, as the server identifies it."""

    name: str
    scope: Scope


class SessionRequest(StrictModel):
    """An API key to keep in a cookie that scripts cannot read."""

    key: str


def create_app(service: Service) -> FastAPI:
    """The application over a service, whose supervisor it starts and closes."""

    @contextlib.asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        limits, is_remote = service.settings.limits, bool(store_scheme(service.settings.root))
        threads = limits.remote_threads if is_remote else limits.threads
        current_default_thread_limiter().total_tokens = threads
        service.supervisor.start()
        if service.webhook is not None:
            service.webhook.start()
        yield
        service.supervisor.close()
        if service.webhook is not None:
            service.webhook.close()
        service.audit.close()

    app = FastAPI(
        title="Reelmill",
        version=importlib.metadata.version("reelmill"),
        openapi_url=None,
        docs_url=None,
        redoc_url=None,
        lifespan=lifespan,
        responses={code: {"description": text} for code, text in _ERROR_DESCRIPTIONS.items()},
    )
    _add_server_routes(app, service)
    page.add(app)
    for routes in (jobs, collections, statistics, sources, clips, reviews, search):
        routes.add(app, service)
    _add_error_handlers(app)
    app.add_middleware(
        SecurityMiddleware,
        settings=service.settings, keys=service.api_keys, metrics=service.metrics,
        audit=service.audit,
    )  # fmt: skip
    return app


def _add_server_routes(app: FastAPI, service: Service) -> None:
    @app.get("/healthz", dependencies=[public])
    async def health() -> Health:
        """Whether the server answers."""
        return Health()

    @app.get("/metrics", response_class=Response)
    def metrics(caller: Reader) -> Response:
        """Requests and jobs in numbers, for Prometheus."""
        return Response(service.metrics.text(), media_type="text/plain; version=0.0.4")

    @app.get("/v1/openapi.json", response_class=JSONResponse)
    def openapi(caller: Reader) -> JSONResponse:
        """This API as OpenAPI."""
        return JSONResponse(app.openapi())

    @app.get("/v1/me")
    def me(caller: Reader) -> Me:
        """The caller, as the server identifies it."""
        return Me(name=caller.name, scope=caller.scope)

    @app.post("/v1/session", status_code=204, dependencies=[public])
    def sign_in(session: SessionRequest, request: Request) -> Response:
        """Puts an API key into a cookie for a browser: for this site only, hidden from scripts."""
        started = service.api_keys.start_session(session.key)
        if started is None:
            return JSONResponse({"detail": "this key is not valid"}, 401)
        request.state.caller = service.api_keys.find_session(started)  # for the audit log
        response = Response(status_code=204)
        response.set_cookie(
            COOKIE, started, max_age=SESSION_DAYS * 86_400, httponly=True, samesite="strict",
            secure=request.url.scheme == "https",
        )  # fmt: skip
        return response

    @app.delete("/v1/session", status_code=204, dependencies=[public])
    def sign_out(request: Request) -> Response:
        """Ends the session of the cookie, and deletes the cookie."""
        if current := session_id(request.headers):
            service.api_keys.end_session(current)
        response = Response(status_code=204)
        response.delete_cookie(COOKIE)
        return response


def _add_error_handlers(app: FastAPI) -> None:
    def invalid(_: Request, error: Exception) -> Response:
        """What is wrong and where, without repeating the input."""
        details = [
            {
                "loc": _json_safe(".".join(str(part) for part in detail["loc"])),
                "msg": _json_safe(detail["msg"]),
                "type": detail["type"],
            }
            for detail in itertools.islice(
                cast(RequestValidationError, error).errors(), _MAX_ERRORS
            )
        ]
        return JSONResponse({"detail": details}, 422)

    def refused(status: int, _: Request, error: Exception) -> Response:
        status = getattr(error, "status", status)
        headers = {"Retry-After": _RETRY_S} if status == 429 else None
        return JSONResponse({"detail": _json_safe(str(error))}, status, headers)

    def other(request: Request, error: Exception) -> Response:
        if isinstance(error, ValueError | LookupError):
            return refused(422 if isinstance(error, ValueError) else 404, request, error)
        raise error

    def retryable(status: int, detail: str, _: Request, __: Exception) -> Response:
        return JSONResponse({"detail": detail}, status, {"Retry-After": _RETRY_S})

    app.add_exception_handler(RequestValidationError, invalid)
    app.add_exception_handler(ReelmillError, other)
    for kind, status in _ERROR_STATUS.items():  # and for subclasses of each
        app.add_exception_handler(kind, functools.partial(refused, status))
    for kind, (status, detail) in _RETRYABLE.items():
        app.add_exception_handler(kind, functools.partial(retryable, status, detail))


def _json_safe(text: str) -> str:
    """Any text that was sent, as JSON can hold it."""
    return text.encode("utf-8", "replace").decode()[:2000]
