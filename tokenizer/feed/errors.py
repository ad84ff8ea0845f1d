"""Errors of the feed."""

from __future__ import annotations

from curation.errors import ReelmillError


class FeedError(ReelmillError, ValueError):
    """A feed that cannot be opened as requested; the message says why and what to do."""


class StateMismatchError(FeedError):
    """The state is of another dataset or configuration."""


class BadShardError(ReelmillError):
    """A file of tokens, or a row group of one, that cannot be read."""

    @classmethod
    def missing(cls, path: str) -> BadShardError:
        """A file that the table lists and storage does not have."""
        return cls(f"{path} is missing, but the table lists it: was an old version vacuumed?")
