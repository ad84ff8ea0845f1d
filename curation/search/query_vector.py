"""A query as one vector: its words and examples, wanted and unwanted, encoded like a table's rows.

Several examples become one query as Rocchio (1971) has it: the mean of the wanted less half the
mean of the unwanted.
"""

from __future__ import annotations

import io
import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
from PIL import Image

from curation.dataset import Dataset
from curation.embed.clip_embedder import TABLE_PREFIX as OPEN_CLIP_PREFIX
from curation.embed.descriptor import FrameDct
from curation.embed.queries import THINGS_PREFIX, things_table
from curation.embed.sentence import CAPTION_VECTORS
from curation.errors import MediaError
from curation.media.decode import AnalysisSampling, Frames, decode_streams
from curation.media.picture import read_picture
from curation.media.probe import probe
from curation.media.sandbox import Limits
from curation.scan.collector import encode_jpeg
from curation.search.index import Index
from curation.search.manifest import Manifest
from curation.search.query import ClipId, Example, Picture, Query, SearchError, Vector
from curation.search.segment import Floats

if TYPE_CHECKING:
    from curation.embed import QueryEncoder

_OPEN_CLIP = f"embeddings/{OPEN_CLIP_PREFIX}"
_FACT_VECTORS = f"{CAPTION_VECTORS}-facts"
_NEGATIVE_WEIGHT = 0.5
_MAX_FRAMES = 256
_MIN_ID_PREFIX = 6
_SPAN = re.compile(r"(.+)#(\d+(?:\.\d+)?)-(\d+(?:\.\d+)?)")


def choose_tables(query: Query, manifest: Manifest) -> list[str]:
    """The tables to search: the best that there is, for words that of captions, too.

    None where words are all there is and no table knows any. Raises `SearchError` where the query
    insists on vectors.
    """
    tables = [name for name, table in manifest.vectors.items() if table.count]
    if query.embeddings is not None:
        for name in tables:
            if name in (query.embeddings, f"embeddings/{query.embeddings}"):
                return [name]
        names = ", ".join(tables) or "none"
        raise SearchError(f"there are no vectors in {query.embeddings}; there are {names}")
    has_examples = bool(query.like or query.minus)
    if not query.like:
        tables = [name for name in tables if knows_words(name)]
    if not tables and (has_examples or query.by in ("vectors", "both")):
        raise SearchError("no table of embeddings fits the question; docs/search.md says which do")
    if has_examples:
        return sorted(tables, key=_by_preference)[:1]
    tables.sort(key=_by_preference)
    of_captions = [name for name in tables if name.startswith(CAPTION_VECTORS)]
    of_pictures = [name for name in tables if name not in of_captions]
    return of_pictures[:1] + of_captions[:1]


def _by_preference(table: str) -> tuple[int, bool, str]:
    """Meaning of pictures, likeness of pictures, the things that are seen, meaning of captions.

    Of things those by the weights that are installed, of captions those of a model come first.
    """
    prefixes = (_OPEN_CLIP, f"embeddings/{FrameDct.name}", THINGS_PREFIX, CAPTION_VECTORS)
    ranks = [at for at, prefix in enumerate(prefixes) if table.startswith(prefix)]
    is_second = table.startswith(_FACT_VECTORS) or (
        table.startswith(THINGS_PREFIX) and table != things_table()
    )
    return (min(ranks, default=len(prefixes)), is_second, table)


def knows_words(table: str) -> bool:
    """Whether vectors of words can be compared with those of a table."""
    return table != f"embeddings/{FrameDct.name}"


def searched_in(table: str) -> str:
    """What a search of a table's vectors compares, in a word or two."""
    if table.startswith(THINGS_PREFIX):
        return "things"
    return "captions by meaning" if table.startswith(CAPTION_VECTORS) else "pictures"


class QueryEncoders:
    """The encoders of the tables of one output, each loaded when it is first needed."""

    def __init__(self, dataset: Dataset, model: str | None) -> None:
        """`model` names the open_clip model, where no run recorded it."""
        self._dataset = dataset
        self._model = model
        self._encoders: dict[str, QueryEncoder] = {}

    def load(self, table: str) -> QueryEncoder:
        """What makes vectors like those of a table; raises `SearchError`."""
        if table not in self._encoders:
            from curation.embed import query_encoder, recorded_model

            model = self._model or recorded_model(self._dataset, table)
            try:
                self._encoders[table] = query_encoder(table, model)
            except (ValueError, OSError, ImportError) as error:
                raise SearchError(f"{error}; `--by words` looks them up in text alone") from error
        return self._encoders[table]

    def encode_text(self, table: str, text: str) -> Floats:
        """Words as a vector like those of a table, float32 [dim]; raises `SearchError`."""
        encoder = self.load(table)
        try:
            return encoder.encode_text(text)
        except ValueError as error:
            raise SearchError(str(error)) from error


class ExampleEncoder:
    """Turns examples into vectors of one table."""

    def __init__(self, index: Index, table: str, load_encoder: Callable[[], QueryEncoder]) -> None:
        """`load_encoder` loads what makes vectors like those of the table, if that is needed."""
        self._index = index
        self._table = table
        self._load_encoder = load_encoder
        self.rows: list[int] = []
        """Rows of the clips among the examples so far."""

    def encode(self, example: Example) -> Floats:
        """One example, float32 [dim] of unit length; raises `SearchError`."""
        if isinstance(example, Vector):
            return self._check(example)
        if isinstance(example, np.ndarray):
            return _normalize(self._encode_picture(example), "the picture")
        if isinstance(example, ClipId):
            return self._stored(example)
        path, span = _split_span(example)
        if path.is_file():
            return _normalize(self._encode_file(path, span), str(example))
        return self._stored(str(example))

    def _check(self, example: Vector) -> Floats:
        table = self._index.manifest.vectors[self._table]
        if example.model != table.model:
            raise SearchError(
                f"the vector is of model {example.model}, those of {self._table} of {table.model}:"
                " they cannot be compared"
            )
        values = np.asarray(example.values, np.float32)
        if values.shape != (table.dim,):
            raise SearchError(
                f"the vector has shape {list(values.shape)}; {self._table} holds [{table.dim}]"
            )
        return _normalize(values, "the vector")

    def _stored(self, clip: str) -> Floats:
        row = self._row(clip)
        self.rows.append(row)
        vector = self._index.vector_index(self._table).vector(row)
        if vector is None:
            raise SearchError(f"clip {clip} has no vector in {self._table}: nothing is seen in it")
        return _normalize(vector, f"clip {clip}")

    def _row(self, clip: str) -> int:
        row = int(self._index.rows_of(pa.array([clip]))[0])
        if row < 0 and len(clip) >= _MIN_ID_PREFIX:
            ids = self._index.metadata["clip_id"]
            matches = pc.indices_nonzero(pc.starts_with(ids, clip)).to_pylist()
            if len(matches) > 1:
                raise SearchError(f"{len(matches)} clips have an id that starts with {clip}")
            row = matches[0] if matches else -1
        if row < 0:
            raise SearchError(f"there is no clip {clip!r}, and no picture or video file there")
        return row

    def _encode_picture(self, picture: Picture) -> Floats:
        return self._load_encoder().encode_frames([picture], np.zeros(1), (0.0, 1.0))

    def _encode_file(self, path: Path, span: tuple[float, float] | None) -> Floats:
        try:
            if span is None and (picture := read_picture(str(path))) is not None:
                return self._encode_picture(picture)
            frames, times_s, span_s = _read_frames(path, span)
            return self._load_encoder().encode_frames(frames, times_s, span_s)
        except SearchError:
            raise
        except (MediaError, ValueError) as error:
            raise SearchError(f"{path}: {error}") from error


def combine(positives: Sequence[Floats], negatives: Sequence[Floats]) -> Floats:
    """One vector of unit length for wanted and unwanted ones of unit length."""
    vector = np.mean(positives, axis=0)
    if negatives:
        vector = vector - _NEGATIVE_WEIGHT * np.mean(negatives, axis=0)
    return _normalize(vector, "what is left of the examples")


def _normalize(vector: Floats, name: str) -> Floats:
    length = float(np.linalg.norm(vector))
    if not np.isfinite(length):
        raise SearchError(f"{name} holds NaN or infinity")
    if length < 1e-4:
        raise SearchError(f"{name} is zero: there is nothing to look for")
    return np.asarray(vector / length, np.float32)


def _split_span(example: str | Path) -> tuple[Path, tuple[float, float] | None]:
    path = Path(example).expanduser()
    match = _SPAN.fullmatch(str(path))
    if match is None or path.exists():
        return path, None
    start_s, end_s = float(match[2]), float(match[3])
    if start_s >= end_s:
        raise SearchError(f"{example}: the span ends before it starts")
    return Path(match[1]), (start_s, end_s)


def _read_frames(
    path: Path, span: tuple[float, float] | None
) -> tuple[list[npt.NDArray[np.uint8]], npt.NDArray[np.float64], tuple[float, float]]:
    """Analysis frames of a video as a scan samples them, their times, and the span they show."""
    limits = Limits()
    jpegs: list[bytes] = []

    def add(frames: Frames) -> None:
        jpegs.extend(encode_jpeg(frame, quality=95) for frame in frames)

    timeline = decode_streams(
        str(path), probe(str(path), limits), AnalysisSampling(), limits,
        on_lowres=lambda _: None, on_analysis=add,
    )  # fmt: skip
    starts_s = timeline.starts_s
    start_s, end_s = span or (0.0, float(starts_s[-1]))
    times_s = starts_s[timeline.analysis_indices]
    index = np.flatnonzero((times_s >= start_s) & (times_s < end_s))
    if not len(index):
        raise SearchError(
            f"{path} shows nothing from {start_s:g} to {end_s:g} s; it has {starts_s[-1]:.1f} s"
        )
    if len(index) > _MAX_FRAMES:
        index = index[np.linspace(0, len(index) - 1, _MAX_FRAMES).round().astype(int)]
    frames = [np.asarray(Image.open(io.BytesIO(jpegs[i]), formats=["JPEG"])) for i in index]
    span_s = (start_s, min(end_s, float(starts_s[-1])))
    return frames, np.asarray(times_s[index], np.float64), span_s
