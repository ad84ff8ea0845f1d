import dataclasses
import math
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from curation.errors import InfrastructureError, MediaError
from tokenizer.evaluate.roundtrip import begin
from tokenizer.tokenize.windows import padded


def test_windows_that_fit_go_through_as_they_are(subject, pattern):
    one, video = subject(), pattern(9)
    trial = begin(one, "independent").try_on([video])
    [tokens] = one.tokenizer.encode([video])
    assert (trial.tokens[0].codes == tokens.codes).all()
    for head, decoded in (
        ("codes", one.tokenizer.decode_codes([tokens.codes])),
        ("latents", one.tokenizer.decode_latents([tokens.latents])),
    ):
        assert (trial.heads[head].videos[0] == decoded[0]).all()
    assert min(trial.encode_s, *(rebuilt.decode_s for rebuilt in trial.heads.values())) > 0


@pytest.mark.parametrize("frames", [1, 4, 9, 12])
def test_other_lengths_and_sizes_are_padded_and_cut_again(subject, pattern, frames):
    one, video = subject("pca-8x16x16"), pattern(frames, 50, 70)
    trial = begin(one, "independent").try_on([video, pattern(9, 64, 96)])
    whole = padded(video, -(frames - 1) % 8, 14, 10)
    assert (trial.tokens[0].codes == one.tokenizer.encode([whole])[0].codes).all()
    [expected] = one.tokenizer.decode_codes([trial.tokens[0].codes])
    for rebuilt in trial.heads.values():
        assert [made.shape for made in rebuilt.videos] == [video.shape, (9, 64, 96, 3)]
    assert (trial.heads["codes"].videos[0] == expected[:frames, :50, :70]).all()


def test_bits_count_every_token_of_the_padding_too(subject, pattern):
    trial = begin(subject("pca-8x16x16"), "independent").try_on(
        [pattern(10, 50, 70), pattern(1, 64, 96)]
    )
    tokens = 3 * 4 * 5 + 1 * 4 * 6  # latent frames, down, across
    assert trial.heads["codes"].bits == pytest.approx(tokens * math.log2(64000))
    assert trial.heads["latents"].bits == tokens * 16 * 16


def test_what_is_no_number_is_refused(subject, nan, pattern):
    broken = nan(subject())
    with pytest.raises(MediaError, match=r"no_tokens: .*window 1.*NaN"):
        begin(broken, "independent").try_on([pattern(1), pattern(9)])
    assert np.isfinite(begin(broken, "independent").try_on([pattern(1)]).tokens[0].latents).all()


def test_a_refused_window_names_the_tokenizer(subject, pattern):
    with pytest.raises(MediaError, match="no_tokens: pca-8x8x8: need uint8"):
        begin(subject(), "independent").try_on([pattern(1).astype(np.int32)])


def test_a_device_without_memory_is_no_verdict_on_the_clip(subject, pattern):
    def full(_):
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB.\nMore words")

    pca = subject().tokenizer
    small = SimpleNamespace(rate=pca.rate, name=pca.name, encode=full)
    words = r"Tried to allocate 2 GiB\.; lower the batch or the short side"
    with pytest.raises(InfrastructureError, match=words):
        begin(dataclasses.replace(subject(), tokenizer=small), "independent").try_on([pattern(1)])


@pytest.mark.parametrize("batch", [1, 3])
def test_slices_of_a_stream_are_as_good_as_the_whole(subject, pattern, batch):
    one, video = subject("causal-8x8x8"), pattern(30, 64, 96)
    slices = [video[:9], video[9:17], video[17:]]
    course = begin(one, "stream")
    trials = [course.try_on(slices[at : at + batch]) for at in range(0, 3, batch)]
    [tokens] = one.tokenizer.encode([padded(video, 3)])
    whole = one.tokenizer.decode_latents([tokens.latents])[0][:30]
    made = np.concatenate([each for trial in trials for each in trial.heads["latents"].videos])
    assert made.shape == video.shape
    assert np.abs(made.astype(int) - whole).max() <= 1
    assert sum(trial.heads["latents"].bits for trial in trials) == tokens.latents.size * 16


def test_a_tokenizer_without_state_has_no_stream(subject):
    with pytest.raises(ValueError, match="pca-8x8x8 cannot go on where a window ended"):
        begin(subject(), "stream")
