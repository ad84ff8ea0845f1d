"""Tiny models of real architectures, loaded as any other."""

import json
import re
import shutil
import sys

import numpy as np
import pytest
import torch

from curation.caption.vlm_model import (
    VisionLanguageModel,
    VlmPrompt,
    model_digest,
    model_folder,
)
from curation.device_memory import DeviceMemory
from curation.errors import InfrastructureError
from curation.extras import install_command

RANDOM = np.random.default_rng(0)
NO_IMAGES = np.zeros((0, 1, 1, 3), np.uint8)


def images(count: int) -> np.ndarray:
    return RANDOM.integers(0, 256, (count, 40, 60, 3)).astype(np.uint8)


def load(folder, **overrides) -> VisionLanguageModel:
    settings = {"device": "cpu", "precision": "fp32", **overrides}
    return VisionLanguageModel(str(folder), **settings)


@pytest.fixture(scope="module")
def model(llava) -> VisionLanguageModel:
    return load(llava)


@pytest.fixture
def copy(llava, tmp_path):
    shutil.copytree(llava, tmp_path / "copy")
    return tmp_path / "copy"


def test_output_depends_on_images_and_prompt_and_repeats(model):
    first, second = images(2), images(2)
    inputs = [(first, "What?"), (second, "What?"), (first, "Where?")]
    generations = [model.generate([VlmPrompt(*prompt)], 12)[0] for prompt in inputs]
    assert len({generation.text for generation in generations}) == 3
    assert model.generate([VlmPrompt(*inputs[0])], 12)[0] == generations[0]


def test_every_image_is_read(model):
    one, three = (model.generate([VlmPrompt(images(n), "What?")], 1)[0] for n in (1, 3))
    assert three.tokens_in - one.tokens_in == 2 * 16  # 4 × 4 patches each


def test_output_is_independent_of_batch_composition(model):
    prompts = [
        VlmPrompt(images(2), "What?"),
        VlmPrompt(images(3), "What is it that is seen there?"),
    ]
    batched = model.generate(prompts, 10)
    assert batched == [model.generate([prompt], 10)[0] for prompt in prompts]
    assert batched[0].tokens_in < batched[1].tokens_in
    for prompt, (confidence, tokens) in zip(prompts, model.yes_confidence(prompts), strict=True):
        assert model.yes_confidence([prompt])[0] == (pytest.approx(confidence, abs=1e-4), tokens)


def test_the_limit_on_tokens_truncates(model):
    (generation,) = model.generate([VlmPrompt(images(1), "What?")], 5)
    assert (generation.tokens_out, generation.truncated) == (5, True)


def test_output_ends_at_the_eos_token(copy):
    model = load(copy)
    ((_, *_),) = model.yes_confidence([VlmPrompt(images(1), "?")])
    head = model._model.lm_head.weight
    head.zero_()
    end = model._tokenizer.eos_token_id
    model._model.lm_head.bias = torch.nn.Parameter(
        torch.nn.functional.one_hot(torch.tensor(end), len(head)) * 9.0, requires_grad=False
    )
    (generation,) = model.generate([VlmPrompt(images(1), "?")], 5)
    assert (generation.text, generation.tokens_out, generation.truncated) == ("", 1, False)


def test_confidence_is_the_share_of_yes(copy):
    model = load(copy)
    head = model._model.lm_head.weight
    head.zero_()
    bias = torch.zeros(len(head))
    yes, no = (model._tokenizer.encode(word, add_special_tokens=False)[0] for word in "yn")
    bias[yes], bias[no] = np.log(3.0) + 5, 5.0
    bias[[model._tokenizer.encode(word)[0] for word in "YN"]] = -30.0
    bias[model._tokenizer.encode(" ")[0]] = -30.0
    model._model.lm_head.bias = torch.nn.Parameter(bias, requires_grad=False)
    ((confidence, _),) = model.yes_confidence([VlmPrompt(images(1), "?")])
    assert confidence == pytest.approx(0.75, abs=1e-4)


def test_half_precision_computes(llava):
    (generation,) = load(llava, precision="bf16").generate([VlmPrompt(images(2), "What?")], 4)
    assert generation.tokens_out == 4


def test_a_language_model_rewrites(llama, llava):
    for folder in (llama, llava):
        model = load(folder, vision=False)
        prompts = [VlmPrompt(NO_IMAGES, "A dog."), VlmPrompt(NO_IMAGES, "A cat that sleeps.")]
        assert [text.tokens_out for text in model.generate(prompts, 6)] == [6, 6]
    with pytest.raises(ValueError, match="cannot be loaded: a llama takes no images"):
        load(llama)


def test_a_model_takes_images_of_any_size(tmp_path):
    from tests.curation.caption.models import write_qwen

    model = load(write_qwen(tmp_path))
    prompts = [VlmPrompt(images(2), "What?"), VlmPrompt(images(1)[:, :16, :16], "What is it?")]
    generations = model.generate(prompts, 4)
    assert generations == [model.generate([prompt], 4)[0] for prompt in prompts]
    assert generations[0].text != model.generate([VlmPrompt(images(2), "What?")], 4)[0].text


def test_a_full_device_is_an_infrastructure_error(model, monkeypatch):
    def full(**_):
        raise torch.OutOfMemoryError("none left")

    monkeypatch.setattr(model._model, "generate", full)
    monkeypatch.setattr(model, "_memory", DeviceMemory())
    with pytest.raises(InfrastructureError, match="none left; nothing has fitted"):
        model.generate([VlmPrompt(images(1), "?")], 1)


def test_a_batch_that_does_not_fit_is_halved(model, monkeypatch):
    prompts = [VlmPrompt(images(1 + number % 2), "What is it?") for number in range(5)]
    alone = [model.generate([prompt], 3)[0].text for prompt in prompts]
    generate, sizes = model._model.generate, []

    def small(**inputs):
        sizes.append(len(inputs["input_ids"]))
        if sizes[-1] > 2:
            raise torch.OutOfMemoryError("none left")
        return generate(**inputs)

    monkeypatch.setattr(model._model, "generate", small)
    assert [text.text for text in model.generate(prompts, 3)] == alone
    assert sizes == [5, 2, 3, 1, 2]


def test_the_digest_is_that_of_the_files(copy):
    before = model_digest(str(copy))
    (copy / "notes.md").write_text("nothing that decides")
    assert model_digest(str(copy)) == before
    template = copy / "chat_template.jinja"
    template.write_text(template.read_text() + " ")
    assert model_digest(str(copy)) != before


def test_weights_that_lack_tensors_are_refused(copy):
    from safetensors.torch import load_file, save_file

    tensors = load_file(copy / "model.safetensors")
    name = next(name for name in tensors if "multi_modal_projector" in name)
    del tensors[name]
    save_file(tensors, copy / "model.safetensors", {"format": "pt"})
    with pytest.raises(ValueError, match=r"1 tensors are missing, such as .*projector"):
        load(copy)


def test_a_model_that_cannot_be_loaded_says_why(copy, tmp_path, monkeypatch):
    for place in ("", str(tmp_path / "none"), "./none", "a/b/c"):
        with pytest.raises(ValueError, match="give a folder, or a name on the hub"):
            model_folder(place)
    (tmp_path / "empty").mkdir()
    with pytest.raises(ValueError, match="empty cannot be loaded: "):
        load(tmp_path / "empty")
    (copy / "chat_template.jinja").unlink()
    with pytest.raises(ValueError, match="has no chat template"):
        load(copy)
    monkeypatch.setitem(sys.modules, "transformers", None)
    with pytest.raises(ValueError, match=re.escape(install_command("vlm"))):
        load(copy)


def test_code_that_comes_with_a_model_is_not_run(copy, tmp_path):
    config = json.loads((copy / "config.json").read_text())
    config |= {"model_type": "odd", "auto_map": {"AutoConfig": "odd.Odd"}}
    (copy / "config.json").write_text(json.dumps(config))
    (copy / "odd.py").write_text(f"open({str(tmp_path / 'ran')!r}, 'w')\n")
    with pytest.raises(ValueError, match="cannot be loaded"):
        load(copy)
    assert not (tmp_path / "ran").exists()


def test_a_name_on_the_hub_is_downloaded_or_cached(copy, tmp_path, monkeypatch):
    """The hub's cache as it lies on disk after a download; nothing is fetched here."""
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    with pytest.raises(ValueError, match="org/tiny is no local folder and cannot be downloaded"):
        model_folder("org/tiny")
    cached = tmp_path / "hub" / "models--org--tiny"
    shutil.copytree(copy, cached / "snapshots" / "0")
    (cached / "refs").mkdir()
    (cached / "refs" / "main").write_text("0")
    assert model_digest("org/tiny") == model_digest(str(copy))


def test_an_unavailable_device_is_named(llava):
    if torch.cuda.is_available():
        pytest.skip("there is one")
    message = r"device cuda is unavailable: torch .* sees no CUDA device"
    with pytest.raises(ValueError, match=message):
        load(llava, device="cuda")
