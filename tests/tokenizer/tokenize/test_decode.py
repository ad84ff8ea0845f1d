"""Pictures from rows alone, and a word for every row that cannot be used."""

import dataclasses

import numpy as np
import pytest

from curation import records
from curation.dataset import Dataset
from curation.storage import Storage
from tests.tokenizer.clip_windows import clip_file, rows_of
from tests.tokenizer.recursive import Recursive
from tokenizer.models.load import load
from tokenizer.tokenize.decode import TokensNotFoundError, decode_clip, decode_stored, decode_window
from tokenizer.tokenize.psnr import psnr_db
from tokenizer.tokenize.shards import BadTokensError, TokenWindow, shard_metadata, write_shard

CLIPS = {"aa11": 20, "aa22": 9, "bb33": 1}
"""Clip ids, and how many frames each has."""
PCA = load("pca-8x8x8")
HEADS = ("codes", "latents")


@pytest.fixture(scope="module")
def videos(pattern):
    """Pictures of a size that no rate divides."""
    return {
        clip: pattern(frames, 50, 91, speed=1 + at)
        for at, (clip, frames) in enumerate(CLIPS.items())
    }


def window_rows(clip, video, tokenizer=PCA, mode="independent") -> list[TokenWindow]:
    return rows_of(clip_file(clip, len(video), fps=23.976), video, tokenizer, 17, mode)


def store(place, table, videos, tokenizer=PCA) -> Dataset:
    """A table of tokens in which a clip's windows lie in no order."""
    dataset = Dataset(place)
    made = [row for clip in videos for row in window_rows(clip, videos[clip], tokenizer)]
    dataset.catalog.append(table, TokenWindow, records.to_table(TokenWindow, made[::-1]))
    return dataset


@pytest.fixture(scope="module")
def output(videos, tmp_path_factory) -> Dataset:
    return store(tmp_path_factory.mktemp("decode"), "tokens/pca-8x8x8-1", videos)


@pytest.mark.parametrize("clip", CLIPS)
@pytest.mark.parametrize("head", HEADS)
def test_a_decoded_clip_has_the_recorded_psnr(output, videos, clip, head):
    video, fps = decode_stored(output, clip, head)
    assert video.shape == videos[clip].shape
    assert fps == 23.976
    rows = window_rows(clip, videos[clip])
    stored = [getattr(row, f"psnr_{head}_db") for row in rows]
    assert min(stored) - 1e-6 <= psnr_db(videos[clip], video) <= max(stored) + 1e-6


def test_a_unique_prefix_of_the_clip_id_is_enough(output):
    assert len(decode_stored(output, "bb", "codes")[0]) == 1
    with pytest.raises(TokensNotFoundError, match=r"'aa' is the start of 2 clips in tokens/pca"):
        decode_stored(output, "aa", "codes")
    with pytest.raises(
        TokensNotFoundError, match=r"'cc' has no tokens in .*; there are aa11, aa22"
    ):
        decode_stored(output, "cc", "codes")


def test_one_of_several_tables_can_be_named(videos, tmp_path):
    with pytest.raises(TokensNotFoundError, match="has no tokens: run `reelmill tokenize` first"):
        decode_stored(Dataset(tmp_path), "bb", "codes")
    short = {"bb33": videos["bb33"]}
    for name in ("pca-8x8x8", "pca-4x8x8"):
        dataset = store(tmp_path, f"tokens/{name}-1", short, load(name))
    with pytest.raises(TokensNotFoundError, match="there are tokens/pca-4x8x8-1, tokens/pca-8"):
        decode_stored(dataset, "bb", "codes")
    for name in ("tokens/pca-4x8x8-1", "pca-4x8x8-1"):
        assert decode_stored(dataset, "bb", "codes", table=name)[0].shape == (1, 50, 91, 3)


@pytest.mark.parametrize(
    ("weights", "words"),
    [
        ("pca-4x8x8", "clip bb33, window 0: made by pca-8x8x8 .* not by pca-4x8x8 .*; give the"),
        ("/gone.safetensors", "no tokenizer weights at /gone.safetensors; give the right ones"),
        ("pca-9", "tokens/pca-8x8x8-1: unknown tokenizer 'pca-9'"),
    ],
)
def test_tokens_of_other_weights_are_refused(output, weights, words):
    with pytest.raises(TokensNotFoundError, match=words):
        decode_stored(output, "bb", "codes", weights=weights)


def damaged(rows, window, **changes) -> list[TokenWindow]:
    return [dataclasses.replace(r, **changes) if r.window == window else r for r in rows]


HALF = np.full(1, np.nan, "<f2").tobytes()
BAD_ROWS = [
    ("codes", {"codes": b"\xff\xff" * 168}, "code 65535 is beyond the codebook's 64000 entries"),
    ("codes", {"codes": b"\0" * 334}, "334 bytes of codes, where 2 × 7 × 12 latents have 336"),
    ("codes", {"codes": b""}, "0 bytes of codes, where 2 × 7 × 12 latents have 336"),
    ("codes", {"codes": None, "codes_dtype": None}, "there are no codes; pca-8x8x8 has the other"),
    ("codes", {"codes_dtype": "int32"}, "codes are int32, not uint16"),
    (
        "codes",
        {"latent_width": 0, "codes": b""},
        "9 frames of 96 × 56 pixels do not have 2 latent frames of 0 × 7 at 8x8x8",
    ),
    (
        "latents",
        {"frames": 12, "pad_frames": 0},
        "12 frames of 96 × 56 pixels do not have 2 latent frames of 12 × 7 at 8x8x8",
    ),
    ("latents", {"latents": HALF * 2688}, "latents are NaN or infinite"),
    ("latents", {"latents": HALF * 5}, "10 bytes of latents, where 2 × 7 × 12 latents have 5376"),
    ("latents", {"latents": b"\0" * 336, "channels": 1}, "1 channels, not 16"),
]


@pytest.mark.parametrize(("head", "changes", "words"), BAD_ROWS)
def test_a_damaged_row_is_named_with_its_table(videos, tmp_path, head, changes, words):
    rows = window_rows("aa11", videos["aa11"])
    assert (rows[1].latent_frames, rows[1].latent_height, rows[1].latent_width) == (2, 7, 12)
    table = records.to_table(TokenWindow, damaged(rows, 1, **changes))
    dataset = Dataset(tmp_path)
    dataset.catalog.append("tokens/pca-8x8x8-1", TokenWindow, table)
    with pytest.raises(
        TokensNotFoundError, match=f"^tokens/pca-8x8x8-1: clip aa11, window 1: {words}"
    ):
        decode_stored(dataset, "aa11", head)


@pytest.mark.parametrize(
    ("chosen", "words"),
    [
        ([1], r"clip aa11: of its 2 windows there are \[1\]"),
        ([0], r"clip aa11: of its 2 windows there are \[0\]"),
        ([0, 1, 1], r"of its 2 windows there are \[0, 1, 1\]"),
        ([], "a clip needs at least one row"),
    ],
)
def test_a_clip_that_lacks_a_window_is_refused(videos, chosen, words):
    rows = window_rows("aa11", videos["aa11"])
    with pytest.raises(BadTokensError, match=words):
        decode_clip([rows[index] for index in chosen], PCA, head="codes")


def test_rows_of_two_clips_are_refused(videos):
    rows = window_rows("aa11", videos["aa11"])
    mixed = [rows[0], dataclasses.replace(rows[1], clip_id="bb33")]
    with pytest.raises(BadTokensError, match="clip bb33, window 1: it is among rows of clip aa11"):
        decode_clip(mixed, PCA, head="codes")


def test_shards_that_a_worker_wrote_decode_like_rows(videos, tmp_path):
    rows = window_rows("aa11", videos["aa11"])
    dataset, table = Dataset(tmp_path), "tokens/pca-8x8x8-1"
    facts = shard_metadata(PCA, "fp32", "independent")
    shard = write_shard(rows, Storage.at(tmp_path), table, facts)
    with dataset.catalog.writer("tokenize", {table: TokenWindow}) as writer:
        writer.add_files(table, [shard])
    assert len(decode_stored(dataset, "aa11", "codes")[0]) == 20


@pytest.mark.parametrize("head", HEADS)
def test_an_independent_window_decodes_from_its_own_row(videos, head):
    rows = window_rows("aa11", videos["aa11"])
    whole = decode_clip(rows, PCA, head=head)
    assert np.array_equal(decode_window(rows[1:], 1, PCA, head=head), whole[17:])
    with pytest.raises(BadTokensError, match=r"no window 0 among \[1\]"):
        decode_window(rows[1:], 0, PCA, head=head)


@pytest.mark.parametrize("heads", [("codes",), ("latents",)])
def test_tokens_of_one_head_decode_from_it(videos, heads):
    tokenizer = Recursive(heads)
    rows = window_rows("aa11", videos["aa11"], tokenizer)
    (head,) = heads
    assert decode_clip(rows, tokenizer, head=head).shape == (20, 50, 91, 3)
    (other,) = {*HEADS} - {head}
    with pytest.raises(
        BadTokensError, match=f"there are no {other}; recursive-4x8x8 has the other"
    ):
        decode_clip(rows, tokenizer, head=other)


@pytest.mark.parametrize("head", HEADS)
@pytest.mark.parametrize("context", [2, 6])
def test_a_slice_of_a_stream_decodes_exactly_from_its_context(pattern, head, context):
    """16 frames make 4 latents a slice, so that a context of 6 reaches over a whole slice."""
    video, tokenizer = pattern(80, 50, 91), Recursive(context=context)
    rows = window_rows("s", video, tokenizer, "stream")
    assert [row.context_latents for row in rows] == [0, min(5, context), *[context] * 3]
    whole = decode_clip(rows, tokenizer, head=head)
    assert whole.shape == video.shape
    for row in rows:
        reach = 1 if context == 2 or row.window == 1 else 2
        needed = rows[max(0, row.window - reach) : row.window + 1]
        start = row.start_frame - rows[0].start_frame
        alone = decode_window(needed, row.window, tokenizer, head=head)
        assert np.array_equal(alone, whole[start : start + row.frames])
        if row.window:
            with pytest.raises(
                BadTokensError, match=r"its decoding needs window \d, which is missing"
            ):
                decode_window(needed[1:], row.window, tokenizer, head=head)


def test_too_little_context_changes_the_result(pattern):
    """What the row says of its context is needed: with less, other pictures come out."""
    rows = window_rows("s", pattern(80, 50, 91), tokenizer := Recursive(), "stream")
    whole = decode_clip(rows, tokenizer, head="codes")[33:49]
    less = [dataclasses.replace(row, context_latents=1) for row in rows]
    assert np.array_equal(decode_window(rows, 2, tokenizer, head="codes"), whole)
    assert not np.array_equal(decode_window(less, 2, tokenizer, head="codes"), whole)


def test_slices_need_a_tokenizer_that_streams(videos):
    rows = window_rows("s", videos["aa11"], Recursive(), "stream")
    windows_only = dataclasses.make_dataclass("WindowsOnly", ["digest", "levels", "channels"])
    tokenizer = windows_only(Recursive.digest, (16, 16), 1)
    tokenizer.name, tokenizer.rate = "w", Recursive.rate
    with pytest.raises(BadTokensError, match="slices of a stream, which w cannot decode"):
        decode_clip(rows, tokenizer, head="codes")
