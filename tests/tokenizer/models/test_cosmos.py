"""Tokenizers on disk as NVIDIA publishes them: real Cosmos networks, tiny, random, and traced."""

import collections
import pickle
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from tests.tokenizer.models.autoencoders import diffusers
from tokenizer.models import fsq
from tokenizer.models.cosmos import CosmosJit
from tokenizer.models.inference import DeviceConfig
from tokenizer.models.interface import Compression, TokenizerLoadError
from tokenizer.models.load import _WEIGHTS, load

pytestmark = [
    pytest.mark.models,
    pytest.mark.filterwarnings("ignore:.*torch.jit:DeprecationWarning"),
    pytest.mark.filterwarnings("ignore::torch.jit.TracerWarning"),
]


class Continuous(nn.Module):
    """The published tail of a continuous encoder: latents, and a distribution that nobody needs."""

    def forward(self, latents: Tensor) -> tuple[Tensor, tuple[Tensor, Tensor]]:
        return latents, (torch.zeros(1), torch.zeros(1))


class Quantizer(nn.Module):
    """The published tail of a discrete encoder: indices, codes in its own scale, a loss."""

    def __init__(self) -> None:
        super().__init__()
        levels = torch.tensor(fsq.LEVELS, dtype=torch.int32)
        basis = torch.cumprod(torch.tensor((1, *fsq.LEVELS[:-1])), 0, dtype=torch.int32)
        self.register_buffer("_levels", levels, persistent=False)
        self.register_buffer("_basis", basis, persistent=False)

    def forward(self, latents: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        half = self._levels // 2
        offset = torch.where(self._levels % 2 == 0, 0.5, 0.0)
        width = (self._levels - 1) * 1.001 / 2
        vectors = torch.tanh(latents.movedim(1, -1) + torch.atanh(offset / width)) * width - offset
        digits = torch.round(vectors)
        indices = ((digits + half) * self._basis).sum(-1).to(torch.int32)
        return indices, (digits / half).movedim(-1, 1), torch.zeros(1)


class Inverse(nn.Module):
    """The published head of a discrete decoder."""

    def __init__(self) -> None:
        super().__init__()
        self.quantizer = Quantizer()

    def forward(self, indices: Tensor) -> Tensor:
        levels, basis = self.quantizer._levels, self.quantizer._basis
        digits = indices.unsqueeze(-1) // basis % levels
        return ((digits - levels // 2) / (levels // 2)).movedim(-1, 1)


def trace(folder: Path, channels: int, head: nn.Module, inverse: nn.Module | None = None) -> Path:
    """Writes the modules of a random Cosmos network for 8x8x8, traced on one small window."""
    torch.manual_seed(0)
    vae = diffusers().AutoencoderKLCosmos(
        latent_channels=channels,
        encoder_block_out_channels=(8, 8, 8, 8),
        decode_block_out_channels=(8, 8, 8, 8),
        attention_resolutions=(8,),
        resolution=64,
        num_layers=1,
        latents_mean=None,
        latents_std=None,
    )
    vae.quant_conv.weight.data *= 16  # so that codes are many
    parts = [("encoder", vae.encoder), ("quant_conv", vae.quant_conv)]
    encoder = nn.Sequential(collections.OrderedDict([*parts, ("quantizer", head)]))
    decoder = nn.Sequential(vae.post_quant_conv, vae.decoder)
    folder.mkdir()
    with torch.no_grad():
        pixels = torch.zeros(1, 3, 9, 32, 32)
        torch.jit.trace(encoder.eval(), pixels, check_trace=False).save(folder / "encoder.jit")
        tokens = encoder(pixels)[0]
        whole = decoder if inverse is None else nn.Sequential(inverse, decoder)
        torch.jit.trace(whole.eval(), tokens, check_trace=False).save(folder / "decoder.jit")
    return folder


@pytest.fixture(scope="module", autouse=True)
def _one_thread():
    """Networks this small only wait for one another on several."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="module")
def continuous(tmp_path_factory):
    folder = tmp_path_factory.mktemp("cv") / "Cosmos-0.1-Tokenizer-CV8x8x8"
    return trace(folder, 4, Continuous())


@pytest.fixture(scope="module")
def discrete(tmp_path_factory):
    folder = tmp_path_factory.mktemp("dv") / "Cosmos-Tokenizer-DV8x8x8"
    return trace(folder, len(fsq.LEVELS), Quantizer(), Inverse())


def windows(*shapes: tuple[int, int, int]) -> list[np.ndarray]:
    random = np.random.default_rng(0)
    return [random.integers(0, 256, (*shape, 3), dtype=np.uint8) for shape in shapes]


def run(file: Path, tensor: Tensor) -> Tensor | tuple[Tensor, ...]:
    with torch.inference_mode(), torch.jit.optimized_execution(False):
        return torch.jit.load(file).eval()(tensor)


def pixels(video: np.ndarray) -> Tensor:
    return torch.from_numpy(video).movedim(-1, 0)[None].float() / 127.5 - 1


def shown(video: Tensor) -> np.ndarray:
    return ((video[0].movedim(0, -1).clamp(-1, 1) + 1) * 127.5).round().numpy().astype(np.uint8)


@pytest.mark.parametrize("frames", [1, 9, 25])
def test_continuous_latents_are_those_of_the_module(continuous, frames):
    tokenizer = CosmosJit(continuous)
    [video] = windows((frames, 32, 48))
    [tokens] = tokenizer.encode([video])
    assert (tokenizer.name, tokenizer.rate) == ("cosmos-cv-8x8x8", Compression(8, 8))
    assert (tokenizer.channels, tokenizer.levels) == (4, ())
    assert tokens.codes is None
    assert tokens.latents.dtype == np.float16
    assert tokens.latents.shape == (4, 1 + frames // 8, 4, 6)
    latents = run(continuous / "encoder.jit", pixels(video))[0]
    assert np.array_equal(tokens.latents, latents[0].half().numpy())
    [decoded] = tokenizer.decode_latents([tokens.latents])
    stored = torch.from_numpy(tokens.latents)[None].float()
    assert np.array_equal(decoded, shown(run(continuous / "decoder.jit", stored)))


@pytest.mark.parametrize("frames", [1, 9, 25])
def test_discrete_codes_are_those_of_the_module(discrete, frames):
    tokenizer = CosmosJit(discrete)
    [video] = windows((frames, 32, 48))
    [tokens] = tokenizer.encode([video])
    assert (tokenizer.name, tokenizer.rate) == ("cosmos-dv-8x8x8", Compression(8, 8))
    assert (tokenizer.channels, tokenizer.levels) == (0, fsq.LEVELS)
    assert tokenizer.latent_mean == tokenizer.latent_std == ()
    assert tokens.latents is None
    assert tokens.codes.dtype == np.uint16
    assert tokens.codes.shape == (1 + frames // 8, 4, 6)
    assert len(np.unique(tokens.codes)) > 20
    indices = run(discrete / "encoder.jit", pixels(video))[0]
    assert np.array_equal(tokens.codes, indices[0].numpy())
    [decoded] = tokenizer.decode_codes([tokens.codes])
    assert np.array_equal(decoded, shown(run(discrete / "decoder.jit", indices)))


def test_a_code_has_the_digits_of_our_codebook(discrete):
    [video] = windows((17, 32, 32))
    [tokens] = CosmosJit(discrete).encode([video])
    theirs = run(discrete / "encoder.jit", pixels(video))[1][0].movedim(0, -1).numpy()
    half, steps = np.asarray(fsq.LEVELS) // 2, np.asarray(fsq.LEVELS) - 1
    digits = np.rint((fsq.dequantise(tokens.codes) + 1) / 2 * steps)
    assert np.array_equal(digits, np.rint(theirs * half + half))
    assert np.array_equal(fsq.quantise(digits / steps * 2 - 1), tokens.codes)


@pytest.mark.parametrize("kind", ["continuous", "discrete"])
def test_tokens_are_independent_of_batch_composition(kind, request):
    tokenizer = CosmosJit(request.getfixturevalue(kind), DeviceConfig(batch=2))
    videos = windows((9, 32, 48), (9, 32, 48), (1, 32, 32), (9, 32, 48))
    together, alone = tokenizer.encode(videos), [tokenizer.encode([v])[0] for v in videos]
    head = "latents" if tokenizer.channels else "codes"
    for one, other in zip(together, alone, strict=True):
        assert np.array_equal(getattr(one, head), getattr(other, head))
    assert not np.array_equal(getattr(together[0], head), getattr(together[1], head))


def test_shapes_and_heads_that_do_not_fit_are_refused(continuous, discrete):
    vectors, codes = CosmosJit(continuous), CosmosJit(discrete)
    with pytest.raises(ValueError, match=r"\[10, 32, 32, 3\] does not fit rate 8x8x8"):
        vectors.encode(windows((10, 32, 32)))
    with pytest.raises(ValueError, match=r"\[9, 36, 32, 3\] does not fit rate 8x8x8"):
        codes.encode(windows((9, 36, 32)))
    with pytest.raises(ValueError, match="cosmos-cv-8x8x8 has no codes"):
        vectors.decode_codes([np.zeros((1, 4, 4), np.uint16)])
    with pytest.raises(ValueError, match="cosmos-dv-8x8x8 has no latents"):
        codes.decode_latents([np.zeros((4, 1, 4, 4), np.float16)])
    with pytest.raises(ValueError, match="64000 is beyond"):
        codes.decode_codes([np.full((1, 4, 4), 64000, np.uint16)])


def test_bfloat16_fails_on_a_cpu_and_says_what_to_do(continuous):
    with pytest.raises(ValueError, match=r"does not run in bf16 on cpu \(try the other"):
        CosmosJit(continuous, DeviceConfig(precision="bf16"))


def test_torchscript_is_not_compiled_again(continuous):
    with pytest.raises(ValueError, match="compile: false"):
        CosmosJit(continuous, DeviceConfig(compile=True))


def test_missing_and_damaged_modules_are_named(continuous, tmp_path):
    folder = tmp_path / "tokenizer"
    with pytest.raises(FileNotFoundError, match=r"tokenizer/encoder\.jit"):
        CosmosJit(folder)
    shutil.copytree(continuous, folder)
    whole = (folder / "decoder.jit").read_bytes()
    (folder / "decoder.jit").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(ValueError, match=r"decoder\.jit cannot be read as TorchScript"):
        CosmosJit(folder)
    torch.save({"weight": torch.zeros(1)}, folder / "decoder.jit")
    with pytest.raises(ValueError, match=r"decoder\.jit cannot be read as TorchScript"):
        CosmosJit(folder)
    (folder / "decoder.jit").unlink()
    with pytest.raises(FileNotFoundError, match=r"tokenizer/decoder\.jit"):
        CosmosJit(folder)


class Odd(nn.Module):
    """A module that gives what no tokenizer does."""

    def __init__(self, kind: str) -> None:
        super().__init__()
        self.kind = kind

    def forward(self, x: Tensor) -> Tensor:
        if self.kind == "flat":
            return x.flatten()
        if self.kind == "nan":
            return x[:, :, ::8, ::8, ::8] / 0.0 * 0.0
        return x


class NoTensor(nn.Module):
    def forward(self, x: Tensor) -> list[int]:
        return [x.ndim]


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"\x08\x07\x12\x07pytorch:", r"encoder\.jit cannot be read as TorchScript"),
        ((_WEIGHTS / "pca-8x8x8.safetensors").read_bytes(), "cannot be read as TorchScript"),
        (Odd("flat"), "is no video tokenizer with whole rates|does not take batches"),
        (Odd("nan"), "encodes to NaN or infinity"),
        (Odd("same"), "is no video tokenizer|decodes|does not run"),
        (NoTensor(), "a module gives int where a tensor should be"),
    ],
    ids=["onnx", "safetensors", "flat", "nan", "same", "no tensor"],
)
def test_another_kind_of_file_or_network_is_refused_by_name(continuous, tmp_path, content, words):
    folder = tmp_path / "tokenizer"
    shutil.copytree(continuous, folder)
    if isinstance(content, bytes):
        (folder / "encoder.jit").write_bytes(content)
    else:
        torch.jit.script(content).save(str(folder / "encoder.jit"))
    with pytest.raises(TokenizerLoadError, match=words):
        CosmosJit(folder)


def test_encoder_and_decoder_that_are_swapped_are_refused(continuous, tmp_path):
    folder = tmp_path / "tokenizer"
    shutil.copytree(continuous, folder)
    (folder / "encoder.jit").rename(folder / "kept")
    (folder / "decoder.jit").rename(folder / "encoder.jit")
    (folder / "kept").rename(folder / "decoder.jit")
    with pytest.raises(TokenizerLoadError, match="tokenizer"):
        CosmosJit(folder)


@pytest.mark.parametrize("name", ["Cosmos-0.1-Tokenizer-DV8x8x8", "Cosmos-0.1-Tokenizer-CV4x8x8"])
def test_a_folder_name_that_contradicts_the_module_is_refused(continuous, tmp_path, name):
    shutil.copytree(continuous, tmp_path / name)
    with pytest.raises(ValueError, match=rf"named {name[-7:]} but encodes as CV8x8x8"):
        CosmosJit(tmp_path / name)


def test_the_digest_covers_both_modules_and_no_path(continuous, tmp_path):
    copy = tmp_path / "mine"
    shutil.copytree(continuous, copy)
    digest = CosmosJit(continuous).digest
    assert load(f"cosmos:{copy}").digest == digest
    for name in ("encoder.jit", "decoder.jit"):
        module = torch.jit.load(copy / name)
        next(module.parameters()).data.zero_()
        module.save(copy / name)
        digest, before = CosmosJit(copy).digest, digest
        assert digest != before


def test_statistics_beside_the_modules_are_recorded(continuous, tmp_path):
    plain = CosmosJit(continuous)
    assert (plain.latent_mean, plain.latent_std) == ((0.0,) * 4, (1.0,) * 4)
    folder = tmp_path / "tokenizer"
    shutil.copytree(continuous, folder)
    mean = torch.tensor([[0.0, 2.0], [1.0, 1.0], [3.0, 3.0], [0.0, 0.0]])
    std = torch.tensor([[1.0, 1.0], [2.0, 2.0], [3.0, 4.0], [1.0, 1.0]])
    torch.save((mean.flatten(), std.flatten()), folder / "mean_std.pt")
    tokenizer = CosmosJit(folder)
    assert tokenizer.latent_mean == (1.0, 1.0, 3.0, 0.0)
    assert tokenizer.latent_std == pytest.approx((2**0.5, 2.0, 12.5**0.5, 1.0))
    assert tokenizer.digest == plain.digest


class Opener:
    """What a hostile pickle holds: a call that leaves a trace."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self):
        return Path.touch, (self.path,)


def test_statistics_run_no_code(continuous, tmp_path):
    folder = tmp_path / "tokenizer"
    shutil.copytree(continuous, folder)
    for content in (pickle.dumps(Opener(tmp_path / "ran"), protocol=2), b"", b"noise"):
        (folder / "mean_std.pt").write_bytes(content)
        with pytest.raises(ValueError, match=r"mean_std\.pt holds no mean and deviation"):
            CosmosJit(folder)
    torch.save((torch.zeros(3), torch.ones(3)), folder / "mean_std.pt")
    with pytest.raises(ValueError, match="3 means and 3 deviations do not belong to 4 channels"):
        CosmosJit(folder)
    assert not (tmp_path / "ran").exists()
