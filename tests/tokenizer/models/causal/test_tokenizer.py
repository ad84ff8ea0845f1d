import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from tests.tokenizer.models.causal.conftest import noise, untrained
from tokenizer.models.causal.tokenizer import CausalTokenizer
from tokenizer.models.inference import DeviceConfig
from tokenizer.models.load import load


def same(a, b) -> bool:
    return np.array_equal(a.codes, b.codes) and np.array_equal(a.latents, b.latents)


def test_shapes_and_types_follow_the_rate(rate):
    tokenizer = untrained(rate)
    assert tokenizer.name == f"causal-{rate}"
    for frames in (1, 9, 17):
        [tokens] = tokenizer.encode([noise(frames)])
        latent = 1 + (frames - 1) // tokenizer.rate.time
        space = tokenizer.rate.space
        assert tokens.codes.shape == (latent, 32 // space, 48 // space)
        assert tokens.codes.dtype == np.uint16
        assert tokens.latents.shape == (16, *tokens.codes.shape)
        assert tokens.latents.dtype == np.float16
        for decoded in (
            *tokenizer.decode_codes([tokens.codes]),
            *tokenizer.decode_latents([tokens.latents]),
        ):
            assert decoded.shape == (frames, 32, 48, 3)
            assert decoded.dtype == np.uint8


@pytest.mark.parametrize("batch", [1, 3])
def test_tokens_are_independent_of_batch_composition(rate, batch):
    tokenizer = untrained(rate, DeviceConfig(batch=batch))
    shapes = [(17, 32, 48), (9, 32, 48), (17, 32, 48), (17, 16, 16), (17, 32, 48), (17, 32, 48)]
    videos = [noise(*shape, seed=place) for place, shape in enumerate(shapes)]
    together = tokenizer.encode(videos)
    backwards = tokenizer.encode(videos[::-1])[::-1]
    decoded = tokenizer.decode_codes([tokens.codes for tokens in together])
    for place, tokens in enumerate(together):
        assert same(tokens, backwards[place])
        assert same(tokens, tokenizer.encode([videos[place]])[0])
        assert np.array_equal(decoded[place], tokenizer.decode_codes([tokens.codes])[0])


def test_wrong_shapes_and_codes_are_refused():
    tokenizer = untrained("8x8x8")
    with pytest.raises(ValueError, match=r"nearest valid shape is \[17, 32, 48, 3\]"):
        tokenizer.encode([noise(16)])
    with pytest.raises(ValueError, match="beyond the codebook"):
        tokenizer.decode_codes([np.full((1, 4, 4), 64000, np.uint16)])
    with pytest.raises(ValueError, match="need latents"):
        tokenizer.decode_latents([np.zeros((8, 1, 4, 4), np.float16)])


def test_saving_and_loading_keep_every_bit(tmp_path, rate):
    tokenizer = untrained(rate)
    path = tmp_path / "mine.safetensors"
    tokenizer.save(path)
    again = load(str(path))
    assert isinstance(again, CausalTokenizer)
    assert again.digest == tokenizer.digest
    assert (again.name, again.latent_std) == (tokenizer.name, tokenizer.latent_std)
    video = noise(17)
    assert same(again.encode([video])[0], tokenizer.encode([video])[0])


def altered(path, change) -> None:
    """Rewrites a file of weights after `change(tensors, metadata)`."""
    from safetensors import safe_open

    with safe_open(str(path), framework="pt") as file:
        metadata = file.metadata()
    tensors = load_file(path)
    change(tensors, metadata)
    save_file(tensors, path, metadata=metadata)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda t, m: t["encoder.heads.bias"].add_(1), "was altered"),
        (
            lambda t, m: t["encoder.heads.bias"].fill_(torch.nan),
            "no finite numbers in encoder.heads",
        ),
        (lambda t, m: t.pop("encoder.heads.bias"), "do not fit their configuration"),
        (
            lambda t, m: m.update(config=m["config"].replace('"wide": 16', '"wide": 8')),
            "do not fit",
        ),
        (lambda t, m: m.update(kind="other"), "holds no PCA tokenizer"),
    ],
)
def test_invalid_weights_are_refused(tmp_path, change, message):
    path = tmp_path / "mine.safetensors"
    untrained("8x8x8").save(path)
    altered(path, change)
    with pytest.raises(ValueError, match=message):
        load(str(path))


def test_a_torn_file_is_named(tmp_path):
    path = tmp_path / "mine.safetensors"
    untrained("8x8x8").save(path)
    path.write_bytes(path.read_bytes()[:1000])
    with pytest.raises(ValueError, match=r"mine\.safetensors cannot be read as safetensors"):
        load(str(path))


def test_bf16_is_near_fp32():
    video = noise(17)
    [exact] = untrained("8x8x8").encode([video])
    [rough] = untrained("8x8x8", DeviceConfig(precision="bf16")).encode([video])
    error = np.square(exact.latents.astype(np.float32) - rough.latents).mean() ** 0.5
    assert 0 < error < 0.02 * np.square(exact.latents.astype(np.float32)).mean() ** 0.5


def test_an_unavailable_device_is_an_error():
    if torch.cuda.is_available():
        pytest.skip("there is a CUDA device")
    with pytest.raises(ValueError, match="sees no CUDA device"):
        untrained("8x8x8", DeviceConfig(device="cuda"))
