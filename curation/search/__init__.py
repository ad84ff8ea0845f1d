"""Scenario search: an index over clips, and questions to it. See `curation.search.search`."""

from curation.search.errors import CursorError, SearchError
from curation.search.examples import Example, Vector
from curation.search.query import MOST
from curation.search.search import Search, cursor

__all__ = ["MOST", "CursorError", "Example", "Search", "SearchError", "Vector", "cursor"]
