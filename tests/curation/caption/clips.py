"""Clips to caption."""

from pathlib import Path

from curation.caption.base import CaptionBatch, CaptionClip
from curation.render.rendered_clip import RenderedClip
from tests.rows import file_facts


def clip_of(path: Path, name: str, frames: int, size=(96, 64), **more) -> CaptionClip:
    """A clip of 24 frames a second that starts at frame 100 of its source."""
    width, height = size
    file = RenderedClip(
        name, "s", str(path), frames, width, height, 24.0, 100, 4.0, **file_facts(path)
    )
    facts = {"duration_s": frames / 24, "file": file, **more}
    return CaptionClip(name, "s", 100, 100 + frames, **facts)


def batch_of(*clips: CaptionClip) -> CaptionBatch:
    return CaptionBatch("b", clips)
