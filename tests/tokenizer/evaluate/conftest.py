import dataclasses
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
import torch

from tokenizer.evaluate.candidate import Subject
from tokenizer.models.inference import Placement
from tokenizer.models.interface import Video
from tokenizer.tokenize.clip_windows import ClipFile


@pytest.fixture(scope="session", autouse=True)
def one_thread() -> Iterator[None]:
    """Pictures are small here, and tests run beside each other."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="session")
def subject() -> Callable[..., Subject]:
    return lambda name="pca-8x8x8": Subject.load(name, Placement())


@pytest.fixture(scope="module")
def clip_of(tmp_path_factory, write_clip) -> Callable[[Video], ClipFile]:
    """A rendered clip of these frames."""
    folder = tmp_path_factory.mktemp("clips")

    def make(video: Video, name: str = "clip") -> ClipFile:
        path = folder / f"{name}-{len(list(folder.iterdir()))}.mp4"
        write_clip(path, video)
        frames, height, width, _ = video.shape
        return ClipFile(name, f"source of {name}", str(path), frames, width, height, 24.0, 0, 0.0)

    return make


@pytest.fixture
def cut_short() -> Callable[[ClipFile], None]:
    """Takes the end of a clip's file away."""

    def cut(clip: ClipFile) -> None:
        content = Path(clip.uri).read_bytes()
        Path(clip.uri).write_bytes(content[: len(content) * 2 // 3])

    return cut


@pytest.fixture
def nan() -> Callable[[Subject], Subject]:
    """The same tokenizer with a broken weight."""

    def broken(subject: Subject) -> Subject:
        pca = subject.tokenizer
        mean = np.full_like(pca.group.mean, np.nan)
        group = dataclasses.replace(pca.group, mean=mean)
        return dataclasses.replace(subject, tokenizer=dataclasses.replace(pca, group=group))

    return broken
