"""What can be wrong with a question."""

from curation.errors import ReelmillError


class SearchError(ReelmillError, ValueError):
    """A question that cannot be answered as it was asked; the message says what to change."""


class CursorError(SearchError):
    """A cursor that does not belong to this question, or to an index that is gone."""
