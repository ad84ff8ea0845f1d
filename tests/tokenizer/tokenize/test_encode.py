"""Windows of several clips together: each row as if it were alone, each failure its clip's own."""

import dataclasses
from collections.abc import Sequence

import numpy as np
import pytest

from curation.errors import InfrastructureError, MediaError
from tests.tokenizer.clip_windows import clip_file, rows_of, windows_of
from tests.tokenizer.models.causal.conftest import untrained
from tests.tokenizer.recursive import Recursive
from tokenizer.models.inference import DeviceConfig
from tokenizer.models.interface import Tokens, Video
from tokenizer.models.load import load
from tokenizer.tokenize.encode import SliceEncoder, WindowEncoder, encode_clips
from tokenizer.tokenize.psnr import psnr_db

PCA = load("pca-8x8x8")


@dataclasses.dataclass
class Listening:
    """PCA that remembers how many windows of which shape it was given at a time."""

    calls: list[list[tuple[int, ...]]] = dataclasses.field(default_factory=list)

    def __getattr__(self, name: str):
        return getattr(PCA, name)

    def encode(self, videos: Sequence[Video]) -> list[Tokens]:
        self.calls.append([video.shape for video in videos])
        return PCA.encode(videos)


@pytest.fixture
def clips(pattern):
    """Clips of several lengths and sizes, by name."""
    sizes = {"a": (60, 64, 96), "b": (17, 64, 96), "c": (5, 48, 40), "d": (33, 64, 96)}
    return {name: pattern(*size) for name, size in sizes.items()}


def encoded(clips, encoder, tokenizer=PCA, readers=1, mode="independent"):
    def source(name):
        clip = clip_file(name, len(clips[name]))
        return lambda: windows_of(clip, clips[name], tokenizer, 17, mode)

    return encode_clips({name: source(name) for name in clips}, encoder, readers)


@pytest.mark.parametrize("batch", [1, 2, 7, 100])
@pytest.mark.parametrize("readers", [1, 3])
def test_rows_are_independent_of_batch_composition(clips, batch, readers):
    alone = {name: rows_of(clip_file(name, len(v)), v, PCA, 17) for name, v in clips.items()}
    assert encoded(clips, WindowEncoder(PCA, batch, quality="all"), readers=readers) == alone


def test_a_networks_rows_are_independent_of_batch_composition(clips):
    """Its batches have one shape, filled up where windows are few."""
    network = untrained("8x8x8", DeviceConfig(batch=3))
    alone = {name: rows_of(clip_file(name, len(v)), v, network, 17) for name, v in clips.items()}
    assert encoded(clips, WindowEncoder(network, 3, quality="all"), network) == alone


def test_windows_go_in_whole_batches_of_one_shape_until_the_end(clips):
    listening = Listening()
    encoded(clips, WindowEncoder(listening, 2, quality="none"))
    *full, last = listening.calls
    assert sum(map(len, listening.calls)) == 8
    for call in full:
        for shape in set(call):
            assert call.count(shape) % 2 == 0
    assert len(full[0]) + len(last) <= 8


def test_many_shapes_do_not_pile_up(pattern):
    listening = Listening()
    encoder = WindowEncoder(listening, 2, quality="none")
    encoded({str(w): pattern(1, 8, 8 * w) for w in range(1, 20)}, encoder)
    assert max(map(len, listening.calls)) == 8


def test_quality_is_that_of_the_real_picture_in_the_real_frames(pattern):
    video = pattern(11, 50, 90)
    (row,) = rows_of(clip_file("a", 11), video, PCA, 17)
    [clip_window] = windows_of(clip_file("a", 11), video, PCA, 17)
    assert clip_window.pixels.shape == (17, 56, 96, 3)
    [tokens] = PCA.encode([clip_window.pixels])
    for head, decoded in (
        ("codes", PCA.decode_codes([tokens.codes])[0]),
        ("latents", PCA.decode_latents([tokens.latents])[0]),
    ):
        assert getattr(row, f"psnr_{head}_db") == psnr_db(video, decoded[:11, :50, :90])
    assert row.psnr_latents_db > row.psnr_codes_db > 18


def test_quality_is_measured_only_when_asked_for(clips):
    found = encoded(clips, WindowEncoder(PCA, quality="none"))
    assert {(r.psnr_codes_db, r.psnr_latents_db) for rows in found.values() for r in rows} == {
        (None, None)
    }
    one_head = encoded(clips, WindowEncoder(Recursive(("latents",)), quality="all"))
    assert {row.psnr_codes_db for rows in one_head.values() for row in rows} == {None}
    assert all(row.psnr_latents_db > 10 for rows in one_head.values() for row in rows)


@pytest.mark.parametrize("mode", ["independent", "stream"])
def test_latents_that_are_no_numbers_fail_their_clip_and_name_the_window(clips, mode):
    clips["a"][17 if mode == "independent" else 33, 0, 0, 0] = 251
    tokenizer = Recursive(broken_at=251)
    made = SliceEncoder if mode == "stream" else WindowEncoder
    found = encoded(clips, made(tokenizer, quality="all"), tokenizer, mode=mode)
    assert isinstance(found["a"], MediaError)
    number = 1 if mode == "independent" else 2
    assert (
        str(found["a"]) == f"no_tokens: window {number}: the network gave NaN or infinite latents"
    )
    assert [len(found[name]) for name in "bcd"] == [1, 1, 2]


def test_infinity_is_no_number_either(pattern):
    class Overflowing(Recursive):
        def encode(self, videos):
            return [Tokens(None, np.full((1, 1, 1, 1), np.inf, np.float16))]

    found = encoded({"a": pattern(1)}, WindowEncoder(Overflowing(("latents",)), quality="all"))
    assert found["a"].reason == "no_tokens"


def test_a_list_that_fails_fails_its_clips_and_a_window_alone_is_named(clips):
    class Picky(Recursive):
        def encode(self, videos):
            if any(video.shape[2] == 40 for video in videos):
                raise ValueError("too narrow")
            return super().encode(videos)

    together = encoded(clips, WindowEncoder(Picky(), 100, quality="all"))
    assert {name: str(error) for name, error in together.items()} == dict.fromkeys(
        "abcd", "too narrow"
    )
    apart = encoded(clips, WindowEncoder(Picky(), list_size=1, quality="all"))
    assert str(apart["c"]) == "no_tokens: window 0: too narrow"
    assert [len(apart[name]) for name in "abd"] == [4, 1, 2]


@pytest.mark.parametrize("name", ["OutOfMemoryError", "AcceleratorError"])
def test_a_device_that_fails_is_no_verdict_on_a_clip(clips, name):
    class Full(Recursive):
        def encode(self, videos):
            raise type(name, (RuntimeError,), {})("CUDA: no more memory\nand much more")

    found = encoded(clips, WindowEncoder(Full(), quality="all"))
    assert all(isinstance(error, InfrastructureError) for error in found.values())
    assert str(found["a"]).startswith("CUDA: no more memory")


def test_windows_that_do_not_fit_together_are_encoded_apart(clips):
    class Small(Recursive):
        def encode(self, videos):
            if len(videos) > 1:
                raise type("OutOfMemoryError", (RuntimeError,), {})("CUDA: no more memory")
            return super().encode(videos)

    expected = encoded(clips, WindowEncoder(Recursive(), 100, quality="all"))
    assert encoded(clips, WindowEncoder(Small(), 100, quality="all")) == expected


def test_reading_that_breaks_off_fails_its_clip(clips):
    def broken():
        yield from list(windows_of(clip_file("a", 60), clips["a"], PCA, 17))[:2]
        raise MediaError("corrupt", "no more")

    good = windows_of(clip_file("b", 17), clips["b"], PCA, 17)
    encoder = WindowEncoder(PCA, quality="all")
    found = encode_clips({"a": broken, "b": lambda: good}, encoder, 1)
    assert str(found["a"]) == "corrupt: no more"
    assert len(found["b"]) == 1


def test_a_fault_of_the_surroundings_ends_it_all(clips):
    def gone():
        raise InfrastructureError("disk full")
        yield

    with pytest.raises(InfrastructureError, match="disk full"):
        encode_clips({"a": gone}, WindowEncoder(PCA, quality="all"), 1)


def test_slices_are_those_of_one_long_stream(pattern):
    video, tokenizer = pattern(60), Recursive()
    rows = rows_of(clip_file("a", 60), video, tokenizer, 17, "stream")
    assert [(row.frames, row.pad_frames, row.latent_frames) for row in rows] == [
        (17, 0, 5), (16, 0, 4), (16, 0, 4), (11, 1, 3)
    ]  # fmt: skip
    whole = np.concatenate([video, video[-1:]])
    [tokens] = tokenizer.encode([whole])
    assert b"".join(row.codes for row in rows) == tokens.codes.tobytes()
    latents = [np.frombuffer(row.latents, np.float16).reshape(1, -1, 8, 12) for row in rows]
    assert np.array_equal(np.concatenate(latents, axis=1), tokens.latents)
    decoded = tokenizer.decode_codes([tokens.codes])[0]
    assert rows[2].psnr_codes_db == psnr_db(video[33:49], decoded[33:49])
    assert rows[3].psnr_codes_db == psnr_db(video[49:], decoded[49:60])
