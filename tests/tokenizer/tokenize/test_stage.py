"""The stage over real clips: one shard a batch, whatever the company; failures stay alone."""

import dataclasses
import errno
import functools
import pickle
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from curation.data_file import content_name
from curation.errors import InfrastructureError, UnavailableError
from curation.lineage import RenderOrigin
from curation.media.cut import Span
from curation.records import TokenizedClip, arrow_schema, from_table
from curation.render.rendered_clip import RenderedClip
from curation.storage import Storage
from tests.rows import file_facts, make_clip, make_source
from tests.tokenizer.clip_windows import clip_file
from tests.tokenizer.models.causal.conftest import untrained
from tests.tokenizer.recursive import Recursive
from tokenizer.models.load import load
from tokenizer.tokenize import stage as tokenize_stage
from tokenizer.tokenize.decode import decode_clip, decode_window
from tokenizer.tokenize.psnr import psnr_db
from tokenizer.tokenize.shards import TokenWindow
from tokenizer.tokenize.stage import ClipBatch, Tokenize, TokenizedBatch

with_pca = functools.partial(Tokenize, tokenizer="pca-8x8x8")
FRAMES = {"a": 60, "b": 9, "c": 33}


@pytest.fixture(scope="module")
def clips(tmp_path_factory, pattern, write_clip) -> Storage:
    place = tmp_path_factory.mktemp("clips")
    (place / "clips").mkdir()
    for name, frames in FRAMES.items():
        write_clip(place / "clips" / f"{name}.mp4", pattern(frames))
    return Storage.at(place)


@pytest.fixture
def batch(clips, tmp_path):
    """A batch of clips by name; its shard goes to a folder of this test."""

    def make(*names: str | RenderedClip) -> ClipBatch:
        files = [
            clip_file(name, FRAMES.get(name, 9)) if isinstance(name, str) else name
            for name in names
        ]
        placed = tuple(
            dataclasses.replace(
                file, uri=clips.uri(file.uri), **file_facts(Path(clips.uri(file.uri)))
            )
            for file in files
        )
        origins = (RenderOrigin(),) * len(placed)
        return ClipBatch("k", placed, Storage.at(tmp_path), "tokens/t", origins)

    return make


@pytest.fixture
def rows_of(tmp_path):
    def read(done) -> list[TokenWindow]:
        return from_table(TokenWindow, pq.read_table(tmp_path / "tokens/t" / done.shard.path))

    return read


def test_a_batch_becomes_one_shard(batch, rows_of):
    done = with_pca(quality="all").setup()(batch("a", "b"))
    rows = rows_of(done)
    assert [(row.clip_id, row.window, row.frames, row.pad_frames) for row in rows] == [
        ("a", 0, 49, 0),
        ("a", 1, 11, 6),
        ("b", 0, 9, 0),
    ]
    assert [row.start_frame for row in rows] == [10, 59, 10]
    assert [row.start_pts for row in rows] == [1000, 1000 + 4900, 1000]
    assert [(c.clip_id, c.outcome, c.windows) for c in done.clips] == [
        ("a", "tokenized", 2),
        ("b", "tokenized", 1),
    ]
    mean = (49 * rows[0].psnr_codes_db + 11 * rows[1].psnr_codes_db) / 60
    assert done.clips[0].psnr_codes_db == pytest.approx(mean)


def is_same(one: TokenizedBatch, other: TokenizedBatch) -> bool:
    """Whether two batches have the same clips and bytes; names of files differ."""
    names = [content_name(batch.shard.path) for batch in (one, other)]
    return names[0] == names[1] and one.clips == other.clips


@pytest.mark.parametrize(
    "settings", [{"batch": 3}, {"batch": 100}, {"readers": 3}, {"compile": True, "batch": 2}]
)
def test_a_shard_has_the_same_bytes_for_any_batching(batch, settings):
    """Its name states the digest of its bytes."""
    item = batch("a", "b", "c")
    assert is_same(with_pca(**settings).setup()(item), with_pca().setup()(item))


def test_a_window_is_independent_of_batch_composition(batch, rows_of):
    work = with_pca().setup()
    alone = rows_of(work(batch("b")))
    assert alone == rows_of(work(batch("a", "b")))[2:]
    assert alone == rows_of(work(batch("gone", "b", "c")))[:1]


def test_a_shard_says_how_it_was_made(batch, tmp_path):
    done = with_pca(precision="bf16").setup()(batch("b"))
    facts = pq.read_schema(tmp_path / "tokens/t" / done.shard.path).metadata
    assert facts[b"tokenizer"] == b"pca-8x8x8"
    assert (facts[b"precision"], facts[b"windows"]) == (b"bf16", b"independent")


def test_a_clip_decodes_to_all_its_frames(batch, rows_of, pattern):
    tokenizer = load("pca-8x8x8")
    rows, video = rows_of(with_pca().setup()(batch("a"))), pattern(60)
    codes = decode_clip(rows, tokenizer, head="codes")
    latents = decode_clip(rows, tokenizer, head="latents")
    assert codes.shape == latents.shape == video.shape
    assert psnr_db(video, codes) > 19
    assert psnr_db(video, latents) > psnr_db(video, codes) + 1


@pytest.fixture(params=[(30, 46), (20, 2), (48, 48), (66, 98)])
def odd_size(request, clips, pattern, write_clip):
    """A clip of a size that no rate divides, and what it shows."""
    height, width = request.param
    video, name = pattern(9, height, width), f"{width}x{height}"
    write_clip(clips.uri(f"clips/{name}.mp4"), video)
    return clip_file(name, 9, width=width, height=height), video


def test_any_size_is_padded_and_comes_back(batch, rows_of, odd_size):
    file, video = odd_size
    (row,) = rows_of(with_pca().setup()(batch(file)))
    assert (row.pixel_height, row.pixel_width) == (file.height, file.width)
    assert (row.pad_bottom, row.pad_right) == (-file.height % 8, -file.width % 8)
    decoded = decode_clip([row], load("pca-8x8x8"), head="latents")
    assert decoded.shape == video.shape
    assert psnr_db(video, decoded) > 17


def test_a_bad_clip_fails_alone(batch, rows_of):
    long = clip_file("a", 61)
    done = with_pca().setup()(batch("gone", long, "b"))
    assert [(c.outcome, c.reason) for c in done.clips] == [
        ("failed", "missing"),
        ("failed", "truncated"),
        ("tokenized", None),
    ]
    assert done.shard.rows == 1


def test_without_a_good_clip_there_is_no_shard(batch):
    done = with_pca().setup()(batch("gone"))
    assert done.shard is None
    assert done.clips[0].detail


@pytest.fixture
def through(monkeypatch):
    """Puts a tokenizer of the tests in the place of the one that is loaded."""

    def use(tokenizer):
        monkeypatch.setattr(tokenize_stage, "load", lambda *_: tokenizer)

    return use


class Flaky(Recursive):
    """Fails its first call, and every window of the length of clip c."""

    def encode(self, videos):
        calls.append([len(video) for video in videos])
        if len(calls) == 1 or any(len(video) == 33 for video in videos):
            raise RuntimeError("no luck")
        return super().encode(videos)


calls: list[list[int]] = []


def test_a_clip_that_fails_in_a_batch_is_retried_alone(batch, rows_of, through):
    calls.clear()
    through(Flaky())
    done = with_pca(batch=10).setup()(batch("b", "c", "a"))
    assert [(c.outcome, c.reason) for c in done.clips] == [
        ("tokenized", None),
        ("failed", "internal"),
        ("tokenized", None),
    ]
    assert done.clips[1].detail.startswith("RuntimeError: no luck (test_stage.py")
    assert calls == [[9, 33, 49, 13], [9], [33], [49], [13]]
    assert [row.clip_id for row in rows_of(done)] == ["b", "a", "a"]


class Small(Recursive):
    """Its device has no memory for windows of so many frames together."""

    def encode(self, videos):
        if sum(len(video) for video in videos) > 40:
            raise type("OutOfMemoryError", (RuntimeError,), {})("CUDA: no more memory\nand so on")
        return super().encode(videos)


@pytest.mark.parametrize("names", ["bca", "a"])
def test_a_clip_that_does_not_fit_alone_is_named_where_others_have_fitted(batch, through, names):
    """Also where what has fitted was in another batch of the worker."""
    through(Small())
    work = with_pca(batch=10).setup()
    assert work(batch("b")).clips[0].outcome == "tokenized"
    outcomes = {c.clip_id: (c.outcome, c.reason, c.detail) for c in work(batch(*names)).clips}
    assert outcomes.pop("a") == ("failed", "device_memory", "CUDA: no more memory")
    assert {outcome for outcome, _, _ in outcomes.values()} <= {"tokenized"}


def test_where_nothing_has_fitted_no_clip_is_blamed(batch, through):
    through(Small())
    with pytest.raises(InfrastructureError, match="nothing has fitted into the device's memory"):
        with_pca(batch=10).setup()(batch("a"))


def test_latents_that_are_nan_fail_their_clip(batch, through):
    through(Broken())
    done = with_pca().setup()(batch("a", "b"))
    assert [(c.outcome, c.reason, c.detail) for c in done.clips] == [
        ("failed", "no_tokens", "window 1: the network gave NaN or infinite latents"),
        ("tokenized", None, None),
    ]


class Broken(Recursive):
    """Gives NaN for a window of 13 frames, which is the second of clip a."""

    def encode(self, videos):
        found = super().encode(videos)
        for video, tokens in zip(videos, found, strict=True):
            if len(video) == 13:
                tokens.latents[0, 0, 0, 0] = np.nan
        return found


def test_a_full_disk_is_not_the_clips_fault(batch, through):
    class Full(Recursive):
        def encode(self, videos):
            raise OSError(errno.ENOSPC, "No space left on device")

    through(Full())
    with pytest.raises(InfrastructureError, match=r"clip b: .*No space left"):
        with_pca().setup()(batch("b"))


def test_an_unavailable_source_is_left_for_another_run(batch, clips):
    clip = make_clip("1" * 64, 0, 9)
    source = make_source(clips.uri("gone.mp4"), "1" * 64, [clip])
    span = clip_file("s", 9, source=source, span=Span.of(clip, source))
    with pytest.raises(UnavailableError, match=r"gone\.mp4"):
        with_pca().setup()(batch(span))


def test_the_stage_can_be_pickled(batch, rows_of):
    stage = with_pca(short_side=40, batch=4)
    assert pickle.loads(pickle.dumps(stage)) == stage
    item = pickle.loads(pickle.dumps(batch("b")))
    (row,) = rows_of(stage.setup()(item))
    assert (row.pixel_width, row.pixel_height) == (60, 40)


def test_invalid_settings_are_refused():
    with pytest.raises(ValueError, match="the nearest is 49"):
        with_pca(max_frames=50).setup()
    with pytest.raises(ValueError, match="pca-8x8x8 cannot carry its state from slice to slice"):
        with_pca(windows="stream").setup()
    with pytest.raises(ValueError, match="device 'gpu' is neither cpu nor cuda"):
        with_pca(device="gpu")
    with pytest.raises(ValueError, match="at least one window, not 0"):
        with_pca(batch=0)


def test_an_unavailable_device_is_refused_even_by_pca():
    torch = pytest.importorskip("torch")
    if torch.cuda.is_available():
        pytest.skip("the device is there")
    with pytest.raises(ValueError, match="device cuda is unavailable"):
        with_pca(device="cuda").setup()


def test_needs():
    assert (with_pca().resources.cpus, with_pca().resources.gpus) == (1, 0)
    on_gpu = with_pca(device="cuda:1", readers=6, batch=16).resources
    assert (on_gpu.cpus, on_gpu.gpus) == (6, 1)
    assert on_gpu.memory_mb > with_pca().resources.memory_mb


def test_a_table_is_named_by_what_decides_its_tokens():
    renders = "renders/encode-1"
    same = {
        with_pca(**kept).table(renders)
        for kept in ({}, {"batch": 8}, {"device": "cuda"}, {"compile": True}, {"quality": "none"},
                     {"readers": 4})
    }  # fmt: skip
    others = {
        with_pca(**changed).table(renders)
        for changed in ({"short_side": 128}, {"max_frames": 17}, {"windows": "stream"},
                        {"precision": "bf16"}, {"tokenizer": "pca-4x8x8"})
    }  # fmt: skip
    others.add(with_pca().table("renders/encode-2"))
    assert (len(same), len(others), len(same | others)) == (1, 6, 7)


def test_a_missing_head_or_measurement_is_null(batch, through, rows_of):
    through(Recursive(("codes",)))
    done = with_pca().setup()(batch("b"))
    (row,) = rows_of(done)
    assert (row.latents, row.channels, row.psnr_latents_db) == (None, 0, None)
    assert done.clips[0].psnr_latents_db is None
    assert done.clips[0].psnr_codes_db == row.psnr_codes_db > 10
    first, second = rows_of(with_pca().setup()(batch("a")))
    assert first.psnr_codes_db is not None
    assert second.psnr_codes_db is None
    unmeasured = with_pca(quality="none").setup()(batch("b"))
    assert unmeasured.clips[0].psnr_codes_db is None
    assert rows_of(unmeasured)[0].codes == row.codes


@pytest.fixture(scope="module", params=["recursive", "causal"])
def streaming(request, tmp_path_factory):
    """A tokenizer with a state, and how much one level of its pictures may be off by rounding."""
    if request.param == "recursive":
        return Recursive(), 0
    path = tmp_path_factory.mktemp("weights") / "small.safetensors"
    untrained("4x8x8").save(path)
    return load(str(path)), 1


def test_slices_of_a_stream_decode_together_and_apart(streaming, batch, rows_of, through):
    tokenizer, off = streaming
    through(tokenizer)
    stage = with_pca(max_frames=9, windows="stream")
    done = stage.setup()(batch("b", "a"))
    assert [c.outcome for c in done.clips] == ["tokenized"] * 2
    one, *rows = rows_of(done)
    assert (one.clip_id, one.windows, one.causal_first) == ("b", 1, True)
    assert [row.causal_first for row in rows] == [True] + [False] * 7
    before = np.cumsum([0] + [row.latent_frames for row in rows])[:-1]
    assert [row.context_latents for row in rows] == [min(tokenizer.context, b) for b in before]
    assert is_same(stage.setup()(batch("b", "a")), done)
    for head in ("codes", "latents"):
        whole = decode_clip(rows[::-1], tokenizer, head=head)
        assert whole.shape == (60, 64, 96, 3)
        for row in rows:
            needed = [r for r in rows if r.window <= row.window][-4 - tokenizer.context :]
            alone = decode_window(needed, row.window, tokenizer, head=head).astype(int)
            start = rows[row.window].start_frame - rows[0].start_frame
            assert np.abs(alone - whole[start : start + row.frames]).max() <= off


def test_a_stream_that_fails_is_retried_from_its_start(batch, through, rows_of):
    class Tired(Recursive):
        def stream_encoder(self):
            begun.append(1)
            encoding = super().stream_encoder()
            if len(begun) == 1:
                push = encoding.push

                def once(video):
                    if len(video) == 8:
                        raise RuntimeError("tired")
                    return push(video)

                encoding.push = once
            return encoding

    begun: list[int] = []
    through(Tired())
    stage = with_pca(max_frames=9, windows="stream")
    done = stage.setup()(batch("c", "b"))
    assert [c.outcome for c in done.clips] == ["tokenized"] * 2
    assert len(begun) == 3
    through(Recursive())
    assert is_same(stage.setup()(batch("c", "b")), done)


def test_an_outcome_is_a_record():
    assert arrow_schema(TokenizedClip).names[:4] == ["clip_id", "source_id", "outcome", "reason"]


def test_samples_of_one_shape(batch, rows_of):
    """Clips of 96 × 64 pixels in windows of 17 frames."""
    settings = {"shape": "17x56x56", "fit": "crop"}
    done = with_pca(**settings, tail="overlap").setup()(batch("a", "b", "c"))
    rows = rows_of(done)
    assert {(row.latent_frames, row.latent_height, row.latent_width) for row in rows} == {(3, 7, 7)}
    assert {(row.scaled_width, row.scaled_height, row.crop_left, row.crop_top) for row in rows} == {
        (84, 56, 14, 0)
    }
    assert [(r.clip_id, r.start_frame, r.frames, r.pad_frames, r.overlap_frames) for r in rows] == [
        *(("a", 10 + start, 17, 0, 0) for start in (0, 17, 34)), ("a", 53, 17, 0, 8),
        ("b", 10, 9, 8, 0), ("c", 10, 17, 0, 0), ("c", 26, 17, 0, 1),
    ]  # fmt: skip
    clip = decode_clip([row for row in rows if row.clip_id == "a"], load("pca-8x8x8"), head="codes")
    assert clip.shape == (60, 56, 56, 3)
    dropping = with_pca(**settings, tail="drop").setup()(batch("a", "b"))
    assert [(c.outcome, c.reason, c.windows) for c in dropping.clips] == [
        ("tokenized", None, 3), ("failed", "no_tokens", None),
    ]  # fmt: skip
    assert "9 frames are fewer than a window of 17, and tokenize.tail is drop" in (
        dropping.clips[1].detail
    )
    assert [row.dropped_frames for row in rows_of(dropping)] == [0, 0, 9]


def test_a_fixed_shape_names_another_table_and_the_default_the_same_as_ever():
    names = {with_pca(**settings).table("renders/x") for settings in (
        {}, {"shape": "49x256x448"}, {"shape": "49x256x448", "fit": "crop"}, {"tail": "drop"},
        {"shape": "49x256x448,49x448x256"},
    )}  # fmt: skip
    assert len(names) == 5
    unused = {"short_side": 64, "max_frames": 17, "shape": "49x256x448"}
    assert with_pca(**unused).table("renders/x") in names
