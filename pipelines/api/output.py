"""An output, opened: its tables, and search over them."""

from __future__ import annotations

import os
from functools import cached_property
from typing import TYPE_CHECKING, Any

from curation.dataset import Dataset
from curation.errors import PrerequisiteError

if TYPE_CHECKING:
    import pyarrow as pa

    from curation.search import Search
    from curation.select.selection import Selection


class Output(Dataset):
    """The tables of one output.

    `sources()`, `clips(verdict)`, `captions()`, `selection(id)` and `runs()` give Arrow tables; their
    columns are those of docs/tables.md.
    """

    def search(self, text: str | None = None, **query: Any) -> pa.Table:
        """The clips that fit best, best first, after bringing the index up to date.

        `text` is looked up in captions and, where an embedder knows words, in vectors. Further
        options are those of `curation.search.Search.query`: `like` and `minus` (clip ids, pictures,
        videos), `where` (an SQL condition), `k` (20). Columns: clip_id, score, source_id, uri,
        start_s, end_s, caption, verdict. Raises `ReelmillError`.

            reelmill.open("out").search(where="duration_s > 1", k=5)
        """
        self._search.update()
        return self._search.query(text, **query)

    def select(self, **options: Any) -> Selection:
        """Applies a policy to the stored scores. Options as `reelmill.select`."""
        from . import select

        return select(self.catalog.storage.root, **options)

    @cached_property
    def _search(self) -> Search:
        from curation.search import Search

        return Search(self.catalog.storage.root)


def open(out: str | os.PathLike[str]) -> Output:
    """An output that exists; raises `ReelmillError` if there is none.

    reelmill.open("out").clips("kept").num_rows
    """
    output = Output(out)
    if output.catalog.open("sources") is None:
        raise PrerequisiteError(f"no output at {out}; `reelmill.curate` or `scan` makes one")
    return output
