"""What a row says of where it comes from and how it decodes."""

import dataclasses
from fractions import Fraction

import pytest

from tests.tokenizer.clip_windows import clip_file, pieces_of
from tests.tokenizer.recursive import Recursive
from tokenizer.models.interface import Tokens
from tokenizer.models.load import load
from tokenizer.tokenize.clip_windows import token_row

TOKENIZER = load("pca-8x8x8")


def rows(pattern, clip, tokenizer=TOKENIZER, kind="independent"):
    made = []
    for piece in pieces_of(clip, pattern(60, clip.height, clip.width), tokenizer, 49, kind):
        [tokens] = tokenizer.encode([pattern(1, 8, 8)])
        made.append(token_row(piece, tokens, tokenizer, {}))
    return made


def test_a_row_says_where_it_comes_from(pattern):
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
    first, second = pieces_of(clip, pattern(60), TOKENIZER, 49)
    [tokens] = TOKENIZER.encode([pattern(1, 8, 8)])
    starts = [
        (row.start_pts, row.time_base, row.start_s)
        for piece in (first, second)
        for row in [token_row(dataclasses.replace(piece, since_start=None), tokens, TOKENIZER, {})]
    ]
    assert starts == [(1000, "1/2400", 0.5), (None, None, pytest.approx(0.5 + 49 / 24))]


def test_a_start_between_two_ticks_takes_the_nearer(pattern):
    [piece] = pieces_of(clip_file("c0", 9), pattern(9), TOKENIZER, 49)
    window = dataclasses.replace(piece.window, start_frame=3)
    moved = dataclasses.replace(piece, window=window, since_start=Fraction(7, 4800))
    [tokens] = TOKENIZER.encode([pattern(1, 8, 8)])
    assert token_row(moved, tokens, TOKENIZER, {}).start_pts == 1004


def test_a_row_says_how_the_picture_lies_in_what_was_encoded(pattern):
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
    [piece] = pieces_of(clip_file("c0", 9), pattern(9), TOKENIZER, 49)
    with pytest.raises(ValueError, match="neither codes nor latents"):
        token_row(piece, Tokens(None, None), TOKENIZER, {})
