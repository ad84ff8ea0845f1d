"""An output, opened: its tables, and search over them."""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Collection, Iterator, Mapping
from functools import cached_property
from typing import TYPE_CHECKING, Any

from curation.dataset import Dataset
from curation.errors import PrerequisiteError

if TYPE_CHECKING:
    import pyarrow as pa

    from curation.search import Search
    from curation.select.selection import Selection
    from pipelines.run.pipeline import Pipeline


class Output(Dataset):
    """The tables of one output.

    `sources()`, `clips(verdict)`, `captions()`, `selection(id)` and `runs()` give Arrow tables;
    docs/tables.md has their columns.
    """

    def search(self, text: str | None = None, **query: Any) -> pa.Table:
        """The clips that fit best, best first, after bringing the index up to date.

        `text` is looked up in words about clips and among the things that they show. Further
        options are those of `curation.search.Search.query`: `like` and `minus` (clip ids, pictures,
        videos), `where` (an SQL condition), `k` (20). Columns: clip_id, score, source_id, uri,
        start_s, end_s, caption, verdict. Raises `ReelmillError`.

            reelmill.open("out").search(where="duration_s > 1", k=5)
        """
        self._search.update()
        return self._search.query(text, **query)

    def select(
        self, *, profile: str | None = None, settings: Mapping[str, Any] | None = None
    ) -> Selection:
        """Applies a policy to the stored scores. Parameters and result as `reelmill.select`."""
        with pipeline_for("select", self.catalog.storage.root, profile, settings) as pipeline:
            return pipeline.select()

    @cached_property
    def _search(self) -> Search:
        from curation.search import Search

        return Search(self.catalog.storage.root)


@contextlib.contextmanager
def pipeline_for(
    command: str,
    out: str | os.PathLike[str],
    profile: str | None,
    settings: Mapping[str, Any] | None,
    selection: str | None = None,
    *,
    steps: Collection[str] | None = None,
    **options: Any,
) -> Iterator[Pipeline]:
    """A pipeline over an output with resolved settings; what reads no videos needs an output.

    `steps` are those of the command that will run, if not all. Other options are those of
    `pipelines.run.pipeline.open_pipeline`.
    """
    from pipelines import config
    from pipelines.run.pipeline import open_pipeline

    changes = [f"{key}={json.dumps(value)}" for key, value in (settings or {}).items()]
    resolved = config.load(profile, changes, command=command, steps=steps)
    if command not in ("curate", "scan"):
        open(out)
    with open_pipeline(os.fspath(out), resolved, selection, **options) as pipeline:
        yield pipeline


def open(out: str | os.PathLike[str]) -> Output:
    """An output that exists.

        clips = reelmill.open("out").clips("kept")

    Raises `ReelmillError` if there is none.
    """
    output = Output(out)
    if output.catalog.open("sources") is None:
        raise PrerequisiteError(f"no output at {out}; `reelmill.curate` or `scan` makes one")
    return output
