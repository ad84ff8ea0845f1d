"""The errors of Reelmill: each is a `ReelmillError`; a user's mistake is a `ValueError` too."""

from __future__ import annotations

from curation.reasons import INPUT_REASONS


class ReelmillError(Exception):
    """The base of all errors that Reelmill raises on purpose; the text says what to do next."""


class MediaError(ReelmillError):
    """This input is bad. `reason` is a key of `INPUT_REASONS`; `detail` is a message."""

    def __init__(self, reason: str, detail: str = "") -> None:
        if reason not in INPUT_REASONS:
            raise ValueError(f"unknown reason {reason!r}; known: {', '.join(INPUT_REASONS)}")
        super().__init__(reason, detail)
        self.reason = reason
        self.detail = detail

    def __str__(self) -> str:
        return f"{self.reason}: {self.detail}" if self.detail else self.reason


class PrerequisiteError(ReelmillError, ValueError):
    """A step was run before one that it needs; the message says which."""


class UnknownSelectionError(ReelmillError, ValueError):
    """There is no such selection or subset; the message says which there are."""


class InfrastructureError(ReelmillError):
    """Disk full, storage down: not the fault of any input. The run stops and can be resumed."""

    advice: str = ""
    """What to do about it, where running again is not the answer."""


class UnavailableError(ReelmillError):
    """This input is unavailable for now: it gets no outcome, and the others go on."""
