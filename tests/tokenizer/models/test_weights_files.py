"""Weights that are damaged, swapped or lie: each is refused by name, and nothing is allocated."""

import json
import resource
import struct

import numpy as np
import pytest
from safetensors import safe_open
from safetensors.numpy import load_file, save_file

import tokenizer.models.causal.tokenizer  # noqa: F401  no test counts the memory of torch
from pipelines.reelmill.tokenizers import load_tokenizer
from tokenizer.models.interface import ShapeError, TokenizerLoadError, Tokens
from tokenizer.models.load import _WEIGHTS, load

CONFIG = {
    "time": 8, "space": 8, "patch_time": 4, "patch_space": 4, "fine": 64, "wide": 192,
    "encoder": [1, 2], "decoder": [2, 3],
}  # fmt: skip


def rewritten(path, name, change):
    """A shipped file of weights after `change(tensors, metadata)`, with the digest as it was."""
    source = _WEIGHTS / f"{name}.safetensors"
    with safe_open(str(source), framework="numpy") as file:
        metadata = file.metadata()
    tensors = load_file(source)
    change(tensors, metadata)
    save_file(tensors, path, metadata=metadata)


def metadata_of(**values):
    return lambda tensors, metadata: metadata.update(values)


def without(key):
    def change(tensors, metadata):
        tensors.pop(key, None)
        metadata.pop(key, None)

    return change


def tensor_of(key, value):
    return lambda tensors, metadata: tensors.update({key: value})


def set_first(key, value):
    def change(tensors, metadata):
        tensors[key] = tensors[key].copy()
        tensors[key].flat[0] = value

    return change


def config_of(**values):
    return metadata_of(config=json.dumps({**CONFIG, **values}))


@pytest.mark.parametrize(
    ("name", "change", "words"),
    [
        ("pca-8x8x8", metadata_of(kind="causal"), "no configuration of a network"),
        ("causal-8x8x8", metadata_of(kind="pca"), "rate '' is not of the form"),
        ("causal-8x8x8", metadata_of(kind="pca", rate="8x8x8"), "first.bounds, .* are missing"),
        ("pca-8x8x8", metadata_of(kind="onnx"), "holds no PCA tokenizer"),
        ("pca-8x8x8", metadata_of(rate="4x8x8"), r"group.mean is float32 \[1536\], not .*\[768\]"),
        ("pca-8x8x8", metadata_of(rate="999999999x8x8"), "rate 999999999x8x8 is not from 1 to 64"),
        ("pca-8x8x8", metadata_of(rate="0x8x8"), "rate 0x8x8 is not from 1 to 64"),
        ("pca-8x8x8", metadata_of(rate="fast"), "rate 'fast' is not of the form"),
        ("pca-8x8x8", without("rate"), "rate '' is not of the form"),
        ("pca-8x8x8", without("digest"), "was altered: .* recorded None"),
        ("pca-8x8x8", without("group.components"), "the tensors group.components are missing"),
        ("pca-8x8x8", set_first("first.mean", np.nan), "first.mean is NaN or infinite"),
        ("pca-8x8x8", set_first("first.mean", 0.5), "was altered"),
        ("pca-8x8x8", tensor_of("latent_std", np.ones(3, np.float32)), r"latent_std is .*\[3\]"),
        ("pca-8x8x8", tensor_of("first.mean", np.ones(192)), "first.mean is float64"),
        ("causal-8x8x8", without("config"), "no configuration of a network"),
        ("causal-8x8x8", metadata_of(config="{"), "no configuration of a network"),
        ("causal-8x8x8", metadata_of(config="[]"), "no configuration of a network"),
        ("causal-8x8x8", config_of(depth=3), "no configuration of a network"),
        ("causal-8x8x8", config_of(fine="64"), "whole numbers"),
        ("causal-8x8x8", config_of(fine=10**9), "fine of a network is from 1 to 4096: 1000000000"),
        ("causal-8x8x8", config_of(wide=4096), "weights do not fit their configuration: decoder"),
        ("causal-8x8x8", config_of(encoder=[1, 10**9]), "up to 64 blocks a part"),
        ("causal-8x8x8", config_of(encoder=[1]), "up to 64 blocks a part"),
        ("causal-8x8x8", config_of(time=10**6), "time of a network is from 1 to 64"),
        ("causal-8x8x8", config_of(space=64, patch_space=64), "a patch has at most 4096 numbers"),
        ("causal-8x8x8", metadata_of(latent_mean="[1, 2]"), "latent_mean is no list of 16 finite"),
        ("causal-8x8x8", metadata_of(latent_std=str([float("inf")] * 16)), "latent_std is no list"),
        ("causal-8x8x8", without("latent_std"), "latent_std is no list of 16 finite numbers"),
        ("causal-8x8x8", without("decoder.norm.weight"), "configuration: decoder.norm.weight"),
        ("causal-8x8x8", set_first("decoder.norm.weight", np.inf), "no finite numbers in decoder"),
        ("causal-8x8x8", set_first("decoder.norm.weight", 0.5), "was altered"),
        ("causal-8x8x8", without("digest"), "was altered: .* recorded None"),
    ],
)  # fmt: skip
def test_a_file_that_lies_is_refused_by_name(tmp_path, name, change, words):
    path = tmp_path / "mine.safetensors"
    rewritten(path, name, change)
    before_kb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(TokenizerLoadError, match=words) as error:
        load(str(path))
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before_kb < 256 << 10
    assert "mine.safetensors" in str(error.value) or "finite numbers" in str(error.value)


def header_of(content, **changes):
    """The file with another header: `length`, or the JSON itself."""
    length = struct.unpack_from("<Q", content)[0]
    header = json.loads(content[8 : 8 + length])
    text = json.dumps(changes["edit"](header)).encode() if "edit" in changes else b""
    text = text or content[8 : 8 + length]
    return struct.pack("<Q", changes.get("length", len(text))) + text + content[8 + length :]


def huge(header):
    header["first.mean"] |= {"shape": [1 << 40], "data_offsets": [0, 1 << 42]}
    return header


def overlapping(header):
    header["first.mean"]["data_offsets"] = header["group.mean"]["data_offsets"]
    return header


def other_type(header):
    header["first.mean"]["dtype"] = "BF16"
    header["first.mean"]["shape"] = [2 * header["first.mean"]["shape"][0]]
    return header


@pytest.mark.parametrize(
    "damage",
    [
        lambda content: b"",
        lambda content: content[:100],
        lambda content: content[:-4],
        lambda content: b"PK\x03\x04" + content,
        lambda content: header_of(content, length=1 << 60),
        lambda content: header_of(content, length=10),
        lambda content: header_of(content, edit=huge),
        lambda content: header_of(content, edit=overlapping),
        lambda content: header_of(content, edit=other_type),
        lambda content: header_of(content, edit=lambda header: []),
    ],
)
def test_a_header_that_lies_is_refused_by_name(tmp_path, damage):
    path = tmp_path / "mine.safetensors"
    path.write_bytes(damage((_WEIGHTS / "pca-8x8x8.safetensors").read_bytes()))
    with pytest.raises(TokenizerLoadError, match=r"mine\.safetensors"):
        load(str(path))


@pytest.mark.parametrize("name", ["pca-8x8x8", "causal-8x8x8"])
def test_tokens_that_cannot_be_are_refused_in_decode(name):
    tokenizer = load_tokenizer(name)
    codes, latents = np.zeros((2, 4, 4), np.uint16), np.zeros((16, 2, 4, 4), np.float16)
    infinite = latents.copy()
    infinite[3, 1, 2, 0] = np.inf
    for tokens, head, words in (
        (Tokens(codes + np.uint16(64_000), None), "codes", "code 64000 is beyond the codebook's"),
        (Tokens(codes.astype(np.int64), None), "codes", "need codes as uint16"),
        (Tokens(codes[:, :, :0], None), "codes", "need codes as uint16"),
        (Tokens(None, latents), "codes", "tokens of .* without codes"),
        (Tokens(codes, None), "latents", "tokens of .* without latents"),
        (Tokens(None, latents[:8]), "latents", r"need latents as float16 \[16, T, H, W\]"),
        (Tokens(None, infinite), "latents", "latents are NaN or infinite"),
    ):
        with pytest.raises(ShapeError, match=words):
            tokenizer.decode(tokens, head)
    assert tokenizer.decode(Tokens(codes, latents)).shape == (9, 32, 32, 3)
