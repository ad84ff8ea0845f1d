"""How a command ends that did not end well: words, what to do next, and the exit code."""

from __future__ import annotations

import errno
import re
import traceback

import typer
from rich.markup import escape

from curation.caption_tables import NoCaptionsError
from curation.embed.open_clip import ModelError
from curation.errors import InfrastructureError
from curation.listing import ListingError
from curation.scan.step import SettingsError
from curation.select.selection import NotEmbeddedError
from curation.storage import PlaceError
from pipelines import config
from pipelines.cli import terminal
from pipelines.run.executor import ClusterError
from pipelines.run.pipeline import NothingToDoError
from tokenizer.tokenize.decode import TokensNotFoundError

FAILED_INPUTS, STOPPED = 3, 4
GO_ON = "What was done is kept. Run the same command again to go on."

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
        "The place is read-only, and running again will not change that: make it writable, or give"
        " another output.",
    ),
    (
        r"Permission denied|Operation not permitted|os error 1[3]?\b|ACCESS_DENIED|AccessDenied"
        r"|Forbidden|status: 403",
        "This user may not read or write there, and running again will not change that: give the"
        " permission, or another place.",
    ),
    (
        r"Too many open files",
        "What was done is kept: allow more open files (`ulimit -n`), then run the same command"
        " again.",
    ),
    (
        r"NoSuchBucket|bucket does not exist|[Bb]ucket .*not found",
        "There is no such bucket: make it, or give another address.",
    ),
    (
        r"InvalidAccessKeyId|SignatureDoesNotMatch|ExpiredToken|credentials|INVALID_CLIENT_TOKEN_ID",
        "Storage does not take these credentials: see to the AWS_* variables, then run the same"
        " command again.",
    ),
)
"""What is seen in an error's words, the most telling first."""
_FAULTS = frozenset((
    errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES, errno.EPERM, errno.EMFILE, errno.ENFILE,
    errno.EIO, errno.ESTALE,
))  # fmt: skip
"""Numbers of an `OSError` that are no fault of the program's."""
_USAGE = (
    config.ConfigError, ListingError, SettingsError, NothingToDoError, NotEmbeddedError,
    ClusterError, ModelError, NoCaptionsError, PlaceError, TokensNotFoundError,
)  # fmt: skip


def said(error: BaseException) -> int:
    """Says what went wrong, and returns the exit code."""
    if isinstance(error, KeyboardInterrupt | typer.Abort):
        return _said(f"stopped. {GO_ON}", STOPPED)
    if isinstance(error, InfrastructureError):
        return _said(f"stopped: {error}\n{error.advice or advice(str(error))}", STOPPED)
    if isinstance(error, _USAGE):
        return _said(str(error), 2)
    if isinstance(error, typer.TyperException):
        return _said(error.format_message(), 2)
    if isinstance(error, OSError) and error.errno in _FAULTS:
        return _said(f"stopped: {error}\n{advice(str(error))}", STOPPED)
    traceback.print_exception(error)
    return 1


def advice(words: str) -> str:
    """What to do about a fault that was told in these words."""
    return next((advised for seen, advised in _ADVICE if re.search(seen, words)), GO_ON)


def _said(words: str, code: int) -> int:
    terminal.errors.print(f"[red]reelmill:[/] {escape(words)}")
    return code
