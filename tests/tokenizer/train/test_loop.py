import csv
from dataclasses import replace

import pytest
import torch

from tests.tokenizer.models.causal.conftest import SMALL
from tokenizer.models.causal.tokenizer import CausalTokenizer
from tokenizer.models.load import load
from tokenizer.train.crops import CropSet
from tokenizer.train.loop import LOG, Recipe, Trainer, export_tokenizer

pytestmark = pytest.mark.usefixtures("small")
RECIPE = Recipe(
    steps=40, batch=2, side=32, every=20, warm_up=5, average=0.9, precision="fp32", linear_pace=0.1
)


def trained(packed, folder, until=None, recipe=RECIPE) -> tuple[Trainer, list[dict[str, float]]]:
    rows: list[dict[str, float]] = []
    trainer = Trainer(CropSet.read(packed), folder, recipe)
    trainer.run(rows.append, until)
    return trainer, rows


@pytest.mark.train
def test_training_improves_on_its_start_and_logs_it(packed, tmp_path):
    recipe = replace(RECIPE, steps=200, every=100, learning_rate=0.01)
    _, rows = trained(packed, tmp_path / "run", recipe=recipe)
    assert [row["step"] for row in rows] == [0, 100, 200]
    assert rows[-1]["psnr_latents_db"] > rows[0]["psnr_latents_db"] + 0.1
    assert rows[-1]["psnr_codes_db"] > rows[0]["psnr_codes_db"] + 0.05
    with (tmp_path / "run" / LOG).open() as file:
        written = list(csv.DictReader(file))
    assert [float(row["psnr_codes_db"]) for row in written] == [
        pytest.approx(row["psnr_codes_db"], rel=1e-4) for row in rows
    ]


def test_a_stopped_run_resumes_to_the_same_result(packed, tmp_path):
    whole, _ = trained(packed, tmp_path / "whole")
    trained(packed, tmp_path / "torn", until=20)
    resumed, rows = trained(packed, tmp_path / "torn")
    assert [row["step"] for row in rows] == [40]
    for name, value in whole.ema.items():
        assert torch.equal(resumed.ema[name], value), name


def test_another_recipe_in_the_same_folder_is_refused(packed, tmp_path):
    trained(packed, tmp_path / "run", until=20)
    with pytest.raises(ValueError, match="another learning_rate, seed"):
        Trainer(
            CropSet.read(packed),
            tmp_path / "run",
            replace(RECIPE, learning_rate=0.1, seed=3),
        )


def test_the_exported_weights_are_the_averages_with_their_statistics(packed, tmp_path):
    trainer, _rows = trained(packed, tmp_path / "run")
    path = tmp_path / "weights.safetensors"
    written = export_tokenizer(trainer, path)
    again = load(str(path))
    assert isinstance(again, CausalTokenizer)
    assert again.digest == written.digest
    assert again.card["steps"] == "40"
    assert '"CC0": 12' in again.card["licences"]
    assert all(0.3 < std < 3 for std in again.latent_std)
    stored = again.codec.network.state_dict()
    name = "decoder.pixels.later.weight"
    assert torch.equal(stored[name], trainer.ema[name].half().float())


def test_an_unknown_rate_is_an_error(packed, tmp_path):
    with pytest.raises(ValueError, match="rate '2x2x2' is none of 4x8x8"):
        Trainer(CropSet.read(packed), tmp_path, Recipe(rate="2x2x2"))


def test_a_network_grows_from_one_of_another_rate(packed, tmp_path, monkeypatch):
    """4x8x8 at the size of 8x8x8 shares its blocks, and starts as well as PCA all the same."""
    monkeypatch.setitem(SMALL, "4x8x8", replace(SMALL["8x8x8"], time=4))
    trainer, _ = trained(packed, tmp_path / "4", recipe=replace(RECIPE, rate="4x8x8"))
    export_tokenizer(trainer, tmp_path / "4.safetensors")
    plain = Trainer(CropSet.read(packed), tmp_path / "plain", RECIPE)
    grown_recipe = replace(RECIPE, start=str(tmp_path / "4.safetensors"))
    grown = Trainer(CropSet.read(packed), tmp_path / "grown", grown_recipe)
    state, own = grown.network.state_dict(), plain.network.state_dict()
    for name in ("encoder.fine.0.inside.weight", "decoder.wide.0.along.weight"):
        assert torch.equal(state[name], trainer.ema[name].half().float()), name
    for name in ("encoder.heads.weight", "encoder.linear.later.weight"):
        assert torch.equal(state[name], own[name]), name
    _, [first, *_] = trained(packed, tmp_path / "grown", until=20, recipe=grown_recipe)
    _, [plain_first, *_] = trained(packed, tmp_path / "plain", until=20)
    assert first["psnr_codes_db"] == pytest.approx(plain_first["psnr_codes_db"])
    again = export_tokenizer(grown, tmp_path / "8.safetensors")
    assert '"start": "4.safetensors"' in again.card["recipe"]


def test_training_goes_on_from_weights_of_the_same_rate(packed, tmp_path):
    trainer, rows = trained(packed, tmp_path / "run")
    export_tokenizer(trainer, tmp_path / "first.safetensors")
    recipe = replace(RECIPE, start=str(tmp_path / "first.safetensors"))
    _, [start, *_] = trained(packed, tmp_path / "on", until=20, recipe=recipe)
    assert start["psnr_latents_db"] == pytest.approx(rows[-1]["psnr_latents_db"], abs=0.02)
