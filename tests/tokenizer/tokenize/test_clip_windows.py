"""Clips as pieces: the right frames, at their own times, from our own files and from spans."""

import dataclasses
from fractions import Fraction

import av
import numpy as np
import pytest

from curation import records
from curation.errors import MediaError
from curation.listing import entry_at
from curation.media.sandbox import Limits
from curation.records import Clip
from curation.render.rendered_clip import rendered_clip
from curation.render.stage import RenderBatch, RenderClips
from curation.sample import Coding, read_number, write_numbered_video
from curation.scan.shots import FixedWindows
from curation.scan.stage import Scan, ScanItem
from curation.storage import Storage
from tokenizer.models.interface import Compression, Tokens
from tokenizer.models.load import load
from tokenizer.tokenize.clip_windows import read_windows, token_row
from tokenizer.tokenize.windows import fit_size, split_windows

RATE = Compression(4, 8)


@pytest.fixture(scope="module")
def scanned(tmp_path_factory):
    """A source whose frames carry their number and lie at uneven times, and its clips."""
    path = tmp_path_factory.mktemp("source") / "uneven.mkv"
    write_numbered_video(path, 72, coding=Coding(slow_from=33, gop=12))
    stage = Scan(shots=FixedWindows(1.0), max_clip_s=1e9, scores=())
    result = stage.setup()(ScanItem(entry_at(str(path), {})))
    return result.source, records.from_table(Clip, result.clips)


@pytest.fixture(scope="module")
def times(scanned) -> list[Fraction]:
    """When each frame of the source is shown, in seconds."""
    source, _ = scanned
    with av.open(source.uri) as container:
        stream = container.streams.video[0]
        return [p * stream.time_base for p in sorted(p.pts for p in container.demux(stream)
                                                     if p.pts is not None)]  # fmt: skip


def files(scanned, place, mode):
    source, clips = scanned
    renders = RenderClips(output=str(place), mode=mode).setup()(RenderBatch(source, tuple(clips)))
    return [
        (render.mode, rendered_clip(render, clip, source, Storage.at(place)))
        for render, clip in zip(renders, clips, strict=True)
    ]


@pytest.mark.parametrize("mode", ["encode", "copy", "span"])
def test_every_piece_holds_its_frames_and_starts_at_their_time(scanned, times, tmp_path, mode):
    made = files(scanned, tmp_path, mode)
    assert mode in {found for found, _ in made}
    number = 0
    for _, file in made:
        windows = split_windows(file.frames, RATE.time, 9)
        for piece in read_windows(
            file, windows, fit_size(file.width, file.height, 180, RATE), Limits()
        ):
            assert (piece.pixels.shape[1:], piece.unpadded.shape[1:]) == (
                (184, 320, 3),
                (180, 320, 3),
            )
            shown = [read_number(frame) for frame in piece.unpadded]
            assert shown == list(range(number, number + piece.window.frames))
            row = token_row(
                piece, Tokens(np.zeros((1, 1, 1), np.uint16), None), load("pca-4x8x8"), {}
            )
            assert row.start_frame == number
            assert row.start_pts * Fraction(row.time_base) == times[number]
            assert row.start_s == pytest.approx(float(times[number] - times[0]), abs=1e-6)
            number += piece.window.frames
    assert number == 72


def test_padding_repeats_edges(scanned, tmp_path):
    _, file = files(scanned, tmp_path, "encode")[0]
    windows = split_windows(file.frames, RATE.time, 9)
    *_, last = read_windows(file, windows, fit_size(file.width, file.height, 100, RATE), Limits())
    picture, pixels = last.size, last.pixels
    assert (picture.width, picture.height) == (178, 100)
    assert np.array_equal(pixels[:, 99], pixels[:, 103])
    assert np.array_equal(pixels[:, :, 177], pixels[:, :, 183])
    assert last.window.pad_frames > 0
    assert np.array_equal(pixels[last.window.frames - 1], pixels[-1])
    assert last.crop(pixels).shape == last.unpadded.shape


def test_a_clip_that_holds_another_number_of_frames_is_refused(scanned, tmp_path):
    _, file = files(scanned, tmp_path, "encode")[0]
    windows = split_windows(file.frames + 1, RATE.time, 9)
    wrong = dataclasses.replace(file, frames=1)
    with pytest.raises(MediaError, match="truncated: 24 frames where 1 should be"):
        next(read_windows(wrong, windows, fit_size(320, 180, 180, RATE), Limits()))
