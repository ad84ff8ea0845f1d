"""A rendered file is read only if its bytes are those that render wrote."""

import contextlib
import ctypes
import dataclasses
import os
import shutil
from pathlib import Path

import numpy as np
import pytest

from curation import records
from curation.errors import MediaError
from curation.listing import entry_at
from curation.media.clip_reader import ClipReader
from curation.media.sandbox import Limits
from curation.records import Clip
from curation.render.rendered_clip import frame_reader, open_rendered_clip, rendered_clip
from curation.render.stage import RenderBatch, RenderClips
from curation.sample import Coding, read_number, write_numbered_video
from curation.scan.shots import FixedWindows
from curation.scan.stage import Scan, ScanItem
from curation.storage import Storage
from tests.rows import file_facts

pytestmark = pytest.mark.media
IN_OPEN = 0x20


@pytest.fixture(scope="module")
def scanned(tmp_path_factory):
    path = tmp_path_factory.mktemp("source") / "source.mp4"
    write_numbered_video(path, 48, coding=Coding(gop=12))
    stage = Scan(shots=FixedWindows(1.0), max_clip_s=1e9, scores=())
    result = stage.setup()(ScanItem(entry_at(str(path), {})))
    return result.source, records.from_table(Clip, result.clips)[1]


@pytest.fixture(scope="module", params=["encode", "copy"])
def rendered(request, scanned, tmp_path_factory):
    """The second second of the source, and another video beside it."""
    source, clip = scanned
    out = tmp_path_factory.mktemp("out")
    [render] = RenderClips(output=str(out), mode=request.param).setup()(
        RenderBatch(source, (clip,))
    )
    assert render.mode == request.param
    rendered = rendered_clip(render, clip, source, Storage.at(out))
    foreign = Path(rendered.uri).with_name("foreign.mp4")
    write_numbered_video(foreign, 24, first=100, coding=Coding(gop=12))
    return rendered


@pytest.fixture
def clip(rendered, tmp_path):
    shutil.copytree(Path(rendered.uri).parent, tmp_path, dirs_exist_ok=True)
    return dataclasses.replace(rendered, uri=str(tmp_path / Path(rendered.uri).name))


@pytest.fixture
def foreign(clip):
    """A video whose name nothing but a playlist mentions."""
    return Path(clip.uri).with_name("foreign.mp4")


def playlist(clip: Path, foreign: Path) -> bytes:
    head = "#EXTM3U\n#EXT-X-VERSION:3\n#EXT-X-TARGETDURATION:1\n#EXTINF:1.0,\n"
    return f"{head}{foreign.name}\n#EXT-X-ENDLIST\n".encode()


def concat_script(clip: Path, foreign: Path) -> bytes:
    return f"ffconcat version 1.0\nfile {foreign.name}\n".encode()


def other_video(clip: Path, foreign: Path) -> bytes:
    return foreign.read_bytes()


def truncated(clip: Path, foreign: Path) -> bytes:
    return clip.read_bytes()[:-1000]


def flipped(clip: Path, foreign: Path) -> bytes:
    content = bytearray(clip.read_bytes())
    content[len(content) * 2 // 3] ^= 0x10
    return bytes(content)


def appended(clip: Path, foreign: Path) -> bytes:
    return clip.read_bytes() + bytes(8)


REPLACEMENTS = (playlist, concat_script, other_video, truncated, flipped, appended)


def by_name(function):
    return function.__name__


@contextlib.contextmanager
def opened(path):
    """How often a file is opened, by anything and in any language."""
    libc, counts = ctypes.CDLL(None, use_errno=True), []
    descriptor = libc.inotify_init1(os.O_NONBLOCK)
    assert libc.inotify_add_watch(descriptor, os.fsencode(path), IN_OPEN) >= 0
    yield counts
    with contextlib.suppress(BlockingIOError):
        counts.append(os.read(descriptor, 4096))
    os.close(descriptor)


def read(clip):
    with open_rendered_clip(clip) as path:
        frames, _ = frame_reader(path, clip, clip.width, clip.height, Limits())
        return frames(range(clip.frames))


def test_the_file_that_render_wrote_is_read(clip):
    frames = read(clip)
    assert [read_number(frame) for frame in frames] == list(range(24, 48))


@pytest.mark.parametrize("content", REPLACEMENTS, ids=by_name)
def test_another_file_in_its_place_is_not_opened(clip, foreign, content):
    path = Path(clip.uri)
    path.write_bytes(content(path, foreign))
    with opened(foreign) as opens, pytest.raises(MediaError) as error:
        read(clip)
    assert error.value.reason == "changed"
    assert "other bytes than were rendered" in error.value.detail
    assert opens == []


@pytest.mark.parametrize(
    "content", [playlist, concat_script], ids=lambda function: function.__name__
)
def test_a_table_that_vouches_for_a_playlist_is_not_believed(clip, foreign, content):
    """Whoever can write tables as well still makes decord open nothing else."""
    path = Path(clip.uri)
    path.write_bytes(content(path, foreign))
    with opened(foreign) as opens, pytest.raises(MediaError) as error:
        read(dataclasses.replace(clip, **file_facts(path)))
    assert error.value.reason == "corrupt"
    assert opens == []


def test_decord_alone_would_open_what_a_playlist_names(clip, foreign):
    """So the tests above could fail."""
    import decord

    path = Path(clip.uri)
    path.write_bytes(concat_script(path, foreign))
    with opened(foreign) as opens, contextlib.suppress(Exception):
        decord.VideoReader(str(path), ctx=decord.cpu(0))
    assert len(opens) == 1


def test_clips_are_read_from_memory(clip):
    """A file that changes after the digest was compared changes nothing."""
    data = Path(clip.uri).read_bytes()
    reader = ClipReader(data, width=clip.width, height=clip.height, frames=24)
    Path(clip.uri).write_bytes(b"changed")
    assert reader.times is not None
    assert [read_number(frame) for frame in reader.read([3, 0, 23])] == [27, 24, 47]
    assert np.array_equal(reader.read([5]), reader.read([5]))
