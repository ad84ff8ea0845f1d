"""The render stage: each kept clip becomes a file, or stays a span of its source."""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import hashlib
import json
import os
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Any, ClassVar, Literal

import numpy as np

from curation.errors import InfrastructureError, ReelmillError
from curation.media import sandbox
from curation.media.allowlist import AUDIO_CODECS
from curation.media.audio import extract_audio
from curation.media.cut import Span
from curation.media.encode import (
    MAX_NEIGHBOURS,
    MAX_PIXELS,
    EncodeJob,
    EncodeResult,
    Encoding,
    are_close,
    encode,
    encode_neighbours,
)
from curation.media.picture_edits import Crop, MaskFile, PictureEdits
from curation.media.remux import COPYABLE_CODECS, copy_packets
from curation.media.timeline import segments_from_json
from curation.records import Clip, Render, Source
from curation.render.face_blur import BlurFaces, FaceMask, mask_faces
from curation.render.source_file import open_scanned_source
from curation.stage import Done, Failed, Resources, attempt
from curation.storage import Storage, file_sha256


class RenderSettingsError(ReelmillError, ValueError):
    """Settings of a render that exclude each other."""


@dataclass(frozen=True)
class RenderBatch:
    """Clips of one source, which is opened once for all of them."""

    source: Source
    clips: tuple[Clip, ...]
    crops: tuple[Crop | None, ...] = ()
    """The visible part of each clip's picture; empty for all of every one."""

    @property
    def key(self) -> str:
        """The first clip and the number of clips."""
        return f"{self.clips[0].clip_id}+{len(self.clips)}"


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
    """`keep` shows the entire picture, `bars` the part inside its black bars."""
    blur_faces: BlurFaces | None = None
    """Blurs faces, if given."""
    limits: sandbox.Limits = field(default_factory=sandbox.Limits)
    """What ffmpeg may use."""
    version: ClassVar[int] = 2

    def __post_init__(self) -> None:
        """Raises `RenderSettingsError` where the mode excludes other settings."""
        if self.mode == "span" and self.changes_picture:
            raise RenderSettingsError("crop and blur_faces need files: set mode to encode")

    @property
    def changes_picture(self) -> bool:
        """Whether pictures may differ from the source's in more than size."""
        return self.crop != "keep" or self.blur_faces is not None

    @property
    def resources(self) -> Resources:
        """One core; memory for the encoders of neighbours, or for frames that are blurred."""
        return Resources(cpus=1.0, memory_mb=1200 if self.blur_faces is None else 1500)

    @property
    def profile(self) -> str:
        """Digest of all settings that decide the bytes; `renders/<profile>` holds the clips."""
        settings: dict[str, Any] = {"version": self.version, "mode": self.mode}
        if self.mode != "span":
            settings |= dataclasses.asdict(self.encoding)
        if self.crop != "keep":
            settings["crop"] = self.crop
        if self.blur_faces is not None:
            settings |= self.blur_faces.digest_fields
        digest = hashlib.sha256(json.dumps(settings, sort_keys=True).encode()).hexdigest()
        return f"{self.mode}-{digest[:8]}"

    def setup(self) -> Callable[[RenderBatch], list[Render]]:
        """Loads the face detector, if there is one."""
        if self.blur_faces is not None:
            self.blur_faces.detector.load()
        return functools.partial(_render_batch, self)


def _render_batch(stage: RenderClips, batch: RenderBatch) -> list[Render]:
    """One row for each clip; one that fails does not stop the others."""
    source = batch.source
    if stage.mode == "span":
        return [_span_row(clip, source) for clip in batch.clips]
    crops = batch.crops or (None,) * len(batch.clips)
    with open_scanned_source(source) as path, _audio_files(stage, batch, path) as audio_paths:
        renders = [
            _ClipRender(stage, source, path, clip, crop, audio_path)
            for clip, crop, audio_path in zip(batch.clips, crops, audio_paths, strict=True)
        ]
        return [row for group in _neighbours(renders) for row in _render_neighbours(group)]


def _span_row(clip: Clip, source: Source) -> Render:
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


@contextlib.contextmanager
def _audio_files(
    stage: RenderClips, batch: RenderBatch, path: str
) -> Iterator[Sequence[str | None]]:
    """A temporary WAV file for each clip; None where there is no sound or it is dropped."""
    source = batch.source
    none = [None] * len(batch.clips)
    if stage.encoding.audio == "drop" or source.audio_codec not in AUDIO_CODECS:
        yield none
        return
    with tempfile.TemporaryDirectory(prefix="reelmill-") as folder:
        targets = [os.path.join(folder, f"{index}.wav") for index in range(len(batch.clips))]
        spans = [Span.of(clip, source) for clip in batch.clips]
        segments = segments_from_json(source.segments, source.begin_s)
        yield targets if extract_audio(path, spans, targets, segments, stage.limits) else none


def _neighbours(renders: Sequence[_ClipRender]) -> Iterator[list[_ClipRender]]:
    """Renders in groups that are worth one decode."""
    group: list[_ClipRender] = []
    for render in renders:
        size = render.size
        count = min(MAX_NEIGHBOURS, MAX_PIXELS // (size[0] * size[1]))
        if group and not (len(group) < count and group[-1].precedes(render)):
            yield group
            group = []
        group.append(render)
    yield group


def _render_neighbours(renders: Sequence[_ClipRender]) -> list[Render]:
    """One row for each; where exact frames do not come out of one decode, each has its own."""
    first = renders[0]
    storage, stage = Storage.at(first.stage.output), first.stage
    with contextlib.ExitStack() as stack:
        targets = [stack.enter_context(storage.temporary_path(render.target)) for render in renders]
        encoded: Sequence[EncodeResult | None] = [None] * len(renders)
        if len(renders) > 1:
            jobs = [render.job(target) for render, target in zip(renders, targets, strict=True)]
            encoded = encode_neighbours(first.path, jobs, stage.encoding, stage.limits)
        return [
            render.run(storage, target, result)
            for render, target, result in zip(renders, targets, encoded, strict=True)
        ]


@dataclass(frozen=True)
class _ClipRender:
    """One clip to be written to a file."""

    stage: RenderClips
    source: Source
    path: str
    """A local path of the source."""
    clip: Clip
    crop: Crop | None
    audio_path: str | None
    """A WAV file of its sound."""

    @property
    def key(self) -> str:
        return self.clip.clip_id

    @property
    def target(self) -> str:
        """Where the file goes, relative to the output."""
        clip_id = self.clip.clip_id
        return f"renders/{self.stage.profile}/media/{clip_id[:2]}/{clip_id}.mp4"

    @functools.cached_property
    def span(self) -> Span:
        return Span.of(self.clip, self.source)

    @functools.cached_property
    def size(self) -> tuple[int, int]:
        """Width and height of the file."""
        visible = self.crop or self.source
        return self.stage.encoding.size(visible.width or 1, visible.height or 1)

    def precedes(self, other: _ClipRender) -> bool:
        """Whether both may come out of one decode, and are so close that it pays."""
        shares = not (self.stage.blur_faces or self._can_copy() or other._can_copy())
        return shares and are_close(self.span, other.span)

    def job(self, target: str, mask: MaskFile | None = None) -> EncodeJob:
        """What is encoded, and how."""
        edits = PictureEdits((self.source.width or 0, self.source.height or 0), self.crop, mask)
        return EncodeJob(target, self.span, self.size, self.audio_path, edits)

    def run(self, storage: Storage, target: str, encoded: EncodeResult | None) -> Render:
        """The clip's row, also where it failed; an encode that is at `target` is taken."""

        def write_file(render: _ClipRender) -> Render:
            columns = render._write(target, encoded)
            row = Render(
                clip.clip_id, clip.source_id, "rendered", path=render.target,
                sha256=file_sha256(target), size_bytes=os.path.getsize(target), **columns,
            )  # fmt: skip
            storage.publish(target, render.target)
            return row

        clip = self.clip
        outcome = attempt(write_file, self)
        if isinstance(outcome, Done):
            row: Render = outcome.value
            return row
        if isinstance(outcome, Failed):
            return Render(clip.clip_id, clip.source_id, "failed", outcome.reason, outcome.detail)
        raise InfrastructureError(f"clip {clip.clip_id}: {outcome.detail}")

    def _write(self, target: str, encoded: EncodeResult | None) -> dict[str, Any]:
        """Copies or encodes the clip to `target`; columns of its row."""
        stage, source = self.stage, self.source
        if self._can_copy() and copy_packets(self.path, target, self.span, stage.limits) is None:
            return {
                "mode": "copy", "codec": source.codec, "width": source.width or 0,
                "height": source.height or 0, "fps": source.fps, "frames": self.span.frames,
                "audio": False,
            }  # fmt: skip
        with self._face_mask() as faces:
            job = self.job(target, faces.mask if faces else None)
            if encoded is None:
                encoded = encode(self.path, job, stage.encoding, stage.limits)
        numbers = encoded.source_frames
        return {
            "mode": "encode", "codec": "h264", "width": job.size[0], "height": job.size[1],
            "fps": stage.encoding.fps or source.fps, "frames": encoded.frames,
            "audio": self.audio_path is not None,
            "crop": None if self.crop is None else str(self.crop),
            "faces_blurred": None if faces is None else faces.num_faces,
            "source_frames": None if numbers is None else np.array(numbers, "<u4").tobytes(),
        }  # fmt: skip

    @contextlib.contextmanager
    def _face_mask(self) -> Iterator[FaceMask | None]:
        """A temporary mask of the clip's faces; None where they are not blurred."""
        stage = self.stage
        if stage.blur_faces is None:
            yield None
            return
        with tempfile.NamedTemporaryFile(prefix="reelmill-", suffix=".nut") as file:
            yield mask_faces(
                stage.blur_faces, self.path, self.span,
                size=(self.source.width or 0, self.source.height or 0), limits=stage.limits,
                target=file.name,
            )  # fmt: skip

    def _can_copy(self) -> bool:
        """Whether packets may be copied and would show what an encode shows."""
        source, encoding = self.source, self.stage.encoding
        return (
            self.stage.mode == "copy"
            and self.crop is None
            and self.stage.blur_faces is None
            and source.codec in COPYABLE_CODECS
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
