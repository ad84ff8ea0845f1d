"""Which clips take part, and what is known of each beside its tokens."""

from __future__ import annotations

from dataclasses import dataclass

import pyarrow as pa
import pyarrow.compute as pc

from curation import lineage
from curation.catalog import Catalog
from curation.dataset import ALL, LATEST, Dataset
from curation.sql_filter import matching
from tokenizer.feed.clip_index import (
    ClipIndex,
    Missing,
    Side,
    announced,
    captions_of,
    embeddings_of,
    facts_of,
)

__all__ = ["ALL", "LATEST", "Choice", "Chosen"]


@dataclass(frozen=True)
class Choice:
    """What a caller asks of clips."""

    selection: str | None = None
    """Only clips that this selection or subset keeps, by id, first digits or name; None and
    `latest` mean the newest selection, `all` every clip, as does None where there is none yet."""
    where: str | None = None
    """Only clips for which this SQL condition on clip columns and scores holds."""
    captions: str | None = None
    """The table of captions to read, such as `captions/facts-1a2b3c4d`."""
    embeddings: str | None = None
    """The table of embeddings to read, such as `embeddings/frame-dct`."""
    facts: tuple[str, ...] = ()
    """Columns of clips, scores and sources to read."""
    missing: Missing = "error"
    """What becomes of clips that lack one of these."""

    def made(self, dataset: Dataset, table: str, selection: str | None) -> Chosen:
        """The choice among the clips of an output, for one table of tokens.

        `selection` is the id of the one that is meant; None takes all clips.
        """
        ids = [announced(dataset, table)]
        if selection is not None:
            ids.append(dataset.kept(selection))
        sides = []
        if self.where is not None or self.facts:
            clips = dataset.clips(selection_id=selection)
            if self.where is not None:
                ids.append(matching(clips, self.where)["clip_id"])
            if self.facts:
                sides.append(facts_of(clips, self.facts))
        if self.captions is not None:
            sides.append(captions_of(dataset, self.captions))
        if self.embeddings is not None:
            sides.append(embeddings_of(dataset, self.embeddings))
        lists = [pc.unique(some) for some in ids if some is not None]
        among = [ClipIndex(some, "the choice of clips") for some in lists]
        if self.missing == "drop":
            among += [side.index for side in sides]
        return Chosen(tuple(among), tuple(sides))

    def check_renders(self, catalog: Catalog, table: str, kept: pa.ChunkedArray | None) -> None:
        """Raises `LineageError` if tokens or captions are of other renders than there are now.

        Clips outside of `kept`, if given, do not count.
        """
        lineage.check(catalog, table, kept)
        if self.captions is not None and self.captions in catalog.names("captions"):
            lineage.check(catalog, self.captions, kept)
            lineage.check_same(catalog, [table, self.captions])

    def check(self, lacking: dict[str, int]) -> None:
        """Raises `ValueError` if rows lack something that they need to have."""
        for name, rows in lacking.items():
            if rows and self.missing == "error":
                raise ValueError(
                    f"{rows} rows belong to clips that {name} does not know: fill it, or choose"
                    " missing='drop' to leave them out or 'null' to take them without"
                )


@dataclass(frozen=True)
class Chosen:
    """A choice, looked up."""

    among: tuple[ClipIndex, ...]
    """A clip takes part if it is in all of these."""
    sides: tuple[Side, ...]
    """What is read of it."""
