from pathlib import Path

import numpy as np
import pytest

from curation import records
from curation.dataset import Dataset
from curation.records import Clip, Render
from tests import rows
from tests.tokenizer.conftest import encode, moving_pattern
from tests.tokenizer.models.causal.conftest import SMALL
from tokenizer.train import loop
from tokenizer.train.crops import CropsMetadata, compress_crop, write_crops


def rendered_clips(place: Path, listed: list[tuple[str, str]]) -> Dataset:
    """An output with one clip of 20 frames for each recording and licence."""
    dataset = Dataset(place)
    for number, (recording, licence) in enumerate(listed):
        clip = rows.make_clip(str(number) * 64, 0, 20)
        extra = {"recording": recording, "licence": licence}
        looks, uri = [rows.MeasuredClip(clip)], f"/v/{number}.mp4"
        rows.add_source(dataset, uri, looks, tables={"clips": Clip}, extra=extra)
        encode(place / f"{number}.mp4", moving_pattern(20, speed=1 + number))
        facts = {"width": 96, "height": 64, "frames": 20, "fps": 24.0, "mode": "encode"}
        facts |= rows.file_facts(place / f"{number}.mp4")
        render = Render(clip.clip_id, clip.source_id, "rendered", path=f"{number}.mp4", **facts)
        dataset.catalog.append("renders/encode-1", Render, records.to_table(Render, [render]))
    return dataset


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Networks small enough to train in a test."""
    monkeypatch.setattr(loop, "CONFIGS", SMALL)


def _turned(place: int) -> np.ndarray:
    crop = np.roll(moving_pattern(17, 48, 48, speed=0.5 + place / 4), 5 * place, axis=2)
    flipped = np.flip(crop, [axis for axis in (0, 1, 2) if place >> axis & 1])
    return np.ascontiguousarray(flipped.swapaxes(1, 1 + place % 2))


@pytest.fixture
def packed(tmp_path: Path) -> Path:
    """Twelve crops of patterns that move in all directions, three of them for validation."""
    crops = [_turned(place) for place in range(12)]
    parts = {"train": map(compress_crop, crops[:9]), "validation": map(compress_crop, crops[9:])}
    facts = CropsMetadata(17, 48, {"train": ["a"], "validation": ["b"]}, {"CC0": 12})
    write_crops(tmp_path / "crops.safetensors", parts, facts)
    return tmp_path / "crops.safetensors"


@pytest.fixture(params=["4x8x8", "8x8x8"])
def rate(request: pytest.FixtureRequest) -> str:
    return request.param
