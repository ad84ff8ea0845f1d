import json
import re
from fractions import Fraction
from itertools import islice, pairwise
from pathlib import Path

import av
import numpy as np
import pytest
from av.video.frame import PictureType
from PIL import Image

from curation.sample import (
    SOURCES,
    TRUTH_FILE,
    Coding,
    SampleTruth,
    read_number,
    read_truth,
    write_numbered_video,
    write_sample,
)
from curation.sample.encode import encode
from curation.sample.film import Film, Shot
from curation.sample.number import draw_number
from tests.run_folder import made_once

pytestmark = pytest.mark.slow


def decode(path: Path) -> list[np.ndarray]:
    with av.open(str(path)) as container:
        return [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]


def detail(path: Path) -> float:
    """Variance of the Laplacian of one frame."""
    grey = frame_at(path, 40).mean(axis=2)
    inner = 4 * grey[1:-1, 1:-1] - grey[:-2, 1:-1] - grey[2:, 1:-1]
    return float((inner - grey[1:-1, :-2] - grey[1:-1, 2:]).var())


def frame_at(path: Path, number: int) -> np.ndarray:
    with av.open(str(path)) as container:
        frames = container.decode(video=0)
        return next(islice(frames, number, None)).to_ndarray(format="rgb24")


def numbers(path: Path) -> list[int]:
    return [read_number(frame) for frame in decode(path)]


@pytest.fixture(scope="module")
def sample(tmp_path_factory):
    folder, truths = made_once(tmp_path_factory, "sample", write_sample)
    return folder, {truth.file: truth for truth in truths}


def test_the_truth_file_equals_the_return_value(sample):
    folder, truths = sample
    assert read_truth(folder) == list(truths.values())
    assert {path.name for path in folder.iterdir()} == {*SOURCES, TRUTH_FILE}
    assert len(json.loads((folder / TRUTH_FILE).read_text())) == len(SOURCES)


def test_frame_counts_equal_the_truth(sample):
    folder, truths = sample
    for truth in truths.values():
        if truth.expect != "failed":
            with av.open(str(folder / truth.file)) as container:
                assert sum(1 for _ in container.decode(video=0)) == truth.frames, truth.file
                rate = float(container.streams.video[0].average_rate)
                assert rate == pytest.approx(truth.fps, rel=0.01), truth.file


@pytest.mark.parametrize("name", ["journey.mp4", "city.mkv", "seasons.mov"])
def test_pictures_change_exactly_at_the_cuts(sample, name):
    folder, truths = sample
    small = [frame[::6, ::6].astype(np.int16) for frame in decode(folder / name)]
    jumps = [int(np.abs(b - a).mean()) for a, b in pairwise(small)]
    cuts = [frame for frame, jump in enumerate(jumps, 1) if jump > 30]
    assert tuple(cuts) == truths[name].hard_cuts


def test_one_shot_is_too_short_and_one_change_is_gradual(sample):
    _, truths = sample
    assert (75, 87) in truths["city.mkv"].shots
    assert truths["seasons.mov"].dissolves == ((44, 60),)
    assert truths["seasons.mov"].shots == [(0, 44), (60, 110), (110, 170)]


def test_bad_sources_have_their_faults(sample):
    folder, _ = sample
    assert max(frame.max() for frame in decode(folder / "black.mp4")) < 20
    assert 20 < np.mean(frame_at(folder / "night.mp4", 40)) < 60
    frozen = np.array(decode(folder / "frozen.mp4"), np.int16)
    assert np.abs(frozen - frozen[0]).mean() < 1.5
    boxed = frame_at(folder / "letterboxed.mp4", 40)
    assert boxed[:32].max() < 24
    assert boxed[-32:].max() < 24
    assert boxed[40:-40].mean() > 60

    sharp = ("journey.mp4", "city.mkv", "seasons.mov", "flight_copy.mkv", "webcam.mp4")
    assert detail(folder / "blurred.mp4") * 10 < min(detail(folder / name) for name in sharp)


def test_broken_sources_do_not_decode(sample):
    folder, _ = sample
    for name in ("corrupt.mp4", "notes.mp4", "empty.mp4"):
        with pytest.raises(av.error.InvalidDataError):
            decode(folder / name)


def test_copy_looks_like_its_original(sample):
    folder, truths = sample
    original, copy = (frame_at(folder / name, 120) for name in ("flight.mp4", "flight_copy.mkv"))
    assert truths["flight_copy.mkv"].duplicate_of == "flight.mp4"
    assert copy.shape == (224, 400, 3)
    tiny = [np.asarray(Image.fromarray(frame).resize((16, 9)), float) for frame in (original, copy)]
    assert np.corrcoef(tiny[0].ravel(), tiny[1].ravel())[0, 1] > 0.99
    assert 4 < tiny[1].mean() - tiny[0].mean() < 14


def test_phone_is_stored_rotated_and_displayed_upright(sample):
    folder, _ = sample
    with av.open(str(folder / "phone.mp4")) as container:
        frame = next(container.decode(video=0))
        assert (frame.width, frame.height) == (480, 270)
        assert frame.rotation % 360 == 270


def test_webcam_changes_its_rate(sample):
    folder, _ = sample
    with av.open(str(folder / "webcam.mp4")) as container:
        times = [frame.time for frame in container.decode(video=0)]
    steps = np.diff(times)
    assert steps[:59] == pytest.approx(1 / 30, abs=1e-3)
    assert steps[61:] == pytest.approx(1 / 15, abs=1e-3)


def test_same_bytes_every_time(sample, tmp_path):
    folder, _ = sample
    for name in ("webcam.mp4", "phone.mp4", "corrupt.mp4"):
        SOURCES[name](tmp_path / name)
        assert (tmp_path / name).read_bytes() == (folder / name).read_bytes(), name


VARIANTS = {
    "plain.mp4": Coding(crf=30),
    "b_frames.mp4": Coding(b_frames=3, gop=250),
    "variable.mp4": Coding(slow_from=20),
    "sound.mp4": Coding(sound=True),
    "matroska.mkv": Coding(b_frames=2),
    "transport.ts": Coding(),
    "raw.h264": Coding(),
    "old.avi": Coding("mpeg4"),
    "eight.webm": Coding("libvpx", crf=30),
    "nine.webm": Coding("libvpx-vp9", crf=30),
    "hevc.mp4": Coding("libx265", crf=30, b_frames=2),
    "ten_bits.mp4": Coding(pixel_format="yuv420p10le"),
    "pq.mp4": Coding("libx265", "yuv420p10le", pq=True),
    "fields.mpg": Coding("mpeg2video", interlaced=True, gop=12),
    "anamorphic.mp4": Coding(pixel_aspect="4/3"),
    "lossless.mkv": Coding("ffv1"),
    "half.mp4": Coding(crf=30, scale=(160, 90)),
}


@pytest.mark.parametrize("name", VARIANTS)
def test_numbers_read_back(tmp_path, name):
    assert numbers(write_numbered_video(tmp_path / name, 40, coding=VARIANTS[name])) == list(
        range(40)
    )


def test_numbers_read_back_at_odd_size_with_cuts(tmp_path):
    coding = Coding(pixel_format="yuv444p")
    path = write_numbered_video(
        tmp_path / "odd.mp4", 40, 30, (253, 141), coding, first=65496, cuts=(10, 25)
    )
    frames = decode(path)
    assert frames[0].shape == (141, 253, 3)
    assert [read_number(frame) for frame in frames] == list(range(65496, 65536))
    jumps = [np.abs(b.astype(int) - a)[40:].mean() for a, b in pairwise(frames)]
    assert set(np.argsort(jumps)[-2:] + 1) == {10, 25}


@pytest.mark.parametrize("rotation", [90, 180, 270])
def test_numbers_read_back_after_rotation(tmp_path, rotation):
    path = write_numbered_video(
        tmp_path / "turned.mp4", 5, size=(180, 320), coding=Coding(rotation=rotation)
    )
    with av.open(str(path)) as container:
        frames = list(container.decode(video=0))
    assert {-frame.rotation % 360 for frame in frames} == {rotation}
    upright = [np.rot90(frame.to_ndarray(format="rgb24"), -rotation // 90) for frame in frames]
    assert upright[0].shape == (320, 180, 3)
    assert [read_number(frame) for frame in upright] == list(range(5))


def test_variants_are_encoded_as_specified(tmp_path):
    def first(name):
        with av.open(
            str(write_numbered_video(tmp_path / name, 30, coding=VARIANTS[name]))
        ) as container:
            return container, list(container.decode(video=0))

    assert first("fields.mpg")[1][3].interlaced_frame
    assert first("ten_bits.mp4")[1][0].format.name == "yuv420p10le"
    assert first("pq.mp4")[1][0].color_trc == 16
    assert first("half.mp4")[1][0].width == 160
    steps = np.diff([frame.time for frame in first("variable.mp4")[1]])
    assert steps[[5, 25]] == pytest.approx([1 / 24, 2 / 24], abs=1e-3)
    assert any(frame.pict_type == PictureType.B for frame in first("b_frames.mp4")[1])
    keys = [n for n, frame in enumerate(first("fields.mpg")[1]) if frame.key_frame]
    assert keys == [0, 12, 24]
    with av.open(str(tmp_path / "fields.mpg")) as container:
        assert not container.streams.audio
    with av.open(
        str(write_numbered_video(tmp_path / "s.mp4", 24, coding=Coding(sound=True)))
    ) as container:
        assert container.streams.audio[0].duration / 48000 == pytest.approx(1.0, abs=0.1)
    with av.open(
        str(write_numbered_video(tmp_path / "a.mp4", 2, coding=Coding(pixel_aspect="4/3")))
    ) as container:
        assert container.streams.video[0].sample_aspect_ratio == Fraction(4, 3)


def test_read_number_refuses_missing_and_damaged_numbers():
    picture = Image.new("RGB", (320, 180), (128, 128, 128))
    with pytest.raises(ValueError, match=r"no frame number: levels are 128 and 128"):
        read_number(np.asarray(picture))
    draw_number(picture, 1000)
    grey = np.asarray(picture.convert("L")).copy()
    assert read_number(grey) == 1000
    grey[:30, 16 * 17 : 16 * 18] ^= 255
    with pytest.raises(ValueError, match="frame number 1001 has the wrong parity"):
        read_number(grey)
    with pytest.raises(ValueError, match=r"65536 is outside 0\.\.65535"):
        draw_number(picture, 65536)


def test_numbered_video_refuses_cuts_that_do_not_increase(tmp_path):
    with pytest.raises(ValueError, match=r"cuts \[5, 5\] must rise and lie between 0 and 10"):
        write_numbered_video(tmp_path / "x.mp4", 10, cuts=(5, 5))
    assert list(tmp_path.iterdir()) == []


def test_encode_leaves_nothing_behind_when_it_fails(tmp_path):
    with pytest.raises(ValueError, match="no pictures"):
        encode(tmp_path / "none.mp4", [], fps=24)
    pictures = [Image.new("RGB", (64, 64))] * 3
    with pytest.raises(RuntimeError, match=re.escape("no_such_codec")):
        encode(tmp_path / "bad.mp4", pictures, fps=24, coding=Coding("no_such_codec"))
    assert list(tmp_path.iterdir()) == []


def test_film_has_its_cuts_and_dissolves():
    plain = [lambda _, c=colour: Image.new("RGB", (4, 4), (c, c, c)) for colour in (0, 100, 200)]
    film = Film([Shot(plain[0], 6), Shot(plain[1], 7, dissolve=3), Shot(plain[2], 2)], 10)
    assert (film.hard_cuts, film.dissolves) == ((10,), ((3, 6),))
    levels = [picture.getpixel((0, 0))[0] for picture in film.pictures()]
    assert levels == [0, 0, 0, 25, 50, 75, 100, 100, 100, 100, 200, 200]
    with pytest.raises(ValueError, match="shot 1 dissolves over 5 frames"):
        Film([Shot(plain[0], 4), Shot(plain[1], 9, dissolve=5)], 10)


def test_shots_of_a_truth_exclude_dissolves():
    truth = SampleTruth("a.mp4", 20, 10.0, hard_cuts=(15,), dissolves=((5, 8),))
    assert truth.shots == [(0, 5), (8, 15), (15, 20)]
