import dataclasses
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
import torch

from curation.render.rendered_clip import RenderedClip
from tests.rows import file_facts
from tokenizer.evaluate.roundtrip import Candidate
from tokenizer.models.inference import DeviceConfig
from tokenizer.models.interface import Video


@pytest.fixture(scope="session", autouse=True)
def one_thread() -> Iterator[None]:
    """Pictures are small here, and tests run beside each other."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="session")
def candidate() -> Callable[..., Candidate]:
    return lambda name="pca-8x8x8": Candidate.load(name, DeviceConfig())


@pytest.fixture(scope="module")
def clip_of(tmp_path_factory, write_clip) -> Callable[[Video], RenderedClip]:
    """A rendered clip of these frames."""
    folder = tmp_path_factory.mktemp("clips")

    def make(video: Video, name: str = "clip") -> RenderedClip:
        path = folder / f"{name}-{len(list(folder.iterdir()))}.mp4"
        write_clip(path, video)
        frames, height, width, _ = video.shape
        return RenderedClip(
            name,
            f"source of {name}",
            str(path),
            frames,
            width,
            height,
            24.0,
            0,
            0.0,
            **file_facts(path),
        )

    return make


@pytest.fixture
def cut_short() -> Callable[[RenderedClip], None]:
    """Takes the end of a clip's file away."""

    def cut(clip: RenderedClip) -> None:
        content = Path(clip.uri).read_bytes()
        Path(clip.uri).write_bytes(content[: len(content) * 2 // 3])

    return cut


@pytest.fixture
def nan() -> Callable[[Candidate], Candidate]:
    """The same tokenizer with a broken weight."""

    def broken(candidate: Candidate) -> Candidate:
        pca = candidate.tokenizer
        mean = np.full_like(pca.group.mean, np.nan)
        group = dataclasses.replace(pca.group, mean=mean)
        return dataclasses.replace(candidate, tokenizer=dataclasses.replace(pca, group=group))

    return broken
