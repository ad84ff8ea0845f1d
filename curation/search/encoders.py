"""Which table of embeddings answers a question, and what makes vectors like those in it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from curation.dataset import Dataset
from curation.embed.descriptor import FrameDct
from curation.search.errors import SearchError
from curation.search.manifest import Manifest
from curation.search.query import Question
from curation.search.segment import Floats

if TYPE_CHECKING:
    from curation.embed import QueryEncoder


class Encoders:
    """The encoders of the tables of one output, each loaded when it is first needed."""

    def __init__(self, dataset: Dataset, model: str | None) -> None:
        """`model` names the open_clip model, where no run recorded it."""
        self._dataset = dataset
        self._model = model
        self._loaded: dict[str, QueryEncoder] = {}

    def of(self, table: str) -> QueryEncoder:
        """What makes vectors like those of a table; raises `SearchError`."""
        if table not in self._loaded:
            from curation.embed import query_encoder, recorded_model

            model = self._model or recorded_model(self._dataset, table)
            try:
                self._loaded[table] = query_encoder(table, model)
            except (ValueError, OSError, ImportError) as error:
                raise SearchError(f"{error}; words can be looked up in captions alone") from error
        return self._loaded[table]

    def text(self, table: str, words: str) -> Floats:
        """Words as a vector like those of a table, float32 [dim]; raises `SearchError`."""
        encoder = self.of(table)
        try:
            return encoder.text(words)
        except ValueError as error:
            raise SearchError(str(error)) from error


def chosen(question: Question, manifest: Manifest) -> str | None:
    """The table to search; None where words are all there is and no table knows any.

    Raises `SearchError` where the question insists on vectors.
    """
    there = [name for name, table in manifest.vectors.items() if table.count]
    if question.embeddings is not None:
        wanted = question.embeddings
        fitting = [n for n in there if n in (wanted, f"embeddings/{wanted}")]
        if not fitting:
            listing = ", ".join(there) or "none"
            raise SearchError(f"there are no vectors in {wanted}; there are {listing}")
        return fitting[0]
    if not question.like:
        there = [name for name in there if knows_words(name)]
    if there:
        return min(there, key=_preference)
    if question.like or question.by in ("vectors", "both"):
        raise SearchError("no table of embeddings fits the question; docs/search.md says which do")
    return None


def knows_words(table: str) -> bool:
    """Whether vectors of words can be compared with those of a table."""
    return table != f"embeddings/{FrameDct.name}"


def _preference(table: str) -> tuple[bool, bool, str]:
    """What sees meaning in pictures, then what sees copies, then what knows captions alone."""
    return table.startswith("embeddings/captions"), not knows_words(table), table
