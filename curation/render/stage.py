"""Render: each survivor becomes a file of its own, or stays a span of its source."""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import json
import os
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Any, ClassVar, Literal

import numpy as np

from curation.errors import InfrastructureError
from curation.media import sandbox
from curation.media.allowlist import AUDIO_CODECS
from curation.media.picture_edits import Crop, PictureEdits
from curation.media.cut import Span
from curation.media.encode import Encoding, encode
from curation.media.remux import COPYABLE_CODECS, copy_packets
from curation.media.timeline import segments_from_json
from curation.media.audio import extract_audio
from curation.records import Clip, Render, Source
from curation.render.face_blur import BlurFaces, FaceMask, mask_faces
from curation.render.source_file import open_scanned_source
from curation.stage import Done, Failed, Resources, attempt
from curation.storage import Storage, file_sha256


@dataclass(frozen=True)
class RenderBatch:
    """Clips of one source, which is opened once for all of them."""

    source: Source
    clips: tuple[Clip, ...]
    crops: tuple[Crop | None, ...] = ()
    """What is shown of each clip's picture; empty for all of every one."""

    @property
    def key(self) -> str:
        """The first clip, and how many."""
        return f"{self.clips[0].clip_id}+{len(self.clips)}"


@dataclass(frozen=True)
class _ClipItem:
    clip: Clip
    crop: Crop | None
    sound: str | None
    """A WAV file of its sound."""

    @property
    def key(self) -> str:
        return self.clip.clip_id


@dataclass(frozen=True)
class RenderClips:
    """The render stage."""

    output: str = ""
    """The output folder; set by the run, not by a configuration."""
    mode: Literal["encode", "copy", "span"] = "encode"
    """`encode` to H.264; `copy` packets where both ends lie on key frames, else encode; `span` to
    write no file and keep the reference."""
    encoding: Encoding = field(default_factory=Encoding)
    """How `encode` encodes."""
    crop: Literal["keep", "bars"] = "keep"
    """`keep` shows the whole picture, `bars` what lies inside its black bars."""
    blur_faces: BlurFaces | None = None
    """Blurs faces, if given."""
    limits: sandbox.Limits = field(default_factory=sandbox.Limits)
    """What ffmpeg may use."""
    version: ClassVar[int] = 2

    def __post_init__(self) -> None:
        """`ValueError` for a mode that cannot do what else is asked for."""
        if self.mode == "span" and self.changes_picture:
            raise ValueError("crop and blur_faces need files: set mode to encode")

    @property
    def changes_picture(self) -> bool:
        """Whether pictures may differ from the source's in more than size."""
        return self.crop != "keep" or self.blur_faces is not None

    @property
    def resources(self) -> Resources:
        """One core: an encoder thread; room for small frames where faces are looked for."""
        return Resources(cpus=1.0, memory_mb=800 if self.blur_faces is None else 1500)

    @property
    def profile(self) -> str:
        """Names the profile by what decides its bytes; `renders/<profile>` holds its clips."""
        decides: dict[str, Any] = {"version": self.version, "mode": self.mode}
        if self.mode != "span":
            decides |= dataclasses.asdict(self.encoding)
        if self.crop != "keep":
            decides["crop"] = self.crop
        if self.blur_faces is not None:
            decides |= self.blur_faces.digest_fields
        digest = hashlib.sha256(json.dumps(decides, sort_keys=True).encode()).hexdigest()
        return f"{self.mode}-{digest[:8]}"

    def setup(self) -> Callable[[RenderBatch], list[Render]]:
        """Loads the detector of faces, if there is one."""
        if self.blur_faces is not None:
            self.blur_faces.detector.load()
        return lambda batch: _render_all(self, batch)


def _render_all(stage: RenderClips, batch: RenderBatch) -> list[Render]:
    """One row a clip; a clip that fails fails alone."""
    if stage.mode == "span":
        return [_reference(clip, batch.source) for clip in batch.clips]
    crops = batch.crops or (None,) * len(batch.clips)
    with open_scanned_source(batch.source) as path, _sounds(stage, batch, path) as sounds:
        items = map(_ClipItem, batch.clips, crops, sounds)
        return [_render(stage, item, batch.source, path) for item in items]


@contextlib.contextmanager
def _sounds(stage: RenderClips, batch: RenderBatch, path: str) -> Iterator[list[str | None]]:
    """A WAV file for each clip, gone afterwards; None where there is no sound or none is wanted."""
    nothing: list[str | None] = [None] * len(batch.clips)
    source = batch.source
    if stage.encoding.audio == "drop" or source.audio_codec not in AUDIO_CODECS:
        yield nothing
        return
    with tempfile.TemporaryDirectory(prefix="reelmill-") as folder:
        targets = [os.path.join(folder, f"{at}.wav") for at in range(len(batch.clips))]
        spans = [Span.of(clip, source) for clip in batch.clips]
        segments = segments_from_json(source.segments, source.begin_s)
        good = extract_audio(path, spans, targets, segments, stage.limits)
        yield [*targets] if good else nothing


def _reference(clip: Clip, source: Source) -> Render:
    return Render(
        clip_id=clip.clip_id,
        source_id=clip.source_id,
        outcome="rendered",
        mode="span",
        codec=source.codec,
        width=source.width,
        height=source.height,
        fps=source.fps,
        frames=clip.end_frame - clip.start_frame,
        audio=bool(source.audio_streams),
    )


def _render(stage: RenderClips, item: _ClipItem, source: Source, path: str) -> Render:
    clip = item.clip
    outcome = attempt(lambda item: _to_file(stage, item, source, path), item)
    if isinstance(outcome, Done):
        made: Render = outcome.value
        return made
    if isinstance(outcome, Failed):
        return Render(clip.clip_id, clip.source_id, "failed", outcome.reason, outcome.detail)
    raise InfrastructureError(f"clip {clip.clip_id}: {outcome.detail}")


def _to_file(stage: RenderClips, item: _ClipItem, source: Source, path: str) -> Render:
    clip = item.clip
    relative = f"renders/{stage.profile}/media/{clip.clip_id[:2]}/{clip.clip_id}.mp4"
    with Storage.at(stage.output).atomic_write(relative) as target:
        made = _write(stage, item, source, path, target)
        return dataclasses.replace(
            made, path=relative, sha256=file_sha256(target), size_bytes=os.path.getsize(target)
        )


def _write(stage: RenderClips, item: _ClipItem, source: Source, path: str, target: str) -> Render:
    """The row of the clip that was written to `target`, without its path and digest."""
    clip, span = item.clip, Span.of(item.clip, source)
    displayed = (source.width or 0, source.height or 0)
    row = Render(clip.clip_id, clip.source_id, "rendered", width=displayed[0], height=displayed[1])
    plain = item.crop is None and stage.blur_faces is None
    copies = stage.mode == "copy" and plain and _copies(stage.encoding, source)
    if copies and copy_packets(path, target, span, stage.limits) is None:
        return dataclasses.replace(
            row, mode="copy", codec=source.codec, fps=source.fps, frames=span.frames, audio=False
        )
    shown = displayed if item.crop is None else (item.crop.width, item.crop.height)
    size = stage.encoding.size(*shown)
    with _faces(stage, span, displayed, path) as found:
        changes = PictureEdits(displayed, item.crop, None if found is None else found.mask)
        encoded = encode(
            path, target, span, size=size, encoding=stage.encoding, limits=stage.limits,
            audio_path=item.sound, edits=changes,
        )  # fmt: skip
    numbers = encoded.source_frames
    return dataclasses.replace(
        row, mode="encode", codec="h264", width=size[0], height=size[1],
        fps=stage.encoding.fps or source.fps, frames=encoded.frames, audio=item.sound is not None,
        crop=None if item.crop is None else str(item.crop),
        faces_blurred=None if found is None else found.faces,
        source_frames=None if numbers is None else np.array(numbers, "<u4").tobytes(),
    )  # fmt: skip


@contextlib.contextmanager
def _faces(
    stage: RenderClips, span: Span, displayed: tuple[int, int], path: str
) -> Iterator[FaceMask | None]:
    """The faces of a clip and a mask of them, which is gone afterwards; None if none is wanted."""
    if stage.blur_faces is None:
        yield None
        return
    with tempfile.NamedTemporaryFile(prefix="reelmill-", suffix=".nut") as masks:
        yield mask_faces(
            stage.blur_faces, path, span, size=displayed, limits=stage.limits, target=masks.name
        )


def _copies(encoding: Encoding, source: Source) -> bool:
    """Whether packets as they are would show what an encode shows."""
    return (
        source.codec in COPYABLE_CODECS
        and source.pixel_format in ("yuv420p", "yuvj420p")
        and source.rotation == 0
        and not source.flipped
        and Fraction((source.pixel_aspect or "1:1").replace(":", "/")) == 1
        and not source.hdr
        and not source.interlaced
        and encoding.fps is None
        and encoding.audio == "drop"
        and encoding.longest_side >= max(source.width or 0, source.height or 0)
    )
