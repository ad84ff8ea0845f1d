"""Examples as one vector: clips, pictures, videos and vectors, wanted and unwanted.

Several examples become one query as Rocchio (1971) has it: the mean of the wanted less half the
mean of the unwanted.
"""

from __future__ import annotations

import io
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
from PIL import Image

from curation.errors import MediaError
from curation.media.decode import Frames, Sampling, watch
from curation.media.probe import probe
from curation.media.sandbox import Limits
from curation.scan.collector import jpeg
from curation.search.errors import SearchError
from curation.search.index import Index
from curation.search.segment import Floats

if TYPE_CHECKING:
    from curation.embed import QueryEncoder

_UNWANTED = 0.5
_PICTURES = {"JPEG", "PNG", "WEBP", "BMP"}
_MOST_PIXELS = 50_000_000
_MOST_FRAMES = 256
_SHORTEST_ID = 6
_SPAN = re.compile(r"(.+)#(\d+(?:\.\d+)?)-(\d+(?:\.\d+)?)")


@dataclass(frozen=True, eq=False)
class Vector:
    """A vector that was made elsewhere."""

    values: npt.NDArray[Any]
    """Numbers [dim]."""
    model: str
    """Digest of the model that made it, as a `QueryEncoder` says; another's is refused."""


Example = str | Path | Vector
"""A clip's id or the first digits of it; a picture or video file, `video.mp4#3.5-7` for a span of
it in seconds; or a vector."""


class Examples:
    """Turns examples into vectors of one table."""

    def __init__(self, index: Index, table: str, encoder: Callable[[], QueryEncoder]) -> None:
        """`encoder` loads what makes vectors like those of the table, if that is needed."""
        self._index = index
        self._table = table
        self._encoder = encoder
        self.rows: list[int] = []
        """Rows of the clips among the examples that were looked at."""

    def vector(self, example: Example) -> Floats:
        """One example, float32 [dim] of unit length; raises `SearchError`."""
        if isinstance(example, Vector):
            return self._given(example)
        path, span = _place(example)
        if path.is_file():
            return _unit(self._seen(path, span), str(example))
        return self._stored(str(example))

    def _given(self, example: Vector) -> Floats:
        said = self._index.manifest.vectors[self._table]
        if example.model != said.model:
            raise SearchError(
                f"the vector is of model {example.model}, those of {self._table} of {said.model}:"
                " they cannot be compared"
            )
        values = np.asarray(example.values, np.float32)
        if values.shape != (said.dim,):
            raise SearchError(
                f"the vector has shape {list(values.shape)}; {self._table} holds [{said.dim}]"
            )
        return _unit(values, "the vector")

    def _stored(self, clip: str) -> Floats:
        row = self._row(clip)
        self.rows.append(row)
        found = self._index.vectors(self._table).vector(row)
        if found is None:
            raise SearchError(f"clip {clip} has no vector in {self._table}: nothing is seen in it")
        return _unit(found, f"clip {clip}")

    def _row(self, clip: str) -> int:
        row = int(self._index.rows(pa.array([clip]))[0])
        if row < 0 and len(clip) >= _SHORTEST_ID:
            ids = self._index.facts["clip_id"]
            fitting = pc.indices_nonzero(pc.starts_with(ids, clip)).to_pylist()
            if len(fitting) > 1:
                raise SearchError(f"{len(fitting)} clips have an id that starts with {clip}")
            row = fitting[0] if fitting else -1
        if row < 0:
            raise SearchError(f"there is no clip {clip!r}, and no picture or video file there")
        return row

    def _seen(self, path: Path, span: tuple[float, float] | None) -> Floats:
        try:
            if span is None and (picture := _picture(path)) is not None:
                return self._encoder().frames([picture], np.zeros(1), (0.0, 1.0))
            frames, times_s, span_s = _frames(path, span)
            return self._encoder().frames(frames, times_s, span_s)
        except SearchError:
            raise
        except (MediaError, ValueError) as error:
            raise SearchError(f"{path}: {error}") from error


def combined(plus: Sequence[Floats], minus: Sequence[Floats]) -> Floats:
    """One vector of unit length for wanted and unwanted ones of unit length."""
    found = np.mean(plus, axis=0)
    if minus:
        found = found - _UNWANTED * np.mean(minus, axis=0)
    return _unit(found, "what is left of the examples")


def _unit(vector: Floats, name: str) -> Floats:
    size = float(np.linalg.norm(vector))
    if not np.isfinite(size):
        raise SearchError(f"{name} holds NaN or infinity")
    if size < 1e-4:
        raise SearchError(f"{name} is zero: there is nothing to look for")
    return np.asarray(vector / size, np.float32)


def _place(example: str | Path) -> tuple[Path, tuple[float, float] | None]:
    path = Path(example).expanduser()
    found = _SPAN.fullmatch(str(path))
    if found is None or path.exists():
        return path, None
    start, end = float(found[2]), float(found[3])
    if start >= end:
        raise SearchError(f"{example}: the span ends before it starts")
    return Path(found[1]), (start, end)


def _picture(path: Path) -> npt.NDArray[np.uint8] | None:
    """The picture of a file as RGB [height, width, 3]; None if it is not one."""
    try:
        with Image.open(path, formats=sorted(_PICTURES)) as image:
            if image.width * image.height > _MOST_PIXELS:
                raise SearchError(f"{path} has more than {_MOST_PIXELS:,} pixels")
            return np.asarray(image.convert("RGB"), np.uint8)
    except (OSError, SyntaxError):
        return None


def _frames(
    path: Path, span: tuple[float, float] | None
) -> tuple[list[npt.NDArray[np.uint8]], npt.NDArray[np.float64], tuple[float, float]]:
    """Frames of a video as a scan looks at them, their times, and the span that they show."""
    limits = Limits()
    held: list[bytes] = []

    def hold(frames: Frames) -> None:
        held.extend(jpeg(frame, quality=95) for frame in frames)

    timeline = watch(
        str(path), probe(str(path), limits), Sampling(), limits,
        on_low=lambda _: None, on_analysis=hold,
    )  # fmt: skip
    starts_s = timeline.starts_s
    start, end = span or (0.0, float(starts_s[-1]))
    times_s = starts_s[timeline.analysed]
    inside = np.flatnonzero((times_s >= start) & (times_s < end))
    if not len(inside):
        raise SearchError(
            f"{path} shows nothing from {start:g} to {end:g} s; it has {starts_s[-1]:.1f} s"
        )
    if len(inside) > _MOST_FRAMES:
        inside = inside[np.linspace(0, len(inside) - 1, _MOST_FRAMES).round().astype(int)]
    frames = [np.asarray(Image.open(io.BytesIO(held[at]), formats=["JPEG"])) for at in inside]
    return frames, np.asarray(times_s[inside], np.float64), (start, min(end, float(starts_s[-1])))
