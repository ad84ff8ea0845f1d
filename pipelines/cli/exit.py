"""Reports the error that ended a command: what happened, what to do next, and the exit code."""

from __future__ import annotations

import contextlib
import errno
import re
import traceback
from collections.abc import Iterator

import typer

from curation.errors import InfrastructureError, ReelmillError
from curation.extras import install_command
from pipelines.cli import terminal
from pipelines.cli.terminal import escape

FAILED_INPUTS, STOPPED = 3, 4
GO_ON = "What was done is kept. Run the same command again to resume."

_ADVICE = (
    (
        r"No space left on device|os error 28\b|Errno 28\b",
        "The disk is full. What was done is kept: free some space, then run the same command"
        " again.",
    ),
    (
        r"[Dd]isk quota exceeded|os error 122\b|Errno 122\b",
        "The quota is used up. What was done is kept: free some space, then run the same command"
        " again.",
    ),
    (
        r"Read-only file system|ReadOnlyFilesystem|os error 30\b|Errno 30\b",
        "The output is read-only, and running again will not change that: make it writable, or name"
        " another output.",
    ),
    (
        r"Permission denied|Operation not permitted|os error 1[3]?\b|ACCESS_DENIED|AccessDenied"
        r"|Forbidden|status: 403",
        "This user may not read or write there, and running again will not change that: grant the"
        " permission, or name another output.",
    ),
    (
        r"Too many open files",
        "What was done is kept: allow more open files (`ulimit -n`), then run the same command"
        " again.",
    ),
    (
        r"NoSuchBucket|bucket does not exist|[Bb]ucket .*not found",
        "There is no such bucket: create it, or name another address.",
    ),
    (
        r"InvalidAccessKeyId|SignatureDoesNotMatch|ExpiredToken|credentials|INVALID_CLIENT_TOKEN_ID",
        "Storage rejects these credentials: check the AWS_* variables, then run the same command"
        " again.",
    ),
)
"""Patterns of error messages with advice, the most specific first."""
_INFRASTRUCTURE_ERRNOS = frozenset((
    errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES, errno.EPERM, errno.EMFILE, errno.ENFILE,
    errno.EIO, errno.ESTALE,
))  # fmt: skip
"""Of an `OSError` that is not the program's fault."""


class UsageError(ReelmillError, ValueError):
    """A command cannot do what its arguments ask for; the message says why."""


@contextlib.contextmanager
def usage_errors(*kinds: type[Exception]) -> Iterator[None]:
    """Turns errors of these kinds into a `UsageError`."""
    try:
        yield
    except kinds as error:
        raise UsageError(str(error)) from error


@contextlib.contextmanager
def requires_extra(name: str) -> Iterator[None]:
    """Turns a package that is not installed into a `UsageError` that says how to install it."""
    try:
        yield
    except ImportError as error:
        raise UsageError(f"{error}: {install_command(name)}") from error


def report_error(error: BaseException) -> int:
    """Prints what went wrong and returns the exit code."""
    if isinstance(error, KeyboardInterrupt | typer.Abort):
        return _fail(f"stopped. {GO_ON}", STOPPED)
    if isinstance(error, InfrastructureError):
        return _fail(f"stopped: {error}\n{error.advice or advice(str(error))}", STOPPED)
    if isinstance(error, ReelmillError) and isinstance(error, ValueError | LookupError):
        return _fail(str(error), 2)
    if isinstance(error, typer.TyperException):
        return _fail(_usage(error), 2)
    if isinstance(error, OSError) and error.errno in _INFRASTRUCTURE_ERRNOS:
        return _fail(f"stopped: {error}\n{advice(str(error))}", STOPPED)
    traceback.print_exception(error)
    return 1


def _usage(error: typer.TyperException) -> str:
    """What is wrong with the command line, and where its help is."""
    message = error.format_message().replace("Value error, ", "").strip()
    context = getattr(error, "ctx", None)
    path = "reelmill" if context is None else context.command_path
    return f"{message.rstrip('.')} (see `{path} --help`)"


def advice(message: str) -> str:
    """What to do about an infrastructure error with this message."""
    return next((text for pattern, text in _ADVICE if re.search(pattern, message)), GO_ON)


def _fail(message: str, code: int) -> int:
    if terminal.output.verbose:
        terminal.errors.print(escape(traceback.format_exc().rstrip()), style="dim")
    terminal.errors.print(f"[red]reelmill:[/] {escape(message)}")
    return code
