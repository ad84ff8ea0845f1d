"""The records of the tables, defined once.

Arrow schemas, the page `docs/tables.md` and the types in the code derive from these classes. The
string under a field is its documentation.
"""

from __future__ import annotations

import dataclasses
import types
import typing
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import pyarrow as pa


@dataclass(frozen=True, slots=True)
class Source:
    """One listed input and its outcome: the commit marker of its rows in the other tables."""

    uri: str
    """The address of the input: a path, or an address such as `s3://`."""
    size_bytes: int
    """Size when listed; 0 if it could not be read."""
    modified: str
    """Modification time or etag when listed; with uri and size it lets a rerun skip reading."""
    outcome: str
    """`scanned` or `failed`."""
    reason: str | None = None
    """For `failed`: a word of the closed list of reasons."""
    detail: str | None = None
    """For `failed`: the error message."""
    source_id: str | None = None
    """sha256 of the bytes; null if they could not be read."""
    container: str | None = None
    """Container format as the demuxer names it."""
    codec: str | None = None
    """Video codec."""
    pixel_format: str | None = None
    """Pixel format of the decoded stream."""
    stream_index: int | None = None
    """Index of the stream used: the requested one; else the container's default, then the largest,
    without attached pictures."""
    video_streams: int | None = None
    """How many real video streams the container has."""
    audio_streams: int | None = None
    """How many audio streams the container has."""
    audio_codec: str | None = None
    """Codec of the first audio stream; null without sound."""
    width: int | None = None
    """Width in pixels as displayed: after rotation, with square pixels."""
    height: int | None = None
    """Height in pixels as displayed."""
    rotation: int | None = None
    """Degrees counter-clockwise by which the container rotates pictures; applied."""
    flipped: bool | None = None
    """Whether the container mirrors pictures as well; applied."""
    pixel_aspect: str | None = None
    """Shape of a stored pixel, width:height."""
    fps: float | None = None
    """Average frames per second; a last frame that is shown longer counts as a usual one."""
    variable_rate: bool | None = None
    """Whether the time between frames varies by more than one tick."""
    frames: int | None = None
    """Frames decoded, in presentation order."""
    duration_s: float | None = None
    """Seconds from the first frame's start to the last frame's end, without gaps."""
    timestamps: str | None = None
    """`exact` if each frame has the container's timestamp, `repaired` if only some have one or they
    are out of order, `none` if there are none and the header's rate is used."""
    begin_s: float | None = None
    """The container's time of the first frame, in seconds; null without timestamps."""
    segments: str | None = None
    """JSON, where times restart or frames are missing for long: for each segment its first frame,
    that frame's time in the container, and its start in seconds. No clip spans two."""
    skipped_packets: int | None = None
    """Packets before the first key frame, which are skipped."""
    leading_packets: int | None = None
    """Packets after them that are skipped because they depend on them."""
    excused_packets: int | None = None
    """Packets that the demuxer reports as damaged and that hold no picture."""
    end_packet: int | None = None
    """For a salvaged source: the first packet that is no longer decoded."""
    remarks: str | None = None
    """What is unusual about it: skipped frames, gaps, restarts, damage, other streams."""
    interlaced: bool | None = None
    """Whether frames are coded as two fields; renders deinterlace them frame by frame."""
    hdr: bool | None = None
    """Whether the transfer is PQ or HLG; frames are then tone-mapped to BT.709."""
    colour: str | None = None
    """Matrix, primaries and transfer used to read its pictures, by their ffmpeg names."""
    colour_forced: bool | None = None
    """Whether readers of its frames must be given these, because their defaults differ."""
    shots_by: str | None = None
    """The shot detector and its settings."""
    scan_digest: str | None = None
    """Digest of the settings that decide clips; the same for all sources of an output."""
    clips: int | None = None
    """How many clips this source has."""
    clips_digest: str | None = None
    """sha256 over the clip ids in order, to detect lost clips."""
    extra: dict[str, str] | None = None
    """Further columns of the input list, such as licence, camera or labels."""


@dataclass(frozen=True, slots=True)
class Review:
    """What somebody decided about a clip by hand. Of a clip the newest row counts."""

    clip_id: str
    """The clip."""
    decision: str
    """`keep`, `drop`, or `undo`, which withdraws the decision before."""
    by: str
    """Who: a user's name, or the API key of a server."""
    at: str
    """When, UTC, ISO 8601."""
    note: str | None = None
    """Why, where it was said."""


@dataclass(frozen=True, slots=True)
class ListedInput:
    """One input when it was listed, written before it is scanned. Of an address the newest counts.

    An unchanged input that is listed again adds no row.
    """

    uri: str
    """The address of the input: a path, or an address such as `s3://`."""
    size_bytes: int
    """Its size; 0 if it could not be read."""
    modified: str
    """Its modification time or etag; the outcome in `sources` has the same three."""
    place: str
    """The folder, list or file that was named."""
    listed: str
    """When, UTC, ISO 8601."""
    withdrawn: bool = False
    """Whether it is no longer an input: it was missing when its place was listed again, or was
    withdrawn by hand."""


@dataclass(frozen=True, slots=True)
class SkippedFiles:
    """Files under one place that a listing skipped, by kind. The newest counts."""

    place: str
    """The folder that was named."""
    kind: str
    """An ending such as `.txt`, or `no ending`, `other endings`, `hidden` (the name starts with a
    dot), `linked folder` (not followed); empty if none was skipped."""
    count: int
    """How many."""
    listed: str
    """When, UTC, ISO 8601."""


@dataclass(frozen=True, slots=True)
class Clip:
    """One candidate clip: its span and its shot."""

    clip_id: str
    """Hash of source_id, stream, first and end time, or frame numbers where there are no times."""
    source_id: str
    """The source of the clip."""
    start_frame: int
    """First frame, counting all decoded frames of the stream in presentation order from 0."""
    end_frame: int
    """End frame, exclusive."""
    start_s: float
    """Start in seconds from the source's first frame."""
    end_s: float
    """End in seconds: the start of the frame after the last one; before a gap, a usual frame's
    length after the last one's start."""
    shot_start_frame: int
    """First frame of the clip's shot."""
    shot_end_frame: int
    """End frame of that shot, exclusive."""
    start_pts: int | None = None
    """Presentation time of the first frame in `time_base` units; null if the stream has none that
    is unique."""
    end_pts: int | None = None
    """Presentation time of the frame after the last; null after the end or without times."""
    time_base: str | None = None
    """Unit of the presentation times, as a fraction of a second."""
    frame_times: bytes | None = None
    """Where timestamps were repaired or occur twice: the start of each frame and the end of the
    last, in seconds from the clip's start, little-endian float64; else null."""


@dataclass(frozen=True, slots=True)
class ClipRow:
    """A row that is of one clip."""

    clip_id: str
    """The clip."""
    source_id: str
    """Its source."""


@dataclass(frozen=True, slots=True)
class Thumbnail(ClipRow):
    """A small picture of one clip."""

    frame: int
    """The frame of the source."""
    jpeg: bytes
    """JPEG bytes, longest side 320 pixels."""


@dataclass(frozen=True, slots=True)
class Embedding(ClipRow):
    """The embedding of one clip by one model."""

    dim: int
    """Length of the vector."""
    vector: bytes
    """The vector, little-endian float16, of unit length."""


@dataclass(frozen=True, slots=True)
class Signature(ClipRow):
    """The frames of one clip in compressed form, which finds near-duplicates without decoding."""

    frames: int
    """Frames of the signature, four a second."""
    framings: int
    """Letterbox variants: 1 as it is, 2 also without its bars (a guess if `bars` has none), 0 if it
    shows nothing."""
    bars: bytes
    """Top, bottom, left and right bar as fractions of the picture, little-endian float16."""
    scales: bytes
    """The quantization step of each frame's coefficients, float16, variant after variant."""
    coarse: bytes
    """For each variant and frame 77 low frequencies of its cosine transform, int8."""
    fine: bytes
    """For each variant 575 frequencies of the mean frame, int8."""
    still: bytes
    """For each variant the fraction of its fine structure that is static, float16."""


@dataclass(frozen=True, slots=True)
class ClipLabel(ClipRow):
    """Whether one label of a file of labels holds for one clip."""

    label: str
    """Group and label, such as `hour/night`, or `aesthetic`."""
    score: float
    """The label's probability within its group, 0–1; for `aesthetic` the head's output."""
    holds: bool
    """Whether the score reaches the label's threshold."""


@dataclass(frozen=True, slots=True)
class Neighbour:
    """A pair of similar clips, or the mark that a clip's neighbours were searched."""

    clip_id: str
    """The clip whose neighbours were searched; of two the larger id."""
    neighbour_id: str
    """The other clip; for identical clips the one that represents them all, possibly itself."""
    similarity: float
    """Temporal agreement of two near-duplicates, or cosine of two embeddings, at most 1."""
    overlap_s: float | None = None
    """For near-duplicates: seconds that they share; null for identical ones."""
    identical: bool = False
    """Whether both are bit-identical; each clip whose neighbours were searched has one such row."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """One clip in one selection. A selection is a snapshot; a newer one does not rewrite it."""

    selection_id: str
    """Hash of the policy and the clips."""
    clip_id: str
    """The clip."""
    source_id: str
    """Its source."""
    verdict: str
    """`kept`, `filtered` or `duplicate`."""
    reason: str | None = None
    """For `filtered` the first rule that it violates; for `duplicate` `near_duplicate` (the same
    footage) or `semantic_duplicate` (the same kind of scene)."""
    duplicate_of: str | None = None
    """For `duplicate`: the kept clip that represents it."""
    similarity: float | None = None
    """For `duplicate`: how similar the two are."""


@dataclass(frozen=True, slots=True)
class SubsetClip:
    """One clip of a subset, which a search found and which has a name."""

    subset_id: str
    """Hash of the name, the query, the index's version and the clips."""
    name: str
    """Its name; of several of one name the newest counts."""
    clip_id: str
    """The clip."""
    source_id: str
    """Its source."""
    rank: int
    """Rank among the hits, from 0."""
    score: float | None = None
    """The hit's score; null where the query was only a condition."""


@dataclass(frozen=True, slots=True)
class ClipOutcome(ClipRow):
    """The outcome of one clip in a step: success, or failure for a reason."""

    outcome: str
    """`failed`, or what the step calls its success: `rendered`, `captioned`, `tokenized`."""
    reason: str | None = None
    """For `failed`: a word of the closed list of reasons."""
    detail: str | None = None
    """For `failed`: the error message."""


@dataclass(frozen=True, slots=True)
class DerivedOutcome(ClipOutcome):
    """The outcome of a step that may read a clip's render, and which render that was."""

    windows: int | None = None
    """Where it succeeded: rows in the table of captions or of token windows."""
    render_profile: str | None = None
    """Profile of the renders that were read: `renders/<profile>` holds them; null for none."""
    render_sha256: str | None = None
    """Digest of the rendered file; null for a span."""
    render_frames: int | None = None
    """Frames of the render."""
    render_fps: float | None = None
    """Frames per second of the render."""


@dataclass(frozen=True, slots=True)
class Render(ClipOutcome):
    """One clip as a file of its own, or as a span of its source."""

    mode: str | None = None
    """How it was made: `encode`, `copy` (packets of the source) or `span` (no file)."""
    path: str | None = None
    """The file, relative to the output folder; null for `span`."""
    sha256: str | None = None
    """Digest of the file."""
    size_bytes: int | None = None
    """Size of the file."""
    codec: str | None = None
    """Video codec of the file."""
    width: int | None = None
    """Width in pixels."""
    height: int | None = None
    """Height in pixels."""
    fps: float | None = None
    """Average frames per second."""
    frames: int | None = None
    """Frames in the file."""
    audio: bool | None = None
    """Whether the file has sound."""
    crop: str | None = None
    """The part of the source's picture that it shows, `WIDTHxHEIGHT+LEFT+TOP` in pixels as
    displayed; null for all of it."""
    faces_blurred: int | None = None
    """Faces that were blurred, counted per frame; null where none were searched."""
    source_frames: bytes | None = None
    """Where the frame rate was changed: the source's frame that each frame shows, little-endian
    uint32; else null."""


@dataclass(frozen=True, slots=True)
class Caption(ClipRow):
    """The caption of one window of a clip."""

    text: str
    """The caption."""
    window: int = 0
    """Number of the window within the clip, from 0."""
    start_frame: int | None = None
    """First frame of the window, counted in the source."""
    end_frame: int | None = None
    """End frame, exclusive."""
    model: str | None = None
    """The model that wrote it, by its configured name; null for measured facts."""
    model_digest: str | None = None
    """sha256 over the model's files; null where a server keeps them."""
    prompt_digest: str | None = None
    """First 16 digits of the sha256 of the model's whole input besides the clip."""
    tokens_in: int | None = None
    """Input tokens of this row, pictures included; null if unknown."""
    tokens_out: int | None = None
    """Output tokens."""
    answers: str | None = None
    """A JSON object: the model's confidence in each question's yes, 0–1; or the measured facts."""
    render_profile: str | None = None
    """Profile of the renders that the model read; null for none."""
    render_sha256: str | None = None
    """Digest of the render that it read; null for a span."""


@dataclass(frozen=True, slots=True)
class CaptionedClip(DerivedOutcome):
    """The outcome of captioning one clip: the commit marker of its captions."""

    requests: int = 0
    """Requests to the model, answered or not; retries count again."""
    tokens_in: int = 0
    """Input tokens of this clip, as far as the model reports them."""
    tokens_out: int = 0
    """Output tokens."""


@dataclass(frozen=True, slots=True)
class TokenizedClip(DerivedOutcome):
    """The outcome of tokenizing one clip: the commit marker of its token windows."""

    psnr_codes_db: float | None = None
    """Mean over the clip's measured windows, weighted by their real frames; null without codes, or
    where none was measured."""
    psnr_latents_db: float | None = None
    """The same for the continuous head."""


@dataclass(frozen=True, slots=True)
class Run:
    """One run that did work, or that requested a finished table again. The only table with clock
    times besides `listed` and `passed_over`."""

    run_id: str
    """Random."""
    step: str
    """`scan`, `select`, `render`, `caption`, `tokenize`; `search` for an exported subset, `retry`
    for failures that were dropped to be retried."""
    started: str
    """UTC, ISO 8601."""
    seconds: float
    """Wall time."""
    config: str
    """The resolved configuration, as JSON."""
    versions: str
    """Versions of Reelmill, Python and the main packages, as JSON."""
    counts: str
    """Outcomes by name, as JSON."""
    cpu_seconds: str
    """CPU seconds by part of the work, as JSON; empty for select."""
    result: str
    """Its result: the selection's id, or the table that was filled."""
    selection_id: str | None = None
    """For `render`, `caption` and `tokenize`: the selection or subset whose clips it worked on."""


_ARROW: dict[Any, pa.DataType] = {
    str: pa.string(),
    int: pa.int64(),
    float: pa.float64(),
    bool: pa.bool_(),
    bytes: pa.binary(),
    dict[str, str]: pa.map_(pa.string(), pa.string()),
}


def arrow_schema(record: type) -> pa.Schema:
    """The Arrow schema of a record class: one column per field, nullable where it may be None."""
    hints = typing.get_type_hints(record)
    columns = []
    for field in dataclasses.fields(record):
        hint, nullable = hints[field.name], False
        if isinstance(hint, types.UnionType):
            hint = next(arm for arm in hint.__args__ if arm is not type(None))
            nullable = True
        columns.append(pa.field(field.name, _ARROW[hint], nullable=nullable))
    return pa.schema(columns)


def to_table(record: type, rows: Iterable[Any]) -> pa.Table:
    """An Arrow table of records of one class; may be empty."""
    schema = arrow_schema(record)
    rows = list(rows)
    columns = []
    for field in schema:
        values = [getattr(row, field.name) for row in rows]
        if pa.types.is_map(field.type):
            values = [None if value is None else list(value.items()) for value in values]
        columns.append(pa.array(values, field.type))
    return pa.table(columns, schema=schema)


def from_table(record: type, rows: pa.Table) -> list[Any]:
    """The rows of an Arrow table as records; columns that the record lacks are left out."""
    names = [field.name for field in dataclasses.fields(record) if field.name in rows.column_names]
    return [record(**row) for row in rows.select(names).to_pylist(maps_as_pydicts="strict")]
