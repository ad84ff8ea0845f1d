import dataclasses
import math
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from curation.errors import InfrastructureError, MediaError
from tokenizer.evaluate.roundtrip import start_roundtrip
from tokenizer.tokenize.windows import pad_video


def test_windows_that_fit_are_not_padded(candidate, pattern):
    one, video = candidate(), pattern(9)
    result = start_roundtrip(one, "independent").run([video])
    [tokens] = one.tokenizer.encode([video])
    assert (result.tokens[0].codes == tokens.codes).all()
    for head, decoded in (
        ("codes", one.tokenizer.decode_codes([tokens.codes])),
        ("latents", one.tokenizer.decode_latents([tokens.latents])),
    ):
        assert (result.heads[head].videos[0] == decoded[0]).all()
    assert (
        min(result.encode_s, *(reconstruction.decode_s for reconstruction in result.heads.values()))
        > 0
    )


@pytest.mark.parametrize("frames", [1, 4, 9, 12])
def test_other_lengths_and_sizes_are_padded_and_cropped_again(candidate, pattern, frames):
    one, video = candidate("pca-8x16x16"), pattern(frames, 50, 70)
    result = start_roundtrip(one, "independent").run([video, pattern(9, 64, 96)])
    whole = pad_video(video, -(frames - 1) % 8, 14, 10)
    assert (result.tokens[0].codes == one.tokenizer.encode([whole])[0].codes).all()
    [expected] = one.tokenizer.decode_codes([result.tokens[0].codes])
    for reconstruction in result.heads.values():
        assert [decoded.shape for decoded in reconstruction.videos] == [video.shape, (9, 64, 96, 3)]
    assert (result.heads["codes"].videos[0] == expected[:frames, :50, :70]).all()


def test_bits_count_every_token_of_the_padding_too(candidate, pattern):
    result = start_roundtrip(candidate("pca-8x16x16"), "independent").run(
        [pattern(10, 50, 70), pattern(1, 64, 96)]
    )
    tokens = 3 * 4 * 5 + 1 * 4 * 6  # latent frames, down, across
    assert result.heads["codes"].bits == pytest.approx(tokens * math.log2(64000))
    assert result.heads["latents"].bits == tokens * 16 * 16


def test_nan_is_refused(candidate, nan, pattern):
    broken = nan(candidate())
    with pytest.raises(MediaError, match=r"no_tokens: .*window 1.*NaN"):
        start_roundtrip(broken, "independent").run([pattern(1), pattern(9)])
    assert np.isfinite(
        start_roundtrip(broken, "independent").run([pattern(1)]).tokens[0].latents
    ).all()


def test_a_refused_window_names_the_tokenizer(candidate, pattern):
    with pytest.raises(MediaError, match="no_tokens: pca-8x8x8: need uint8"):
        start_roundtrip(candidate(), "independent").run([pattern(1).astype(np.int32)])


def test_out_of_memory_is_an_infrastructure_error(candidate, pattern):
    def full(_):
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB.\nMore words")

    pca = candidate().tokenizer
    small = SimpleNamespace(rate=pca.rate, name=pca.name, encode=full)
    words = r"Tried to allocate 2 GiB\.; lower the batch or the short side"
    with pytest.raises(InfrastructureError, match=words):
        start_roundtrip(dataclasses.replace(candidate(), tokenizer=small), "independent").run(
            [pattern(1)]
        )


@pytest.mark.parametrize("batch", [1, 3])
def test_slices_of_a_stream_equal_the_whole_stream(candidate, pattern, batch):
    one, video = candidate("causal-8x8x8"), pattern(30, 64, 96)
    slices = [video[:9], video[9:17], video[17:]]
    roundtrip = start_roundtrip(one, "stream")
    results = [roundtrip.run(slices[at : at + batch]) for at in range(0, 3, batch)]
    [tokens] = one.tokenizer.encode([pad_video(video, 3)])
    whole = one.tokenizer.decode_latents([tokens.latents])[0][:30]
    decoded = np.concatenate(
        [each for result in results for each in result.heads["latents"].videos]
    )
    assert decoded.shape == video.shape
    assert np.abs(decoded.astype(int) - whole).max() <= 1
    assert sum(result.heads["latents"].bits for result in results) == tokens.latents.size * 16


def test_a_tokenizer_that_is_not_streaming_has_no_stream(candidate):
    with pytest.raises(ValueError, match="pca-8x8x8 cannot continue where a window ended"):
        start_roundtrip(candidate(), "stream")


def test_pca_computes_on_the_cpu_whatever_the_placement(candidate):
    assert (candidate().device, candidate().precision) == ("cpu", "fp64")
    assert candidate().codebook_size == 64000
