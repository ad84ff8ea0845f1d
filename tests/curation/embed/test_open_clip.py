"""Models by name and path, through open_clip's own loading."""

import json
import shutil

import huggingface_hub.constants
import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file, save_file

from curation.embed.open_clip import ClipModel, ModelError, find_checkpoint, import_open_clip
from tests.curation.embed.conftest import CONFIG, saved


def test_pictures_are_what_the_library_itself_computes(folder, model, pictures):
    network, preprocess = import_open_clip().create_model_from_pretrained(f"local-dir:{folder}")
    with torch.no_grad():
        batch = torch.stack([preprocess(Image.fromarray(rgb)) for rgb in pictures])
        expected = network.eval().encode_image(batch, normalize=True).numpy()
    features = model.encode_images([model.preprocess(rgb) for rgb in pictures])
    assert features.dtype == np.float32
    np.testing.assert_allclose(features, expected, atol=1e-6)


def test_texts_are_what_the_library_itself_computes(folder, model):
    words = ["a red disc", "a blue star at night"]
    network, _ = import_open_clip().create_model_from_pretrained(f"local-dir:{folder}")
    with torch.no_grad():
        tokens = import_open_clip().get_tokenizer(f"local-dir:{folder}")(words)
        expected = network.eval().encode_text(tokens, normalize=True).numpy()
    np.testing.assert_allclose(model.encode_texts(words), expected, atol=1e-6)
    np.testing.assert_allclose(np.linalg.norm(expected, axis=1), 1, atol=1e-5)


def test_bf16_is_near(checkpoint, model, pictures):
    half = ClipModel(checkpoint, "cpu", "bf16")
    found = (
        half.encode_images([half.preprocess(pictures[0])])
        @ model.encode_images([model.preprocess(pictures[0])]).T
    )
    assert 0.99 < found[0, 0] < 1.001


def test_the_preprocessing_is_the_models_own(model):
    wide = np.zeros((20, 80, 3), np.uint8)
    wide[:, :20] = 255
    prepared = model.preprocess(wide)
    assert prepared.shape == (3, 32, 32)
    assert prepared[0, 16, 2].item() == pytest.approx((1 - 0.5) / 0.3, abs=0.02)  # not cropped away


def test_a_copy_has_the_same_digest_and_other_weights_another(folder, checkpoint, tmp_path):
    copy = find_checkpoint(str(shutil.copytree(folder, tmp_path / "copy")))
    assert copy.digest == checkpoint.digest
    assert find_checkpoint(str(saved(tmp_path / "other", seed=1))).digest != checkpoint.digest
    config = json.loads((copy.weights.parent / "open_clip_config.json").read_text())
    config["preprocess_cfg"]["resize_mode"] = "shortest"
    (copy.weights.parent / "open_clip_config.json").write_text(json.dumps(config))
    assert find_checkpoint(str(copy.weights.parent)).digest != checkpoint.digest
    assert len(checkpoint.digest) == 12
    assert checkpoint.dim == 16


@pytest.mark.parametrize("suffix", [".safetensors", ".pt"])
def test_bare_weights_go_with_an_architecture(folder, model, tmp_path, pictures, suffix):
    (tmp_path / "tiny-arch.json").write_text(json.dumps(CONFIG["model_cfg"]))
    import_open_clip().add_model_config(tmp_path / "tiny-arch.json")
    weights = load_file(folder / "open_clip_model.safetensors")
    file = tmp_path / f"weights{suffix}"
    if suffix == ".pt":
        torch.save({"state_dict": {f"module.{name}": w for name, w in weights.items()}}, file)
    else:
        save_file(weights, file)
    loaded = ClipModel(find_checkpoint(f"tiny-arch:{file}"), "cpu", "fp32")
    words = ["a red disc"]
    np.testing.assert_allclose(loaded.encode_texts(words), model.encode_texts(words), atol=1e-6)
    assert loaded.preprocess(pictures[0]).shape == (3, 32, 32)


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("ViT-B-23:openai", "did you mean 'ViT-B-32'"),
        ("no/such/folder", "is no folder"),
        ("ViT-B-32:no_such_tag", "laion2b_s34b_b79k"),
        ("ViT-B-32", "laion2b_s34b_b79k"),
    ],
)
def test_unknown_names_say_what_is_known(name, words):
    with pytest.raises(ModelError, match=words):
        find_checkpoint(name)


@pytest.mark.parametrize("name", ["ViT-B-32:laion2b_s34b_b79k", "hf-hub:nobody/nothing"])
def test_an_unavailable_download_says_what_to_do(name, monkeypatch, tmp_path):
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path))
    with pytest.raises(ModelError, match=f"{name} are not cached here.*name the folder"):
        find_checkpoint(name)


def test_a_folder_without_its_parts(folder, tmp_path):
    with pytest.raises(ModelError, match=r"holds no open_clip_config.json.*NAME:FILE"):
        find_checkpoint(str(tmp_path))
    shutil.copy(folder / "open_clip_config.json", tmp_path)
    with pytest.raises(ModelError, match="holds no weights"):
        find_checkpoint(str(tmp_path))
    (tmp_path / "open_clip_config.json").write_text('{"model_cfg": {}}')
    with pytest.raises(ModelError, match="no configuration of open_clip"):
        find_checkpoint(str(tmp_path))


def test_weights_that_do_not_fit(folder, tmp_path):
    shutil.copytree(folder, tmp_path / "model")
    config = json.loads(json.dumps(CONFIG))
    config["model_cfg"]["vision_cfg"]["width"] = 64
    (tmp_path / "model" / "open_clip_config.json").write_text(json.dumps(config))
    with pytest.raises(ModelError, match=r"open_clip_model.safetensors cannot be loaded: .*size"):
        ClipModel(find_checkpoint(str(tmp_path / "model")), "cpu", "fp32")
    (tmp_path / "model" / "open_clip_model.safetensors").write_bytes(b"not weights")
    with pytest.raises(ModelError, match=r"open_clip_model.safetensors cannot be loaded"):
        ClipModel(find_checkpoint(str(tmp_path / "model")), "cpu", "fp32")
