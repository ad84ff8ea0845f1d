"""A copied clip is made of its source's own packets, or it is encoded instead."""

from pathlib import Path

import av
import pytest

from curation.media import sandbox
from curation.media.clip_reader import ClipReader
from curation.media.cut import Span
from curation.media.encode import Encoding
from curation.media.remux import copy_packets
from curation.render.stage import RenderBatch, RenderClips
from curation.sample import Coding, read_number

pytestmark = pytest.mark.media

ALIGNED = ((0, 24), (24, 72), (48, None))
CLOSED = {
    "closed.mp4": Coding(gop=24),
    "closed_b.mp4": Coding(gop=24, b_frames=3),
    "closed_b.mkv": Coding(gop=24, b_frames=3),
    "closed_sound.mp4": Coding(gop=24, b_frames=3, sound=True),
    "closed_b.ts": Coding(gop=24, b_frames=3),
    "closed_hevc.mp4": Coding("libx265", gop=24),
}


def render(result, folder, **settings):
    work = RenderClips(output=str(folder), mode="copy", **settings).setup()
    rows = work(RenderBatch(result.source, tuple(result.clips)))
    return [(row, Path(folder) / row.path) for row in rows]


def numbers(path):
    with av.open(str(path)) as container:
        return [read_number(frame.to_ndarray(format="rgb24")) for frame in container.decode()]


@pytest.mark.parametrize("name", CLOSED)
def test_spans_between_key_frames_are_copied(name, made, scan_spans, packets, tmp_path):
    """The packets are the source's, but in a transport stream start codes become lengths."""
    source = made(name, 72, CLOSED[name])
    all_packets = packets(source)
    result = scan_spans(source, *ALIGNED)
    for (row, path), clip in zip(render(result, tmp_path), result.clips, strict=True):
        assert (row.mode, row.codec, row.audio) == ("copy", result.source.codec, False)
        assert (row.frames, row.width, row.height) == (clip.end_frame - clip.start_frame, 320, 180)
        assert numbers(path) == list(range(clip.start_frame, clip.end_frame))
        if not name.endswith(".ts"):
            assert packets(path) == all_packets[clip.start_frame : clip.end_frame]


def test_a_copy_reads_back_with_decord(made, scan_spans, tmp_path):
    result = scan_spans(made("closed_b.mp4", 72, CLOSED["closed_b.mp4"]), (24, 48))
    [(row, path)] = render(result, tmp_path)
    reader = ClipReader(path.read_bytes(), width=320, height=180, frames=row.frames)
    pictures = reader.read([0, 5, 23])
    assert [read_number(picture) for picture in pictures] == [24, 29, 47]


def test_other_spans_are_encoded(made, scan_spans, tmp_path):
    spans = ((23, 48), (24, 47), (30, 40), (1, 24))
    result = scan_spans(made("closed_b.mp4", 72, CLOSED["closed_b.mp4"]), *spans)
    for (row, path), span in zip(render(result, tmp_path), spans, strict=True):
        assert (row.mode, row.frames) == ("encode", span[1] - span[0])
        assert numbers(path) == list(range(*span))


def open_groups(made, ffmpeg, tmp_path, codec):
    """Frames shown before a key frame are stored after it and refer to the group before."""
    if codec == "hevc":
        return made("open.mp4", 72, Coding("libx265", gop=24, b_frames=3))
    path = tmp_path / "open.mp4"
    options = "open-gop=1:keyint=24:min-keyint=24:scenecut=0:bframes=3:b-adapt=0"
    source = made("closed_b.mp4", 72, CLOSED["closed_b.mp4"])
    ffmpeg("-i", source, "-c:v", "libx264", "-x264-params", options, "-threads", 1, path)
    return path


@pytest.mark.parametrize("codec", ["h264", "hevc"])
def test_open_groups_are_encoded_unless_copied_whole(codec, made, scan_spans, ffmpeg, tmp_path):
    source = open_groups(made, ffmpeg, tmp_path, codec)
    with av.open(str(source)) as container:
        stored = [p for p in container.demux(video=0) if p.pts is not None]
        keys = [n for n, p in enumerate(stored) if p.is_keyframe]
        assert all(min(p.pts for p in stored[key:]) < stored[key].pts for key in keys[1:])
    result = scan_spans(source, (0, 24), (24, 48), (48, None), (0, None))
    renders = render(result, tmp_path)
    assert [row.mode for row, _ in renders] == ["encode", "encode", "encode", "copy"]
    expected = [list(range(*span)) for span in ((0, 24), (24, 48), (48, 72), (0, 72))]
    assert [numbers(path) for _, path in renders] == expected


@pytest.mark.parametrize(
    ("name", "coding", "encoding"),
    [
        ("closed.mp4", CLOSED["closed.mp4"], Encoding(fps=12)),
        ("closed.mp4", CLOSED["closed.mp4"], Encoding(longest_side=160)),
        ("closed_sound.mp4", CLOSED["closed_sound.mp4"], Encoding(audio="keep")),
        ("turned.mp4", Coding(gop=24, rotation=180), Encoding()),
        ("wide.mp4", Coding(gop=24, pixel_aspect="4/3"), Encoding()),
        ("hdr.mp4", Coding("libx265", "yuv420p10le", gop=24, pq=True), Encoding()),
        ("vp9.webm", Coding("libvpx-vp9", gop=24), Encoding()),
    ],
    ids=["rate", "size", "sound", "rotation", "pixel_aspect", "hdr", "codec"],
)
def test_what_packets_cannot_show_is_encoded(*, name, coding, encoding, made, scan_spans, tmp_path):
    result = scan_spans(made(name, 72, coding), (24, 48))
    [(row, _)] = render(result, tmp_path, encoding=encoding)
    assert (row.mode, row.codec) == ("encode", "h264")


@pytest.mark.parametrize(
    ("name", "span", "words"),
    [
        ("closed_b.mp4", (23, 48), "the span does not start on a key frame"),
        ("closed_b.mp4", (24, 47), "the span does not end before a key frame"),
        ("raw.h264", (24, 48), "the stream has no times of its own"),
        ("open.mp4", (0, 24), "21 packets for 24 frames"),
        ("open.mp4", (24, 48), "frames before the first key frame are stored after it"),
    ],
)
def test_a_refusal_says_why(*, name, span, words, made, scan_spans, tmp_path):
    codings = {"raw.h264": Coding(b_frames=2), "open.mp4": Coding("libx265", gop=24, b_frames=3)}
    path = made(name, 72, codings.get(name, CLOSED["closed_b.mp4"]))
    result = scan_spans(path, span)
    requested = Span.of(result.clips[0], result.source)
    target = tmp_path / "copy.mp4"
    assert copy_packets(str(path), str(target), requested, sandbox.Limits()) == words
    assert not target.exists()


def test_a_long_transport_stream_is_cut_and_copied_after_a_seek(made, scan_spans, tmp_path):
    coding = Coding(gop=48, b_frames=2)
    path = made("long.ts", 600, coding, size=(160, 96))
    result = scan_spans(path, (480, 528), (555, 561))
    (copied, one), (encoded, two) = render(result, tmp_path)
    assert (copied.mode, numbers(one)) == ("copy", list(range(480, 528)))
    assert (encoded.mode, numbers(two)) == ("encode", list(range(555, 561)))


@pytest.mark.parametrize("name", ["closed_b.mp4", "closed_b.ts"])
def test_copies_are_the_same_every_time(name, made, scan_spans, tmp_path):
    result = scan_spans(made(name, 72, CLOSED[name]), (24, 48))
    first, second = (render(result, tmp_path / run)[0][0].sha256 for run in ("first", "second"))
    assert first == second
