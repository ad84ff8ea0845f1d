"""Frames decoded from the stored tokens, beside the frames that were tokenized.

Of a few clips, evenly spread, the first two latent frames are decoded: what comes first in time
does not depend on what follows, so that a frame costs as little as possible.
"""

from __future__ import annotations

import base64
import io
from dataclasses import dataclass

import pyarrow.compute as pc
from PIL import Image

from curation import lineage, records
from curation.errors import ReelmillError
from curation.lineage import LineageError
from curation.media.sandbox import Limits
from curation.records import Clip, TokenizedClip
from curation.render.rendered_clip import (
    RenderedClip,
    frame_reader,
    open_rendered_clip,
    rendered_clips,
)
from pipelines.report.contact_sheets import evenly_spread
from pipelines.report.snapshot import OutputSnapshot
from tokenizer.models.interface import Head, Tokenizer, Tokens, Video, decode_windows, heads_of
from tokenizer.models.load import load
from tokenizer.tokenize.decode import check_tokenizer
from tokenizer.tokenize.psnr import psnr_db
from tokenizer.tokenize.shards import TokenWindow, read_codes, read_latents

_LATENTS = 2
"""Latent frames that are decoded."""
_QUALITY = 88


@dataclass(frozen=True)
class Picture:
    """One frame."""

    name: str
    """`original`, or the head that it was decoded from."""
    picture: str
    """A `data:` address."""
    psnr_db: float | None
    """Of this frame; None for the original."""


@dataclass(frozen=True)
class ComparedFrame:
    """One frame of a clip, as it was and as its tokens have it."""

    clip_id: str
    frame: int
    """Counted in the clip."""
    pictures: list[Picture]


@dataclass(frozen=True)
class Reconstructions:
    """Some clips of the current table of tokens."""

    clips: list[ComparedFrame]
    problem: str = ""
    """Why there are fewer than were asked for."""


def gather(output: OutputSnapshot, number: int) -> Reconstructions:
    """Decodes a frame of up to `number` kept clips; what cannot be decoded is said, not raised."""
    if not number:
        return Reconstructions([])
    catalog = output.dataset.catalog
    try:
        table = lineage.resolve_table(catalog, "tokens", None, output.selection_id)
        done = output.kept_rows(lineage.marker_table(table), TokenizedClip, ["outcome"])
        ids = done.filter(pc.field("outcome") == "tokenized")["clip_id"].sort().to_pylist()
        chosen = [ids[n] for n in evenly_spread(range(len(ids)), number)]
        is_first = pc.field("clip_id").isin(chosen) & (pc.field("window") == 0)
        rows = records.from_table(TokenWindow, catalog.read(table, TokenWindow, where=is_first))
        tokenizer = load(rows[0].tokenizer) if rows else None
        clips = _rendered(output, chosen)
    except LineageError:
        return Reconstructions([])
    except (ReelmillError, OSError) as error:
        return Reconstructions([], str(error))
    found, problem = [], ""
    for row in rows:
        try:
            assert tokenizer is not None
            check_tokenizer([row], tokenizer)
            found.append(_reconstruct(row, clips[row.clip_id], tokenizer))
        except (ReelmillError, OSError, KeyError) as error:
            problem = f"clip {row.clip_id}: {error}"
    return Reconstructions(found, problem)


def _rendered(output: OutputSnapshot, clip_ids: list[str]) -> dict[str, RenderedClip]:
    catalog = output.dataset.catalog
    rows = catalog.read("clips", Clip, where=pc.field("clip_id").isin(clip_ids))
    clips = records.from_table(Clip, rows)
    rendered = rendered_clips(catalog, output.renders or "", clips) if output.renders else []
    return {clip.clip_id: file for clip, file, _ in rendered}


def _reconstruct(row: TokenWindow, clip: RenderedClip, tokenizer: Tokenizer) -> ComparedFrame:
    frame = min(row.frames, 1 + (_LATENTS - 1) * tokenizer.rate.time) - 1
    original = _read_frame(row, clip, frame)
    pictures = [Picture("original", _data_uri(original), None)]
    for head in heads_of(tokenizer):
        video = decode_windows([_first_tokens(row, head)], tokenizer, head)[0]
        decoded = video[frame, : row.pixel_height, : row.pixel_width]
        pictures.append(Picture(head, _data_uri(decoded), psnr_db(original[None], decoded[None])))
    return ComparedFrame(row.clip_id, frame, pictures)


def _read_frame(row: TokenWindow, clip: RenderedClip, frame: int) -> Video:
    """The frame [H, W, 3] as it was tokenized."""
    width, height = row.scaled_width or row.pixel_width, row.scaled_height or row.pixel_height
    left, top = row.crop_left or 0, row.crop_top or 0
    with open_rendered_clip(clip) as path:
        read, _ = frame_reader(path, clip, width, height, Limits())
        picture: Video = read([frame])[0]
    return picture[top : top + row.pixel_height, left : left + row.pixel_width]


def _first_tokens(row: TokenWindow, head: Head) -> Tokens:
    if head == "codes":
        return Tokens(read_codes(row)[:_LATENTS], None)
    return Tokens(None, read_latents(row)[:, :_LATENTS])


def _data_uri(picture: Video) -> str:
    buffer = io.BytesIO()
    Image.fromarray(picture).save(buffer, "JPEG", quality=_QUALITY)
    return "data:image/jpeg;base64," + base64.b64encode(buffer.getvalue()).decode()
