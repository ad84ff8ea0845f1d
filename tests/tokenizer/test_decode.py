import pytest

from curation import records
from curation.dataset import Dataset
from curation.storage import Storage
from tokenizer.decode import TokensNotFoundError, decode_stored
from tokenizer.load import load
from tokenizer.shards import TokenWindow, metadata, write_shard
from tokenizer.tokenize import ClipFile, encode_window, psnr_db
from tokenizer.windows import split

CLIPS = {"aa11": 20, "aa22": 9, "bb33": 1}
"""Clip ids, and how many frames each has."""


@pytest.fixture(scope="module")
def videos(pattern):
    return {clip: pattern(frames, speed=1 + at) for at, (clip, frames) in enumerate(CLIPS.items())}


def window_rows(clip, video, tokenizer) -> list[TokenWindow]:
    file = ClipFile(clip, "s", "", len(video), 96, 64, 23.976, 0, 0.0)
    return [
        encode_window(video[w.start_frame : w.start_frame + w.frames], w, file, tokenizer)
        for w in split(len(video), tokenizer.rate.time, 17)
    ]


def store(place, table, videos, tokenizer) -> Dataset:
    """A table of tokens in which a clip's windows lie in no order."""
    dataset = Dataset(place)
    made = [row for clip in videos for row in window_rows(clip, videos[clip], tokenizer)]
    dataset.catalog.append(table, TokenWindow, records.table(TokenWindow, made[::-1]))
    return dataset


@pytest.fixture(scope="module")
def output(videos, tmp_path_factory) -> Dataset:
    place = tmp_path_factory.mktemp("decode")
    return store(place, "tokens/pca-8x8x8-1", videos, load("pca-8x8x8"))


@pytest.mark.parametrize("clip", CLIPS)
@pytest.mark.parametrize("head", ["codes", "latents"])
def test_a_clip_comes_back_as_well_as_was_recorded(output, videos, clip, head):
    video, fps = decode_stored(output, clip, head)
    assert video.shape == videos[clip].shape
    assert fps == 23.976
    rows = window_rows(clip, videos[clip], load("pca-8x8x8"))
    stored = [getattr(row, f"psnr_{head}_db") for row in rows]
    assert min(stored) - 1e-6 <= psnr_db(videos[clip], video) <= max(stored) + 1e-6


def test_the_first_digits_of_a_clip_will_do_if_they_name_one(output):
    assert len(decode_stored(output, "bb", "codes")[0]) == 1
    with pytest.raises(TokensNotFoundError, match=r"'aa' is the start of 2 clips in tokens/pca"):
        decode_stored(output, "aa", "codes")
    with pytest.raises(
        TokensNotFoundError, match=r"'cc' has no tokens in .*; there are aa11, aa22"
    ):
        decode_stored(output, "cc", "codes")


def test_several_tables_have_to_be_told_apart(videos, tmp_path):
    with pytest.raises(TokensNotFoundError, match="there are none; run `reelmill tokenize` first"):
        decode_stored(Dataset(tmp_path), "bb", "codes")
    short = {"bb33": videos["bb33"]}
    for name in ("pca-8x8x8", "pca-4x8x8"):
        dataset = store(tmp_path, f"tokens/{name}-1", short, load(name))
    with pytest.raises(TokensNotFoundError, match="there are tokens/pca-4x8x8-1, tokens/pca-8"):
        decode_stored(dataset, "bb", "codes")
    for name in ("tokens/pca-4x8x8-1", "pca-4x8x8-1"):
        assert decode_stored(dataset, "bb", "codes", table=name)[0].shape == (1, 64, 96, 3)


@pytest.mark.parametrize(
    ("weights", "words"),
    [
        ("pca-4x8x8", "was made by pca-8x8x8 .* not by pca-4x8x8 .*; give the right ones with"),
        ("/gone.safetensors", "no tokenizer weights at /gone.safetensors; give the right ones"),
        ("pca-9", "unknown tokenizer 'pca-9'"),
    ],
)
def test_tokens_of_other_weights_are_refused(output, weights, words):
    with pytest.raises(TokensNotFoundError, match=words):
        decode_stored(output, "bb", "codes", weights=weights)


def test_a_clip_that_lacks_a_window_is_refused(output, videos, tmp_path):
    tokenizer = load("pca-8x8x8")
    rows = window_rows("aa11", videos["aa11"], tokenizer)
    dataset = Dataset(tmp_path)
    table = records.table(TokenWindow, rows[1:])
    dataset.catalog.append("tokens/pca-8x8x8-1", TokenWindow, table)
    with pytest.raises(TokensNotFoundError, match="row 0 is window 1 of clip aa11"):
        decode_stored(dataset, "aa", "codes")


def test_shards_that_a_worker_wrote_decode_like_rows(videos, tmp_path):
    from curation.catalog import NewFile

    tokenizer = load("pca-8x8x8")
    rows = window_rows("aa11", videos["aa11"], tokenizer)
    dataset, table = Dataset(tmp_path), "tokens/pca-8x8x8-1"
    shard = write_shard(rows, Storage.at(tmp_path), table, metadata(tokenizer))
    with dataset.catalog.writer("tokenize", {table: TokenWindow}) as writer:
        name = shard.path.rsplit("/", 1)[1]
        writer.add_files(table, [NewFile(name, shard.size_bytes, shard.rows)])
    assert len(decode_stored(dataset, "aa11", "codes")[0]) == 20
