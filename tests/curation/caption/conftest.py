"""Rendered clips to caption, tiny models on disk, and a server in a process of its own."""

from pathlib import Path

import numpy as np
import pytest
import torch

from curation.caption.base import CaptionClip
from curation.media.video_writer import write_video
from tests.curation.caption.clips import clip_of
from tests.curation.caption.serving import Server, serving


@pytest.fixture(scope="session", autouse=True)
def one_thread():
    """Models are tiny here, and tests run beside each other."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="session")
def running():
    with serving() as server:
        yield server


@pytest.fixture
def server(running) -> Server:
    """The server, well-behaved."""
    running.plan()
    return running


@pytest.fixture(scope="session")
def llava(tmp_path_factory) -> Path:
    from tests.curation.caption.models import write_llava

    return write_llava(tmp_path_factory.mktemp("llava"))


@pytest.fixture(scope="session")
def llama(tmp_path_factory) -> Path:
    from tests.curation.caption.models import write_llama

    return write_llama(tmp_path_factory.mktemp("llama"))


@pytest.fixture(scope="session")
def clips(tmp_path_factory) -> list[CaptionClip]:
    """Four clips of 48 frames in one gray each, but for a corner that flickers."""
    folder = tmp_path_factory.mktemp("clips")
    clips = []
    for index, gray in enumerate((40, 90, 150, 220)):
        video = np.full((48, 64, 96, 3), gray, np.uint8)
        video[::2, :8, :8] = 255 - gray
        write_video(folder / f"{index}.mp4", video, 24.0)
        clips.append(clip_of(folder / f"{index}.mp4", f"c{index}", 48))
    return clips


@pytest.fixture
def missing_clip(tmp_path) -> CaptionClip:
    """A clip without its file."""
    return clip_of(tmp_path / "missing.mp4", "missing", 48)
