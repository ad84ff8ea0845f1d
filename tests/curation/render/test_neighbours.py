"""Clips of a source come out of one decode, with the bytes that each has alone."""

import dataclasses

import pytest

from curation.media import encode as encode_module
from curation.media.encode import MAX_NEIGHBOURS
from curation.render.stage import RenderBatch, RenderClips
from curation.sample import Coding

pytestmark = pytest.mark.media

FRAMES = 96
SPANS = ((0, 5), (5, 30), (41, 60), (60, None))


@pytest.fixture
def scanned(made, scan_spans):
    """A source cut into spans."""

    def get(name, frames, *spans):
        coding = (
            Coding("mpeg2video", interlaced=True, gop=12)
            if "fields" in name
            else Coding(sound="mp4" in name)
        )
        return scan_spans(made(name, frames, coding), *spans)

    return get


@pytest.fixture
def decodes(monkeypatch):
    """How many clips each ffmpeg of an encode wrote."""
    counts = []
    encode = encode_module._encode

    def counted(path, jobs, *others):
        counts.append(len(jobs))
        return encode(path, jobs, *others)

    monkeypatch.setattr(encode_module, "_encode", counted)
    return counts


def render(source, clips, folder, **settings):
    work = RenderClips(output=str(folder), **settings).setup()
    return work(RenderBatch(source, tuple(clips)))


@pytest.mark.parametrize(
    ("name", "settings"),
    [
        ("neighbours.mp4", {"fps": 10.0}),
        ("neighbours.mp4", {"audio": "keep", "longest_side": 160}),
        ("neighbours.ts", {}),
        ("neighbours.h264", {}),
        ("neighbours_fields.ts", {}),
    ],
)
def test_neighbours_have_the_bytes_of_clips_alone(name, settings, scanned, decodes, tmp_path):
    result = scanned(name, FRAMES, *SPANS)
    encoding = dataclasses.replace(RenderClips().encoding, **settings)
    together = render(result.source, result.clips, tmp_path / "together", encoding=encoding)
    assert decodes == [len(SPANS)]
    alone = [
        row
        for clip in result.clips
        for row in render(result.source, [clip], tmp_path / "alone", encoding=encoding)
    ]
    assert together == alone
    assert {row.outcome for row in together} == {"rendered"}


def test_clips_far_apart_and_many_clips_have_several_decodes(scanned, decodes, tmp_path):
    spans = [(first, first + 2) for first in range(0, 2 * MAX_NEIGHBOURS + 2, 2)]
    result = scanned("neighbours_many.mp4", 300, *spans, (280, None))
    rows = render(result.source, result.clips, tmp_path)
    assert {row.outcome for row in rows} == {"rendered"}
    assert decodes == [MAX_NEIGHBOURS, 1, 1]


def test_a_clip_that_cannot_be_cut_leaves_its_neighbours_whole(scanned, decodes, tmp_path):
    result = scanned("neighbours.mp4", FRAMES, *SPANS)
    clips = list(result.clips[1:])
    clips[2] = dataclasses.replace(clips[2], end_frame=FRAMES + 1)
    rows = render(result.source, clips, tmp_path)
    assert [row.outcome for row in rows] == ["rendered", "rendered", "failed"]
    assert rows[2].reason == "corrupt"
    assert (decodes[0], set(decodes[1:])) == (3, {1}), "the others were encoded once"
    assert len(decodes) == 1 + 3, "alone it is tried from three places"
