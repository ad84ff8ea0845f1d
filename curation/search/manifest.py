"""What an index consists of: the one file that names all others, replaced as a whole.

    search/manifest.json         this, with its sha256, and those of all files it names
    search/files/<sha256>.half   vectors, float16, as a faiss scalar quantiser
    search/files/<sha256>.ivf    the same in inverted lists of 8-bit codes
    search/files/<sha256>.lists  the lists' centres and codebook, shared by all segments
    search/files/<sha256>.absent rows of clips that were deleted, int64
    search/files/<sha256>.rows   which clip each vector belongs to, int64
    search/files/<sha256>.arrow  metadata of clips, or their verdicts
    search/words-<n>/            the text index, by tantivy

A row is the number of a clip in the index: clips get rows as they come and keep them, so that what
an index held at an earlier time are its first rows.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, field
from typing import Annotated, Literal

from pydantic import Field, TypeAdapter, ValidationError


@dataclass(frozen=True)
class File:
    """A file of the index."""

    name: str
    """Relative to the index's folder."""
    sha256: str
    size_bytes: int


@dataclass(frozen=True)
class ClipSegment:
    """Metadata of some clips."""

    first_row: int
    count: int
    metadata: Annotated[File, Field(alias="facts")]


@dataclass(frozen=True)
class VectorSegment:
    """Some vectors of one table."""

    count: int
    first_row: int | None
    """Row of the first vector where they are consecutive; else None."""
    rows: File | None
    """The rows where they are not."""
    fp16: Annotated[File, Field(alias="half")]
    ivf: File | None
    """None where vectors are few: they are compared one by one."""


@dataclass(frozen=True)
class Tuning:
    """How well the inverted lists do, measured on stored vectors as queries."""

    lists: int
    """How many lists there are."""
    probes: int
    """How many of them a query probes."""
    recall: float
    """Share of the ten nearest vectors that a query finds, 0–1."""
    p50_ms: float
    """Median milliseconds of a query, one thread."""
    vectors: int
    """How many vectors there were."""
    trained_on: int
    """How many there were when the lists were trained."""


@dataclass(frozen=True)
class VectorTable:
    """The vectors of one table of embeddings."""

    dim: int
    model: str
    """Names the model that made the vectors."""
    segments: tuple[VectorSegment, ...] = ()
    empty: int = 0
    """Stored vectors that are left out: zero, or not finite."""
    lists: File | None = None
    """The inverted lists that all segments share, empty."""
    tuning: Tuning | None = None
    """None where all vectors are compared one by one."""

    @property
    def count(self) -> int:
        """How many vectors there are."""
        return sum(segment.count for segment in self.segments)


@dataclass(frozen=True)
class TextIndexFiles:
    """The text index: captions, file names, list columns, tags, things."""

    folder: str
    files: tuple[File, ...]
    clips: int
    """Clips that have any words."""


@dataclass(frozen=True)
class Verdicts:
    """The verdicts of one selection."""

    selection_id: str
    rows: int
    """The first so many rows have verdicts; later ones came after."""
    file: File


@dataclass(frozen=True)
class ReadFiles:
    """The files of one table that the index has read."""

    files: tuple[str, ...]
    """Read for good."""
    pending: Annotated[tuple[str, ...], Field(alias="waiting")] = ()
    """With rows of clips that are not committed yet."""


@dataclass(frozen=True)
class Manifest:
    """One version of an index."""

    generation: str
    """Random; another one after a rebuild, when rows have other numbers."""
    version: int = 0
    """Rises with each change."""
    clips: tuple[ClipSegment, ...] = ()
    vectors: dict[str, VectorTable] = field(default_factory=dict)
    """By the name of the table."""
    text: Annotated[TextIndexFiles | None, Field(alias="words")] = None
    verdicts: Verdicts | None = None
    deleted: Annotated[File | None, Field(alias="absent")] = None
    """Rows of clips that were deleted, int64; None if there are none."""
    tables_read: Annotated[dict[str, ReadFiles], Field(alias="seen")] = field(default_factory=dict)
    """By the name of the table."""
    format: Literal[2] = 2

    @property
    def rows(self) -> int:
        """How many clips there are, deleted ones included."""
        return sum(segment.count for segment in self.clips)

    @property
    def num_vectors(self) -> int:
        """Vectors of all tables."""
        return sum(table.count for table in self.vectors.values())

    def files(self) -> list[File]:
        """All files, each once."""
        files: list[File | None] = [segment.metadata for segment in self.clips]
        for table in self.vectors.values():
            files.append(table.lists)
            for segment in table.segments:
                files += [segment.fp16, segment.ivf, segment.rows]
        files += self.text.files if self.text else ()
        files += [self.verdicts.file if self.verdicts else None, self.deleted]
        return list(dict.fromkeys(file for file in files if file is not None))

    def to_json(self) -> str:
        """The manifest as it is stored; some keys are older than the names here."""
        fields = _ADAPTER.dump_python(self, mode="json", by_alias=True)
        return json.dumps({**fields, _DIGEST: self._digest}, indent=1) + "\n"

    @property
    def _digest(self) -> str:
        return hashlib.sha256(_ADAPTER.dump_json(self)).hexdigest()

    @classmethod
    def from_json(cls, text: str) -> Manifest:
        """A manifest from its JSON; `ValueError` if it is none, or not as it was written."""
        fields = json.loads(text)
        digest = fields.pop(_DIGEST, None) if isinstance(fields, dict) else None
        try:
            manifest = _ADAPTER.validate_python(fields)
        except ValidationError as error:
            first = error.errors(include_url=False)[0]
            key = ".".join(map(str, first["loc"]))
            raise ValueError(f"the manifest makes no sense: {key}: {first['msg']}") from error
        if digest != manifest._digest:
            raise ValueError("the manifest is not what was written")
        return manifest


_DIGEST = "sha256"
_ADAPTER = TypeAdapter(Manifest)
