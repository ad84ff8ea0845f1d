"""What an index consists of: the one file that names all others, replaced as a whole.

    search/manifest.json         this, with sha256 and size of each file it names
    search/files/<sha256>.half   vectors, float16, as a faiss scalar quantiser
    search/files/<sha256>.ivf    the same in inverted lists of 8-bit codes
    search/files/<sha256>.lists  the lists' centres and codebook, shared by all segments
    search/files/<sha256>.absent rows of clips that were deleted, int64
    search/files/<sha256>.rows   which clip each vector belongs to, int64
    search/files/<sha256>.arrow  facts of clips, or their verdicts
    search/words-<n>/            the words of captions, a tantivy index

A row is the number of a clip in the index: clips get rows as they come and keep them, so that what
an index held at an earlier time are its first rows.
"""

from __future__ import annotations

import dataclasses
import json
from dataclasses import dataclass, field
from typing import Any

FORMAT = 1


@dataclass(frozen=True)
class File:
    """A file of the index."""

    name: str
    """Relative to the index's folder."""
    sha256: str
    size_bytes: int


@dataclass(frozen=True)
class ClipSegment:
    """Facts of some clips."""

    first_row: int
    count: int
    facts: File


@dataclass(frozen=True)
class VectorSegment:
    """Some vectors of one table."""

    count: int
    first_row: int | None
    """Row of the first vector where they follow each other; else None."""
    rows: File | None
    """The rows where they do not."""
    half: File
    ivf: File | None
    """None where vectors are few: they are compared one by one."""


@dataclass(frozen=True)
class Tuning:
    """How well the inverted lists do, measured on stored vectors as queries."""

    lists: int
    """How many lists there are."""
    probes: int
    """How many of them a query looks into."""
    recall: float
    """Share of the ten nearest vectors that a query finds, 0–1."""
    p50_ms: float
    """Median milliseconds of a query, one thread."""
    vectors: int
    """How many vectors there were."""
    trained_on: int
    """How many there were when the lists were made."""


@dataclass(frozen=True)
class VectorTable:
    """The vectors of one table of embeddings."""

    dim: int
    model: str
    """Names the model whose vectors they are."""
    segments: tuple[VectorSegment, ...] = ()
    empty: int = 0
    """Stored vectors that are zero or no numbers, and are left out."""
    lists: File | None = None
    """The inverted lists that all segments share, without content."""
    tuning: Tuning | None = None
    """None where all vectors are compared one by one."""

    @property
    def count(self) -> int:
        """How many vectors there are."""
        return sum(segment.count for segment in self.segments)


@dataclass(frozen=True)
class Words:
    """The words of captions."""

    folder: str
    files: tuple[File, ...]
    clips: int
    """Clips that have any."""


@dataclass(frozen=True)
class Verdicts:
    """What one selection says of the rows."""

    selection_id: str
    rows: int
    """The first so many rows are judged; later ones came after."""
    file: File


@dataclass(frozen=True)
class Seen:
    """The files of one table that the index has read."""

    files: tuple[str, ...]
    """Whole, so that they are not read again."""
    waiting: tuple[str, ...] = ()
    """With rows of clips that are not announced yet."""


@dataclass(frozen=True)
class Manifest:
    """One version of an index."""

    generation: str
    """Random; another one after the index was made anew, when rows have other numbers."""
    version: int = 0
    """Rises with each change."""
    clips: tuple[ClipSegment, ...] = ()
    vectors: dict[str, VectorTable] = field(default_factory=dict)
    """By the name of the table."""
    words: Words | None = None
    verdicts: Verdicts | None = None
    absent: File | None = None
    """Rows of clips that were deleted, int64; None if there are none."""
    seen: dict[str, Seen] = field(default_factory=dict)
    """By the name of the table."""

    @property
    def rows(self) -> int:
        """How many clips there are, those included that are gone since."""
        return sum(segment.count for segment in self.clips)

    def files(self) -> list[File]:
        """All files, each once."""
        found = [segment.facts for segment in self.clips]
        for table in self.vectors.values():
            found += [table.lists] if table.lists else []
            for segment in table.segments:
                found += [f for f in (segment.half, segment.ivf, segment.rows) if f is not None]
        found += self.words.files if self.words else ()
        found += [self.verdicts.file] if self.verdicts else []
        found += [self.absent] if self.absent else []
        return list(dict.fromkeys(found))

    def written(self) -> str:
        """As JSON."""
        return json.dumps({"format": FORMAT, **dataclasses.asdict(self)}, indent=1) + "\n"


def read(text: str) -> Manifest:
    """A manifest from its JSON; `ValueError` if it is none of this format."""
    try:
        said = json.loads(text)
        if said.pop("format") != FORMAT:
            raise ValueError("the manifest is of another format")
        return Manifest(
            generation=str(said["generation"]),
            version=int(said["version"]),
            clips=tuple(
                ClipSegment(c["first_row"], c["count"], File(**c["facts"])) for c in said["clips"]
            ),
            vectors={name: _table(table) for name, table in said["vectors"].items()},
            words=_words(said["words"]),
            verdicts=_verdicts(said["verdicts"]),
            absent=File(**said["absent"]) if said["absent"] else None,
            seen={
                name: Seen(tuple(one["files"]), tuple(one["waiting"]))
                for name, one in said["seen"].items()
            },
        )
    except (KeyError, TypeError, AttributeError, json.JSONDecodeError) as error:
        raise ValueError(f"the manifest makes no sense: {error!r}") from error


def _table(said: dict[str, Any]) -> VectorTable:
    tuning = Tuning(**said.pop("tuning")) if said["tuning"] else said.pop("tuning")
    segments = []
    for one in said.pop("segments"):
        named = {name: File(**one.pop(name)) if one[name] else None for name in ("rows", "ivf")}
        segments.append(VectorSegment(**{**one, **named, "half": File(**one["half"])}))
    lists = File(**said.pop("lists")) if said["lists"] else said.pop("lists")
    return VectorTable(**said, segments=tuple(segments), lists=lists, tuning=tuning)


def _words(said: dict[str, Any] | None) -> Words | None:
    if said is None:
        return None
    return Words(said["folder"], tuple(File(**f) for f in said["files"]), said["clips"])


def _verdicts(said: dict[str, Any] | None) -> Verdicts | None:
    if said is None:
        return None
    return Verdicts(said["selection_id"], said["rows"], File(**said["file"]))
