"""Every record that Reelmill stores, defined once.

The Arrow schemas of the tables, the page `docs/tables.md` and the types in the code all derive from
these classes. A string under a field is its documentation.
"""

from __future__ import annotations

import dataclasses
import types
import typing
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import pyarrow as pa


@dataclass(frozen=True, slots=True)
class Source:
    """One listing entry and its one outcome. Written last: a source without a row is unseen."""

    uri: str
    """Where the input was listed: a path or an `s3://` address."""
    size_bytes: int
    """Size when listed; 0 if it could not be read."""
    modified: str
    """Modification time or etag when listed; with uri and size it lets a rerun skip reading."""
    outcome: str
    """`scanned` or `failed`."""
    reason: str | None = None
    """For `failed`: one word of the closed list of reasons."""
    detail: str | None = None
    """For `failed`: what was seen, in words."""
    source_id: str | None = None
    """sha256 of the bytes; null if they could not be read."""
    container: str | None = None
    """Container format as the demuxer names it."""
    codec: str | None = None
    """Video codec."""
    pixel_format: str | None = None
    """Pixel format of the decoded stream."""
    stream_index: int | None = None
    """Index of the stream used: the one asked for; else the container's default, then the largest,
    of those that are no attached pictures."""
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
    """Degrees counter-clockwise by which the container asks pictures to be turned; applied."""
    flipped: bool | None = None
    """Whether the container asks pictures to be mirrored as well; applied."""
    pixel_aspect: str | None = None
    """Shape of a stored pixel, width:height."""
    fps: float | None = None
    """Average frames a second; a last frame that stays on counts as a usual one."""
    variable_rate: bool | None = None
    """Whether the time between frames varies by more than one tick."""
    frames: int | None = None
    """Frames decoded, in presentation order."""
    duration_s: float | None = None
    """Seconds from the first frame's start to the last frame's end, without gaps."""
    timestamps: str | None = None
    """`exact` if each frame is shown at the container's own time, `repaired` if the container times
    only some or not in order, `none` if it times none and frames are shown at the header's rate."""
    begin_s: float | None = None
    """When the container shows the first frame, in seconds; null without times."""
    segments: str | None = None
    """JSON, where times restart or frames are missing for long: for each segment its first frame,
    that frame's time in the container, and its start in seconds. No clip spans two."""
    skipped_packets: int | None = None
    """Packets before the first key frame, which are left out."""
    leading_packets: int | None = None
    """Packets after them that are left out because they refer back to them."""
    excused_packets: int | None = None
    """Packets that the demuxer calls damaged where no picture is."""
    end_packet: int | None = None
    """For a damaged source that was salvaged: the first packet that is not decoded any more."""
    remarks: str | None = None
    """What is unusual about it, in words: left out frames, gaps, restarts, other streams."""
    interlaced: bool | None = None
    """Whether frames are coded as two fields; renders deinterlace them frame by frame."""
    hdr: bool | None = None
    """Whether the transfer is PQ or HLG; frames are then tone-mapped to BT.709."""
    colour: str | None = None
    """Matrix, primaries and transfer that its pictures are read with, as ffmpeg names them."""
    colour_forced: bool | None = None
    """Whether readers of its frames have to be given these, because they would take others."""
    shots_by: str | None = None
    """The shot detector and its settings."""
    scan_digest: str | None = None
    """Digest of the settings that decide clips; one output holds sources of one such setting."""
    clips: int | None = None
    """How many clips this source has."""
    clips_digest: str | None = None
    """sha256 over the clip ids in order, so that a lost clip shows."""
    extra: dict[str, str] | None = None
    """Further columns of the input list (licence, camera, labels), carried along."""


@dataclass(frozen=True, slots=True)
class ListedInput:
    """One input when it was listed, written before it is watched. Of an address the newest counts.

    An input that was not listed again as it was before adds no row.
    """

    uri: str
    """Where the input lies: a path or an `s3://` address."""
    size_bytes: int
    """Its size; 0 if it could not be read."""
    modified: str
    """Its modification time or etag; the outcome in `sources` has the same three."""
    place: str
    """The folder, list or file that was pointed at."""
    listed: str
    """When, UTC, ISO 8601."""
    withdrawn: bool = False
    """Whether it is no longer wanted: it was not there when its place was listed again, or it was
    taken off the list by hand."""


@dataclass(frozen=True, slots=True)
class SkippedFiles:
    """What a listing found under one place and did not take for a video. The newest counts."""

    place: str
    """The folder that was pointed at."""
    kind: str
    """An ending such as `.txt`, or `no ending`, `other endings`, `hidden` (the name starts with a
    dot), `linked folder` (not followed); empty where there was nothing."""
    count: int
    """How many."""
    listed: str
    """When, UTC, ISO 8601."""


@dataclass(frozen=True, slots=True)
class Clip:
    """One candidate clip: its span and the shot it lies in."""

    clip_id: str
    """Hash of source_id, stream, first and end time, or frame numbers where there are no times."""
    source_id: str
    """The source that it is a span of."""
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
    """First frame of the shot that the clip lies in."""
    shot_end_frame: int
    """End frame of that shot, exclusive."""
    start_pts: int | None = None
    """Presentation time of the first frame in `time_base` units; null if the stream has none that
    tells it apart."""
    end_pts: int | None = None
    """Presentation time of the frame after the last; null after the end or without times."""
    time_base: str | None = None
    """Unit of the presentation times, as a fraction of a second."""
    frame_times: bytes | None = None
    """Where the container's times were repaired or occur twice: the start of each frame and the end
    of the last, in seconds from the clip's start, little-endian float64; else null."""


@dataclass(frozen=True, slots=True)
class Thumbnail:
    """A small picture of one clip."""

    clip_id: str
    """The clip."""
    source_id: str
    """Its source."""
    frame: int
    """Which frame of the source it shows."""
    jpeg: bytes
    """JPEG bytes, longest side 320 pixels."""


@dataclass(frozen=True, slots=True)
class Embedding:
    """What one model sees in one clip."""

    clip_id: str
    """The clip."""
    source_id: str
    """Its source."""
    dim: int
    """Length of the vector."""
    vector: bytes
    """The vector, little-endian float16, of unit length."""


@dataclass(frozen=True, slots=True)
class Signature:
    """What one clip shows from frame to frame: finds copies without decoding."""

    clip_id: str
    """The clip."""
    source_id: str
    """Its source."""
    frames: int
    """Frames of the signature, four a second."""
    framings: int
    """1 as it is, 2 also without its bars (a guess if `bars` has none), 0 where nothing shows."""
    bars: bytes
    """Top, bottom, left and right bar as shares of the picture, little-endian float16."""
    scales: bytes
    """What the coefficients of each frame are multiples of, float16, framing after framing."""
    coarse: bytes
    """For each framing and frame 77 low frequencies of its cosine transform, int8."""
    fine: bytes
    """For each framing 575 frequencies of the mean frame, int8."""
    still: bytes
    """For each framing the share of its fine structure that stands still, float16."""


@dataclass(frozen=True, slots=True)
class ClipLabel:
    """Whether one label of a file of labels holds for one clip."""

    clip_id: str
    """The clip."""
    source_id: str
    """Its source."""
    label: str
    """Group and label, such as `hour/night`, or `aesthetic`."""
    score: float
    """The label's share of its group, 0–1; for `aesthetic` what the head says."""
    holds: bool
    """Whether the score reaches the label's threshold."""


@dataclass(frozen=True, slots=True)
class Neighbour:
    """A pair of similar clips, or the word that a clip was searched for."""

    clip_id: str
    """The clip that was searched for; of two the larger id."""
    neighbour_id: str
    """The other clip; for an identical one that by which all of them are known, maybe itself."""
    similarity: float
    """How well two copies agree in time, or the cosine of two embeddings, at most 1."""
    overlap_s: float | None = None
    """For copies: how many seconds they share; null for identical ones."""
    identical: bool = False
    """Whether both are the same to the bit; a clip that was searched for has one such row."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """One clip in one selection. A selection is a snapshot; a newer one does not rewrite it."""

    selection_id: str
    """Hash of the policy and of the clips it was applied to."""
    clip_id: str
    """The clip."""
    source_id: str
    """Its source."""
    verdict: str
    """`kept`, `filtered` or `duplicate`."""
    reason: str | None = None
    """For `filtered` the first rule that it broke; for `duplicate` `near_duplicate` (a copy) or
    `semantic_duplicate` (the same kind of scene)."""
    duplicate_of: str | None = None
    """For `duplicate`: the kept clip that stands for it."""
    similarity: float | None = None
    """For `duplicate`: how similar the two are."""


@dataclass(frozen=True, slots=True)
class SubsetClip:
    """One clip of a subset that was found by searching and given a name."""

    subset_id: str
    """Hash of the name, the question, the index's version and the clips."""
    name: str
    """What it was called; of several of one name the newest counts."""
    clip_id: str
    """The clip."""
    source_id: str
    """Its source."""
    rank: int
    """Place among the hits, from 0."""
    score: float | None = None
    """How well it fitted; null where the question was a condition alone."""


@dataclass(frozen=True, slots=True)
class ClipOutcome:
    """What every step that works on clips stores of each: done, or failed for a reason."""

    clip_id: str
    """The clip."""
    source_id: str
    """Its source."""
    outcome: str
    """`failed`, or what the step calls its success: `rendered`, `captioned`, `tokenized`."""
    reason: str | None = None
    """For `failed`: one word of the closed list of reasons."""
    detail: str | None = None
    """For `failed`: what was seen."""


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
    """Frames a second of the render."""


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
    """Average frames a second."""
    frames: int | None = None
    """Frames in the file."""
    audio: bool | None = None
    """Whether the file has sound."""
    crop: str | None = None
    """The part of the source's picture that it shows, `WIDTHxHEIGHT+LEFT+TOP` in pixels as
    displayed; null for all of it."""
    faces_blurred: int | None = None
    """Faces that were blurred, counted in every frame anew; null where none were looked for."""
    source_frames: bytes | None = None
    """Where the frame rate was changed: the source's frame that each frame shows, little-endian
    uint32; else null."""


@dataclass(frozen=True, slots=True)
class Caption:
    """What one captioner says of one window of a clip."""

    clip_id: str
    """The clip."""
    source_id: str
    """Its source."""
    text: str
    """The caption."""
    window: int = 0
    """Number of the window within the clip, from 0."""
    start_frame: int | None = None
    """First frame of the window, counted in the source."""
    end_frame: int | None = None
    """End frame, exclusive."""
    model: str | None = None
    """The model that wrote it, as it was asked for; null for measured facts."""
    model_digest: str | None = None
    """sha256 over the model's files; null where a server keeps them."""
    prompt_digest: str | None = None
    """First 16 digits of the sha256 of everything that the model was told beside the clip."""
    tokens_in: int | None = None
    """Tokens that the model read for this row, pictures included; null if that is not known."""
    tokens_out: int | None = None
    """Tokens that it wrote."""
    answers: str | None = None
    """A JSON object: how sure the model is of each question's yes, 0–1; or the measured facts."""
    render_profile: str | None = None
    """Profile of the renders that the model looked at; null where it saw none."""
    render_sha256: str | None = None
    """Digest of the render that it looked at; null for a span."""


@dataclass(frozen=True, slots=True)
class CaptionedClip(DerivedOutcome):
    """What came of captioning one clip. Written last: without it, captions do not count."""

    requests: int = 0
    """Questions that were put to the model, answered or not; those sent again count again."""
    tokens_in: int = 0
    """Tokens that the model read for this clip, as far as it said."""
    tokens_out: int = 0
    """Tokens that it wrote."""


@dataclass(frozen=True, slots=True)
class TokenizedClip(DerivedOutcome):
    """What came of tokenizing one clip. Written last: without it, token windows do not count."""

    psnr_codes_db: float | None = None
    """Mean over the clip's measured windows, weighted by their real frames; null without codes, or
    where none was measured."""
    psnr_latents_db: float | None = None
    """The same for the continuous head."""


@dataclass(frozen=True, slots=True)
class Run:
    """One run that did work, or came back to a finished table. Beside `listed` and `passed_over`
    the only table with clock times."""

    run_id: str
    """Random."""
    step: str
    """`scan`, `select`, `render`, `caption`, `tokenize`; `search` for an exported subset, `retry`
    for failures that were dropped to get another chance."""
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
    """What it made: the selection's id, or the table that was filled."""
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
    """The Arrow schema of a record class: one column a field, nullable where it may be None."""
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
    names = [field.name for field in dataclasses.fields(record)]
    listed: Sequence[Any] = list(rows)
    form = arrow_schema(record)
    return pa.table(
        [
            pa.array([_plain(getattr(row, name)) for row in listed], form.field(name).type)
            for name in names
        ],
        schema=form,
    )


def _plain(value: Any) -> Any:
    return list(value.items()) if isinstance(value, dict) else value


def from_table(record: type, rows: pa.Table) -> list[Any]:
    """The rows of an Arrow table as records; columns that the record lacks are left out."""
    names = [field.name for field in dataclasses.fields(record) if field.name in rows.column_names]
    made = []
    for row in rows.select(names).to_pylist(maps_as_pydicts="strict"):
        made.append(record(**row))
    return made
