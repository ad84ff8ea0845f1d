"""Rendered clips as files, however they were rendered, and readers of their frames.

A file is read only if its bytes are those that render recorded. Our own encodes are read by decord;
packets of a source (copies and spans) are decoded in a sandbox, a complete clip at a time. Another
decoder, such as one on a GPU, belongs into `frame_reader`.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction

import numpy as np
import pyarrow.compute as pc

from curation import records
from curation.catalog import Catalog
from curation.dataset import sources_by_id
from curation.lineage import RenderOrigin
from curation.media.clip_reader import ClipReader, read_rendered_file
from curation.media.colour import Colour
from curation.media.cut import Span
from curation.media.decode import Frames
from curation.media.packet_selection import PacketSelection
from curation.media.probe import check_readable
from curation.media.sandbox import Limits
from curation.media.span_reader import read_span
from curation.media.timeline import FrameTimes
from curation.records import Clip, Render, Source
from curation.render.source_file import open_scanned_source
from curation.storage import Storage


@dataclass(frozen=True, slots=True)
class RenderedClip:
    """A rendered clip."""

    clip_id: str
    """The clip."""
    source_id: str
    """Its source."""
    uri: str
    """The file to read: our own encode, a copy, or the source."""
    frames: int
    """Frames in the file."""
    width: int
    """Width in pixels."""
    height: int
    """Height in pixels."""
    fps: float
    """Frames a second."""
    start_frame: int
    """The clip's first frame, counted in the source."""
    start_s: float
    """The clip's start in seconds from the source's first frame."""
    start_pts: int | None = None
    """The clip's start in the source's `time_base`; None if it has no times."""
    time_base: str | None = None
    """Unit of `start_pts`, as a fraction of a second."""
    source_frames: tuple[int, ...] | None = None
    """The source's frame that each frame shows, where a render changed the rate; else None."""
    source: Source | None = None
    """The source, if `uri` is the source itself."""
    sha256: str | None = None
    """Digest of the rendered file; None if there is no such file."""
    size_bytes: int | None = None
    """Size of the rendered file; None if there is no such file."""
    span: Span | None = None
    """Which frames of the file to decode in a sandbox; None for our own encode, which decord
    reads."""

    @property
    def key(self) -> str:
        """The clip's id."""
        return self.clip_id

    def source_frame(self, frame: int) -> int:
        """The source's frame that a frame of the file shows; past the end, the next one."""
        numbers = self.source_frames
        if numbers is None:
            return self.start_frame + frame
        return numbers[frame] if frame < len(numbers) else numbers[-1] + 1


def rendered_clip(render: Render, clip: Clip, source: Source, storage: Storage) -> RenderedClip:
    """The file of a clip that was rendered."""
    span = None
    numbers = render.source_frames
    uri = source.uri if render.path is None else storage.uri(render.path)
    if render.mode == "span":
        span = Span.of(clip, source)
    elif render.mode == "copy":
        # The packets are foreign, so a sandbox reads the file, not decord.
        span = Span(
            frames=render.frames or 0,
            start_frame=0,
            start_pts=None,
            end_pts=None,
            time_base=Fraction(1),
            start_s=0.0,
            end_s=0.0,
            packet_selection=PacketSelection(0, is_excerpt=True),
            colour=Colour.parse(source.colour, source.colour_forced),
            container="mp4",
            fps=render.fps or 25.0,
            interlaced=False,
        )
    return RenderedClip(
        clip_id=clip.clip_id,
        source_id=clip.source_id,
        uri=uri,
        frames=render.frames or 0,
        width=render.width or 0,
        height=render.height or 0,
        fps=render.fps or 25.0,
        start_frame=clip.start_frame,
        start_s=clip.start_s,
        start_pts=clip.start_pts,
        time_base=clip.time_base,
        source_frames=None if numbers is None else tuple(np.frombuffer(numbers, "<u4").tolist()),
        source=source if render.mode == "span" else None,
        sha256=render.sha256,
        size_bytes=render.size_bytes,
        span=span,
    )


Rendered = tuple[Clip, RenderedClip, RenderOrigin]
"""A clip, its file, and which render that is."""


def rendered_clips(catalog: Catalog, table: str, clips: Sequence[Clip]) -> list[Rendered]:
    """Those of the clips that a table of renders holds, with their files, in the given order."""
    if not clips:
        return []
    where = (pc.field("outcome") == "rendered") & pc.field("clip_id").isin(
        [clip.clip_id for clip in clips]
    )
    rows = records.from_table(Render, catalog.read(table, Render, where=where))
    renders = {render.clip_id: render for render in rows}
    sources = sources_by_id(catalog, {clip.source_id for clip in clips})
    return [
        (
            clip,
            rendered_clip(render, clip, sources[clip.source_id], catalog.storage),
            RenderOrigin.of(table, render),
        )
        for clip in clips
        if (render := renders.get(clip.clip_id))
    ]


@contextlib.contextmanager
def open_rendered_clip(clip: RenderedClip) -> Iterator[str]:
    """A local path of the clip's file."""
    if clip.source is not None:
        with open_scanned_source(clip.source) as path:
            yield path
    else:
        with Storage.at(clip.uri).local_path() as path:
            check_readable(path)
            yield path


def frame_reader(
    path: str, clip: RenderedClip, width: int, height: int, limits: Limits
) -> tuple[Callable[[Sequence[int]], Frames], FrameTimes | None]:
    """A function that reads frames by their numbers, and when each frame is shown.

    Frames are RGB uint8 of shape [n, height, width, 3]. Raises `MediaError` for damage, and for a
    rendered file with other bytes than were written.
    """
    data = b""
    if clip.source is None:
        data = read_rendered_file(path, clip.sha256, clip.size_bytes)
    if clip.span is not None:
        frames, times = read_span(path, clip.span, width, height, limits)
        return lambda numbers: frames[list(numbers)], times
    reader = ClipReader(data, width=width, height=height, frames=clip.frames)
    return reader.read, reader.times
