"""A step that reads renders: alone, or in a stream right behind the step that makes them."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from curation.records import Clip, Render
from curation.render.rendered_clip import Rendered
from curation.step import ClipStep


@dataclass(frozen=True)
class RenderReader(ClipStep):
    """A step over the rendered clips that a selection keeps."""

    renders: str = ""
    """The table of renders to read, such as `renders/encode-1a2b3c4d`."""
    follows_render: bool = False
    """Whether `render` runs ahead in the same stream, so that the table may not exist yet."""

    @abstractmethod
    def batch_size(self, clips: int) -> int:
        """Clips of an item, of so many in all."""

    @abstractmethod
    def batch(self, rendered: Sequence[Rendered]) -> Any:
        """The item of these clips."""

    def expected_ids(self, rendering: Collection[str]) -> list[str]:
        """Unfinished clips that are rendered or being rendered, by source and time."""
        is_rendered = pc.field("outcome") == "rendered"
        rendered = self.catalog.read(self.renders, Render, ["clip_id"], is_rendered)["clip_id"]
        expected = pa.chunked_array([*rendered.chunks, pa.array(rendering, pa.string())])
        unfinished = self.unfinished_ids()
        unfinished = unfinished.filter(pc.is_in(unfinished, expected))
        clips = self.catalog.read("clips", Clip, ["clip_id", "source_id", "start_frame"])
        clips = clips.filter(pc.is_in(clips["clip_id"], unfinished))
        clips = clips.sort_by([("source_id", "ascending"), ("start_frame", "ascending")])
        ordered: list[str] = clips["clip_id"].to_pylist()
        return ordered
