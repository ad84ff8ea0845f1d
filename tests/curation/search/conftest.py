"""An output whose clips are known: vectors of four kinds of scene, captions, labels of the list."""

import functools
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from curation import records
from curation.dataset import Dataset
from curation.embed.descriptor import FrameDct
from curation.records import Caption
from curation.search import Search
from tests import rows

KINDS = ("bright street", "dark street", "bright forest", "dark forest")
CAPTIONS = "captions/facts"


def source_id(number: int) -> str:
    return f"{number:064x}"


def looks_of(number: int, clips: int = 8, seed: int = 0) -> list[rows.MeasuredClip]:
    """Clips of one source: clip i looks like its kind, i modulo 4, and moves by i / 8."""
    rng = np.random.default_rng((seed, number))
    looks = []
    for at in range(clips):
        vector = np.zeros(FrameDct.dim)
        vector[at % 4] = 1
        vector[4:] = rng.standard_normal(FrameDct.dim - 4) * 0.005
        clip = rows.make_clip(source_id(number), at * 48, at * 48 + 48, (0, 48 * clips))
        shows = np.eye(77)[at % 4]
        vector /= np.linalg.norm(vector)
        looks.append(rows.MeasuredClip(clip, vector, shows, {"motion": at / 8}))
    return looks


def add_captions(dataset: Dataset, looks: list[rows.MeasuredClip]) -> None:
    """Adds captions of clips, by kind."""
    texts = [f"A {KINDS[at % 4]} with walkers" for at in range(len(looks))]
    captions = [
        Caption(x.clip.clip_id, x.clip.source_id, t) for x, t in zip(looks, texts, strict=True)
    ]
    dataset.catalog.append(CAPTIONS, Caption, records.to_table(Caption, captions))


def add_source(
    out: Path, number: int, captions: bool = True, **more: object
) -> list[rows.MeasuredClip]:
    """Adds a source to an output; returns its clips."""
    dataset, looks = Dataset(out), looks_of(number)
    rows.add_source(dataset, f"/v/{number}.mp4", looks, **more)
    if captions:
        add_captions(dataset, looks)
    return looks


@pytest.fixture(scope="session")
def shared_search(tmp_path_factory) -> Search:
    """Two sources of eight clips each, the second of a camera at the rear; read only."""
    out = tmp_path_factory.mktemp("searched") / "out"
    add_source(out, 1, extra={"place": "front"})
    add_source(out, 2, extra={"place": "rear"})
    return Search(out)


@pytest.fixture
def out(tmp_path, shared_search) -> Path:
    """The same output with its index, to change."""
    place = tmp_path / "out"
    shutil.copytree(shared_search.dataset.catalog.storage.root, place)
    return place


@pytest.fixture
def add(out) -> Callable[..., list[rows.MeasuredClip]]:
    """Adds a source to `out`."""
    return functools.partial(add_source, out)


@pytest.fixture
def search(out) -> Search:
    return Search(out)
