"""Outputs of any size, written through Reelmill's own records and catalog; no video is decoded.

    python benchmarks/synthetic.py OUT --clips 100000 [--commits N] [--without TABLE …] [--light]

The sources are empty files of the stated sizes beside the output, in `OUT-sources`, so that a scan
finds them unchanged. One source has about ten clips; lengths are log-normal around five seconds.
Scores spread as on real videos: some three fifths of the clips pass the default profile's policy.
An embedding is its topic's direction, its source's and its own, in 64 dimensions that are spread
over all; what clips show is drawn for each clip alone. One clip in 50 is a copy of another: its
signature is the other's from a later frame on, with noise. Near-duplicates are stored as a search
would store them, so that `select` need not search; `--without neighbours` leaves them out. With
`--light` embeddings and signatures hold nothing, which is enough for all but search and for
finding duplicates, and takes a third of the time.

Rows are the same for the same arguments, but for clock times.
"""

from __future__ import annotations

import argparse
import hashlib
import os
from collections.abc import Collection, Iterator
from dataclasses import dataclass, field
from fractions import Fraction
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from curation import records, scores
from curation.dataset import Dataset
from curation.dedup.rules import NEAR_DUPLICATE_PAIRS
from curation.embed import table_name
from curation.embed.signature import SIGNATURE_FPS
from curation.listing import Listing, list_videos
from curation.pending_inputs import record_listing
from curation.records import Clip, Embedding, Neighbour, Signature, Source, Thumbnail
from curation.run_history import RunClock, record_run
from curation.scan.clips import compute_clip_id
from curation.scan.collector import EMBEDDINGS, SIGNATURES, THUMBNAILS
from curation.scores import DEFAULT_SCORES, SCORES
from curation.scores.base import Score
from pipelines import config
from synthetic_scores import score_columns
from synthetic_vectors import Embeddings, Signatures, class_vectors, thumbnails

NEIGHBOURS = "neighbours"
_CLIPS_PER_SOURCE = 10
_SOURCES_PER_COMMIT = 256
_COPIES = 0.02
_TIME_BASES = {fps: str(1 / Fraction(fps)) for fps in (24.0, 25.0, 30.0, 60.0)}
_RATES = tuple(_TIME_BASES)
_SIZES = ((1920, 1080), (1280, 720), (640, 480), (3840, 2160), (720, 1280))


def write_output(
    out: str | os.PathLike[str],
    clips: int,
    *,
    commits: int | None = None,
    without: Collection[str] = (),
    light: bool = False,
    seed: int = 0,
) -> Dataset:
    """A scanned output of about so many clips, in so many commits a table.

    By default each commit has the 256 sources that a run commits at once. `without` names tables
    that are not written: `signatures`, `thumbnails`, `neighbours`, `embeddings`.
    """
    dataset = Dataset(out)
    num_sources = max(1, clips // _CLIPS_PER_SOURCE)
    per_commit = -(-num_sources // commits) if commits else _SOURCES_PER_COMMIT
    listing = _listed_files(f"{os.fspath(out).rstrip('/')}-sources", num_sources)
    record_listing(dataset.catalog, listing)
    profile = config.load(None, [])
    others = {table_name(e): e.dim for e in profile.scan.embedders}
    del others[EMBEDDINGS]
    generator = Generator(np.random.default_rng(seed), profile.scan.digest, others, light)
    measured = {scores.table_name(SCORES[name]): SCORES[name] for name in DEFAULT_SCORES}
    tables: dict[str, type] = {"clips": Clip}
    tables |= {name: score.record for name, score in measured.items()}
    tables |= dict.fromkeys([EMBEDDINGS, *others], Embedding)
    tables |= {SIGNATURES: Signature, THUMBNAILS: Thumbnail}
    tables |= {NEAR_DUPLICATE_PAIRS: Neighbour, "sources": Source}
    tables = {n: r for n, r in tables.items() if not {n, n.split("/", 1)[0]} & {*without}}
    clock = RunClock()
    with dataset.catalog.writer("scan", tables) as writer:
        for first in range(0, num_sources, per_commit):
            entries = listing.entries[first : first + per_commit]
            for name, rows in generator.commit(entries, measured):
                if name in tables:
                    writer.append(name, rows)
    record_run(
        dataset.catalog, "scan", clock, config=profile.resolved, packages=("reelmill",),
        counts={"scanned": num_sources}, result="sources",
    )  # fmt: skip
    return dataset


def _listed_files(folder: str, count: int) -> Listing:
    """Empty files, as sparse as the file system allows, and their listing."""
    sizes = np.random.default_rng(1).lognormal(17, 1, count).astype(np.int64)
    for number, size_bytes in enumerate(sizes.tolist()):
        path = Path(folder, f"{number // 1000:05}", f"{number:08}.mp4")
        if number % 1000 == 0:
            path.parent.mkdir(parents=True, exist_ok=True)
        if not path.exists():
            with path.open("wb") as file:
                file.truncate(size_bytes)
    return list_videos([folder])


@dataclass
class Generator:
    """Makes the rows of one commit after another."""

    rng: np.random.Generator
    scan_digest: str
    other_embeddings: dict[str, int]
    """Their tables and dimensions."""
    light: bool = False
    """Whether vectors and signatures hold nothing."""
    count: int = 0
    """Sources so far."""
    embeddings: Embeddings = field(default_factory=Embeddings)
    signatures: Signatures = field(default_factory=Signatures)

    @cached_property
    def _pictures(self) -> list[bytes]:
        return thumbnails(np.random.default_rng(2))

    def commit(
        self, entries: Collection[Any], measured: dict[str, type[Score]]
    ) -> Iterator[tuple[str, pa.Table]]:
        """The rows of these sources, table by table; `sources` last."""
        sources, clips = self._spans(entries)
        ids = {name: [getattr(c, name) for c in clips] for name in ("clip_id", "source_id")}
        yield "clips", records.to_table(Clip, clips)
        for name, score in measured.items():
            yield name, self._table(score.record, ids, score_columns(score, len(clips), self.rng))
        durations_s = np.array([clip.end_s - clip.start_s for clip in clips])
        is_copy = self.rng.random(len(clips)) < _COPIES
        by_source = np.unique(ids["source_id"], return_inverse=True)[1]
        frames = np.maximum(1, (durations_s * SIGNATURE_FPS).astype(np.int64))
        draw = self._nothing if self.light else self._vectors
        tables, copied = draw(ids["clip_id"], by_source, frames, is_copy)
        for name, columns in tables.items():
            yield name, self._table(Signature if name == SIGNATURES else Embedding, ids, columns)
        pictures = self.rng.integers(0, len(self._pictures), len(clips)).tolist()
        jpegs = pa.array([self._pictures[number] for number in pictures], pa.binary())
        middle = [(clip.start_frame + clip.end_frame) // 2 for clip in clips]
        yield THUMBNAILS, self._table(Thumbnail, ids, {"frame": middle, "jpeg": jpegs})
        yield NEAR_DUPLICATE_PAIRS, _neighbours(self.rng, ids["clip_id"], copied, frames)
        yield "sources", records.to_table(Source, sources)

    def _vectors(
        self, ids: list[str], source: np.ndarray, frames: np.ndarray, is_copy: np.ndarray
    ) -> tuple[dict[str, dict[str, Any]], dict[int, str]]:
        """The columns of embeddings and signatures, and the clip that each copy copies, by row."""
        tables = {EMBEDDINGS: self.embeddings.draw(self.rng, source, is_copy)}
        for name, dim in self.other_embeddings.items():
            tables[name] = class_vectors(self.rng, len(ids), dim)
        tables[SIGNATURES], copied = self.signatures.draw(self.rng, ids, frames, is_copy)
        return tables, copied

    def _nothing(
        self, ids: list[str], source: np.ndarray, frames: np.ndarray, is_copy: np.ndarray
    ) -> tuple[dict[str, dict[str, Any]], dict[int, str]]:
        """The same where they hold nothing."""
        empty = pa.array([b""] * len(ids), pa.binary())
        vectors = {"dim": np.zeros(len(ids), np.int64), "vector": empty}
        tables: dict[str, dict[str, Any]] = dict.fromkeys(
            [EMBEDDINGS, *self.other_embeddings], vectors
        )
        tables[SIGNATURES] = {"frames": frames, "framings": np.ones(len(ids), np.int64)}
        tables[SIGNATURES] |= dict.fromkeys(("bars", "scales", "coarse", "fine", "still"), empty)
        copies = np.flatnonzero(is_copy & (np.arange(len(ids)) > 0)).tolist()
        return tables, {row: ids[self.rng.integers(row)] for row in copies}

    @staticmethod
    def _table(record: type, ids: dict[str, list[str]], columns: dict[str, Any]) -> pa.Table:
        schema = records.arrow_schema(record)
        values = {**ids, **columns}
        return pa.table([pa.array(values[f.name], f.type) for f in schema], schema=schema)

    def _spans(self, entries: Collection[Any]) -> tuple[list[Source], list[Clip]]:
        """The rows of sources, and of their clips in the order in which a scan writes them."""
        rng, sources, all_clips = self.rng, [], []
        for entry in entries:
            source_id = hashlib.sha256(f"source {self.count}".encode()).hexdigest()
            self.count += 1
            fps = _RATES[rng.integers(len(_RATES))]
            width, height = _SIZES[rng.integers(len(_SIZES))]
            seconds = np.clip(
                rng.lognormal(1.5, 0.7, 1 + rng.poisson(_CLIPS_PER_SOURCE - 1)), 0.3, 20
            )
            ends = np.cumsum(np.maximum(1, seconds * fps).astype(np.int64)).tolist()
            clips = [
                _clip(source_id, start, end, fps)
                for start, end in zip([0, *ends[:-1]], ends, strict=True)
            ]
            all_clips += clips
            digest = hashlib.sha256("".join(clip.clip_id for clip in clips).encode()).hexdigest()
            sources.append(
                Source(
                    uri=entry.uri, size_bytes=entry.size_bytes, modified=entry.modified,
                    outcome="scanned", source_id=source_id, container="mov,mp4", codec="h264",
                    pixel_format="yuv420p", stream_index=0, video_streams=1, audio_streams=0,
                    width=width, height=height, rotation=0, flipped=False, pixel_aspect="1:1",
                    fps=fps, variable_rate=False, frames=ends[-1],
                    duration_s=round(ends[-1] / fps, 6), timestamps="exact",
                    begin_s=0.0, interlaced=False, hdr=False,
                    colour="bt709 bt709 bt709", colour_forced=False, shots_by="TransNetV2",
                    scan_digest=self.scan_digest, clips=len(clips), clips_digest=digest,
                )
            )  # fmt: skip
        return sources, all_clips


def _clip(source_id: str, start: int, end: int, fps: float) -> Clip:
    clip = Clip(
        clip_id="", source_id=source_id, start_frame=start, end_frame=end,
        start_s=round(start / fps, 6), end_s=round(end / fps, 6),
        shot_start_frame=start, shot_end_frame=end,
        start_pts=start, end_pts=end, time_base=_TIME_BASES[fps],
    )  # fmt: skip
    object.__setattr__(clip, "clip_id", compute_clip_id(clip, 0))
    return clip


def _neighbours(
    rng: np.random.Generator, ids: list[str], copied: dict[int, str], frames: np.ndarray
) -> pa.Table:
    """Each clip searched, and each copy's pair."""
    pairs = [
        (max(ids[row], other), min(ids[row], other), row)
        for row, other in copied.items()
        if other != ids[row]
    ]
    rows = np.array([row for *_, row in pairs], np.int64)
    schema = records.arrow_schema(Neighbour)
    columns = [
        [*ids, *(one for one, *_ in pairs)],
        [*ids, *(other for _, other, _ in pairs)],
        np.concatenate([np.ones(len(ids)), rng.uniform(0.62, 0.99, len(pairs)).round(5)]),
        [*[None] * len(ids), *(frames[rows] / SIGNATURE_FPS).tolist()],
        np.arange(len(ids) + len(pairs)) < len(ids),
    ]
    arrays = [pa.array(c, f.type) for c, f in zip(columns, schema, strict=True)]
    return pa.table(arrays, schema=schema)


def main() -> None:
    """Writes one output."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("out")
    parser.add_argument("--clips", type=int, default=100_000)
    parser.add_argument("--commits", type=int, help="commits of each table")
    parser.add_argument("--without", nargs="*", default=[], help="tables that are not written")
    parser.add_argument("--light", action="store_true", help="vectors that hold nothing")
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    dataset = write_output(
        arguments.out, arguments.clips, commits=arguments.commits, without=arguments.without,
        light=arguments.light, seed=arguments.seed,
    )  # fmt: skip
    print(f"{dataset.catalog.rows('clips'):,} clips of {dataset.catalog.rows('sources'):,} sources")


if __name__ == "__main__":
    main()
