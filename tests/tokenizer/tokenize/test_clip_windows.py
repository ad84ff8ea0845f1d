"""Windows of clips: the right frames at the right times, from encodes and spans; and their rows."""

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
from tests.tokenizer.clip_windows import clip_file, windows_of
from tests.tokenizer.recursive import Recursive
from tokenizer.models.interface import Compression, Tokens
from tokenizer.models.load import load
from tokenizer.tokenize.clip_windows import read_windows, token_row
from tokenizer.tokenize.windows import fit_size, split_windows

RATE = Compression(4, 8)
TOKENIZER = load("pca-8x8x8")


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
def test_every_window_has_its_frames_and_starts_at_their_time(scanned, times, tmp_path, mode):
    made = files(scanned, tmp_path, mode)
    assert mode in {found for found, _ in made}
    number = 0
    for _, file in made:
        windows = split_windows(file.frames, RATE.time, 9)
        for clip_window in read_windows(
            file, windows, fit_size(file.width, file.height, 180, RATE), Limits()
        ):
            assert (clip_window.pixels.shape[1:], clip_window.unpadded.shape[1:]) == (
                (184, 320, 3),
                (180, 320, 3),
            )
            shown = [read_number(frame) for frame in clip_window.unpadded]
            assert shown == list(range(number, number + clip_window.window.frames))
            row = token_row(
                clip_window, Tokens(np.zeros((1, 1, 1), np.uint16), None), load("pca-4x8x8"), {}
            )
            assert row.start_frame == number
            assert row.start_pts * Fraction(row.time_base) == times[number]
            assert row.start_s == pytest.approx(float(times[number] - times[0]), abs=1e-6)
            number += clip_window.window.frames
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


def test_a_clip_with_another_number_of_frames_is_refused(scanned, tmp_path):
    _, file = files(scanned, tmp_path, "encode")[0]
    windows = split_windows(file.frames + 1, RATE.time, 9)
    wrong = dataclasses.replace(file, frames=1)
    with pytest.raises(MediaError, match="truncated: 24 frames where 1 should be"):
        next(read_windows(wrong, windows, fit_size(320, 180, 180, RATE), Limits()))


def rows(pattern, clip, tokenizer=TOKENIZER, mode="independent"):
    token_rows = []
    for clip_window in windows_of(clip, pattern(60, clip.height, clip.width), tokenizer, 49, mode):
        [tokens] = tokenizer.encode([pattern(1, 8, 8)])
        token_rows.append(token_row(clip_window, tokens, tokenizer, {}))
    return token_rows


def test_a_row_has_its_place_in_the_source(pattern):
    first, second = rows(pattern, clip_file("c0", 60, start_frame=120, start_s=5.0))
    assert (first.clip_id, first.source_id, first.fps) == ("c0", "s0", 24.0)
    assert (first.window, first.windows, second.window, second.windows) == (0, 2, 1, 2)
    assert (first.start_frame, first.start_s, first.start_pts) == (120, 5.0, 1000)
    assert (second.start_frame, second.start_pts, second.time_base) == (169, 5900, "1/2400")
    assert second.start_s == pytest.approx(5 + 49 / 24)
    assert (second.frames, second.pad_frames) == (11, 6)
    assert (second.tokenizer, second.tokenizer_digest) == ("pca-8x8x8", TOKENIZER.digest)


def test_frames_of_the_source_are_counted_where_a_render_changed_the_rate(pattern):
    _, second = rows(pattern, clip_file("c0", 60, source_frames=tuple(range(10, 160, 2))[:60]))
    assert second.start_frame == 10 + 2 * 49


def test_a_source_without_times_has_no_start_pts(pattern):
    made = rows(pattern, clip_file("c0", 60, start_pts=None, time_base="1/25"))
    assert {(row.start_pts, row.time_base) for row in made} == {(None, None)}
    assert made[1].start_s == pytest.approx(0.5 + 49 / 24)


def test_a_file_without_times_leaves_all_but_the_first_start_open(pattern):
    clip = clip_file("c0", 60)
    first, second = windows_of(clip, pattern(60), TOKENIZER, 49)
    [tokens] = TOKENIZER.encode([pattern(1, 8, 8)])
    starts = [
        (row.start_pts, row.time_base, row.start_s)
        for clip_window in (first, second)
        for row in [
            token_row(dataclasses.replace(clip_window, offset_s=None), tokens, TOKENIZER, {})
        ]
    ]
    assert starts == [(1000, "1/2400", 0.5), (None, None, pytest.approx(0.5 + 49 / 24))]


def test_a_start_between_two_ticks_is_rounded(pattern):
    [clip_window] = windows_of(clip_file("c0", 9), pattern(9), TOKENIZER, 49)
    window = dataclasses.replace(clip_window.window, start_frame=3)
    moved = dataclasses.replace(clip_window, window=window, offset_s=Fraction(7, 4800))
    [tokens] = TOKENIZER.encode([pattern(1, 8, 8)])
    assert token_row(moved, tokens, TOKENIZER, {}).start_pts == 1004


def test_a_row_has_the_padding_of_the_frame(pattern):
    (row, _) = rows(pattern, clip_file("c0", 60, width=90, height=50))
    assert (row.pixel_height, row.pad_bottom, row.pixel_width, row.pad_right) == (50, 6, 90, 6)


@pytest.mark.parametrize("heads", [("codes",), ("latents",), ("codes", "latents")])
def test_a_head_that_a_tokenizer_lacks_is_null(pattern, heads):
    (row, _) = rows(pattern, clip_file("c0", 60), Recursive(heads))
    assert (row.codes is None, row.codes_dtype) == (
        ("codes" not in heads), "uint16" if "codes" in heads else None
    )  # fmt: skip
    assert (row.latents is None, row.latents_dtype, row.channels) == (
        ("latents" not in heads), *(("float16", 1) if "latents" in heads else (None, 0))
    )  # fmt: skip
    assert (row.latent_frames, row.latent_height, row.latent_width) == (1, 1, 1)


def test_only_later_slices_of_a_stream_have_a_context(pattern):
    independent = rows(pattern, clip_file("c0", 60), Recursive())
    assert [(row.causal_first, row.context_latents) for row in independent] == [(True, 0)] * 2
    for context, wanted in ((2, 2), (13, 13), (40, 13)):
        tokenizer = Recursive(context=context)
        slices = rows(pattern, clip_file("c0", 60), tokenizer, "stream")
        assert [(row.causal_first, row.context_latents) for row in slices] == [
            (True, 0),
            (False, wanted),
        ]


def test_tokens_without_any_head_are_an_error(pattern):
    [clip_window] = windows_of(clip_file("c0", 9), pattern(9), TOKENIZER, 49)
    with pytest.raises(ValueError, match="neither codes nor latents"):
        token_row(clip_window, Tokens(None, None), TOKENIZER, {})
