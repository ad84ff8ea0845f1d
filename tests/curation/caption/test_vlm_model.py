"""Tiny models of real architectures, loaded as any other."""

import json
import shutil
import sys

import numpy as np
import pytest
import torch

from curation.caption.vlm_model import (
    Asked,
    VisionLanguageModel,
    model_digest,
    model_folder,
)
from curation.errors import InfrastructureError

RANDOM = np.random.default_rng(0)
TEXT = np.zeros((0, 1, 1, 3), np.uint8)


def pictures(count: int) -> np.ndarray:
    return RANDOM.integers(0, 256, (count, 40, 60, 3)).astype(np.uint8)


def load(folder, **more) -> VisionLanguageModel:
    settings = {"device": "cpu", "precision": "fp32", **more}
    return VisionLanguageModel(str(folder), **settings)


@pytest.fixture(scope="module")
def model(llava) -> VisionLanguageModel:
    return load(llava)


@pytest.fixture
def copy(llava, tmp_path):
    shutil.copytree(llava, tmp_path / "copy")
    return tmp_path / "copy"


def test_words_depend_on_pictures_and_prompt_and_repeat(model):
    first, second = pictures(2), pictures(2)
    told = [(first, "What?"), (second, "What?"), (first, "Where?")]
    said = [model.say([Asked(*each)], 12)[0] for each in told]
    assert len({each.text for each in said}) == 3
    assert model.say([Asked(*told[0])], 12)[0] == said[0]


def test_every_picture_is_read(model):
    one, three = (model.say([Asked(pictures(n), "What?")], 1)[0] for n in (1, 3))
    assert three.tokens_in - one.tokens_in == 2 * 16  # 4 × 4 patches each


def test_a_batch_says_what_each_would_say_alone(model):
    asked = [Asked(pictures(2), "What?"), Asked(pictures(3), "What is it that is seen there?")]
    together = model.say(asked, 10)
    assert together == [model.say([each], 10)[0] for each in asked]
    assert together[0].tokens_in < together[1].tokens_in
    for alone, (sure, tokens) in zip(asked, model.sureness(asked), strict=True):
        assert model.sureness([alone])[0] == (pytest.approx(sure, abs=1e-4), tokens)


def test_the_limit_on_tokens_is_kept_and_told(model):
    (said,) = model.say([Asked(pictures(1), "What?")], 5)
    assert (said.tokens_out, said.cut_short) == (5, True)


def test_the_end_is_where_the_model_says_so(copy):
    model = load(copy)
    ((_, *_),) = model.sureness([Asked(pictures(1), "?")])
    head = model._model.lm_head.weight
    head.zero_()
    end = model._tokenizer.eos_token_id
    model._model.lm_head.bias = torch.nn.Parameter(
        torch.nn.functional.one_hot(torch.tensor(end), len(head)) * 9.0, requires_grad=False
    )
    (said,) = model.say([Asked(pictures(1), "?")], 5)
    assert (said.text, said.tokens_out, said.cut_short) == ("", 1, False)


def test_sureness_is_the_share_of_yes(copy):
    model = load(copy)
    head = model._model.lm_head.weight
    head.zero_()
    bias = torch.zeros(len(head))
    yes, no = (model._tokenizer.encode(word, add_special_tokens=False)[0] for word in "yn")
    bias[yes], bias[no] = np.log(3.0) + 5, 5.0
    bias[[model._tokenizer.encode(word)[0] for word in "YN"]] = -30.0
    bias[model._tokenizer.encode(" ")[0]] = -30.0
    model._model.lm_head.bias = torch.nn.Parameter(bias, requires_grad=False)
    ((sure, _),) = model.sureness([Asked(pictures(1), "?")])
    assert sure == pytest.approx(0.75, abs=1e-4)


def test_half_precision_computes(llava):
    (said,) = load(llava, precision="bf16").say([Asked(pictures(2), "What?")], 4)
    assert said.tokens_out == 4


def test_a_model_of_text_writes_anew(llama, llava):
    for folder in (llama, llava):
        model = load(folder, vision=False)
        asked = [Asked(TEXT, "A dog."), Asked(TEXT, "A cat that sleeps.")]
        assert [said.tokens_out for said in model.say(asked, 6)] == [6, 6]
    with pytest.raises(ValueError, match="cannot be loaded: a llama takes no pictures"):
        load(llama)


def test_pictures_of_any_size_go_into_a_model_that_takes_them(tmp_path):
    from tests.curation.caption.models import write_qwen

    model = load(write_qwen(tmp_path))
    asked = [Asked(pictures(2), "What?"), Asked(pictures(1)[:, :16, :16], "What is it?")]
    together = model.say(asked, 4)
    assert together == [model.say([each], 4)[0] for each in asked]
    assert together[0].text != model.say([Asked(pictures(2), "What?")], 4)[0].text


def test_a_full_device_is_a_fault_of_the_surroundings(model, monkeypatch):
    def full(**_):
        raise torch.OutOfMemoryError("none left")

    monkeypatch.setattr(model._model, "generate", full)
    with pytest.raises(InfrastructureError, match="lower batch, frames or longest_side"):
        model.say([Asked(pictures(1), "?")], 1)


def test_the_digest_is_that_of_the_files(copy):
    before = model_digest(str(copy))
    (copy / "notes.md").write_text("nothing that decides")
    assert model_digest(str(copy)) == before
    template = copy / "chat_template.jinja"
    template.write_text(template.read_text() + " ")
    assert model_digest(str(copy)) != before


def test_weights_that_lack_tensors_are_refused(copy):
    from safetensors.torch import load_file, save_file

    held = load_file(copy / "model.safetensors")
    name = next(name for name in held if "multi_modal_projector" in name)
    del held[name]
    save_file(held, copy / "model.safetensors", {"format": "pt"})
    with pytest.raises(ValueError, match=r"1 tensors are missing, such as .*projector"):
        load(copy)


def test_what_is_no_model_says_why(copy, tmp_path, monkeypatch):
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
    with pytest.raises(ValueError, match=r"pip install 'reelmill\[vlm\]'"):
        load(copy)


def test_code_that_comes_with_a_model_is_not_run(copy, tmp_path):
    config = json.loads((copy / "config.json").read_text())
    config |= {"model_type": "odd", "auto_map": {"AutoConfig": "odd.Odd"}}
    (copy / "config.json").write_text(json.dumps(config))
    (copy / "odd.py").write_text(f"open({str(tmp_path / 'ran')!r}, 'w')\n")
    with pytest.raises(ValueError, match="cannot be loaded"):
        load(copy)
    assert not (tmp_path / "ran").exists()


def test_a_name_on_the_hub_is_fetched_or_found(copy, tmp_path, monkeypatch):
    """The hub's cache as it lies on disk after a download; nothing is fetched here."""
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    with pytest.raises(ValueError, match="org/tiny is no folder here and cannot be fetched"):
        model_folder("org/tiny")
    held = tmp_path / "hub" / "models--org--tiny"
    shutil.copytree(copy, held / "snapshots" / "0")
    (held / "refs").mkdir()
    (held / "refs" / "main").write_text("0")
    assert model_digest("org/tiny") == model_digest(str(copy))


def test_a_device_that_is_not_there_is_named(llava):
    if torch.cuda.is_available():
        pytest.skip("there is one")
    words = r"device cuda is not there: torch .* sees no CUDA device"
    with pytest.raises(ValueError, match=words):
        load(llava, device="cuda")
