"""The weight-free vector: near for copies of a clip, far for other clips."""

import numpy as np
import pytest
from PIL import Image

from curation.embed.descriptor import FrameDct, segment_pool
from curation.listing import entry_at
from curation.sample import Coding
from curation.sample.encode import encode
from curation.sample.scenes import SCENES
from curation.scan.collector import EMBEDDINGS
from curation.scan.shots import FixedWindows
from curation.scan.stage import Scan, ScanItem
from curation.scores import AnalysisFrame

NAMES = ("street_by_day", "harbour", "marbles", "dunes", "forest_walk", "crates")
SIZE = (320, 180)


def unpacked(vector):
    return np.frombuffer(vector, "<f2").astype(np.float64)


def vector_of(pictures):
    """The vector of a clip of 3 s, with 12 analysis frames at 320 pixels."""
    collector = FrameDct().load()()
    for picture in pictures:
        collector.add(
            AnalysisFrame.from_rgb(np.asarray(picture.resize((320, 180), Image.Resampling.BICUBIC)))
        )
    times = np.arange(len(pictures)) / 4
    return unpacked(collector.vector(0, len(pictures), times, (0.0, len(pictures) / 4)))


@pytest.fixture(scope="module")
def scenes():
    return {name: [SCENES[name](SIZE)(step / 4) for step in range(12)] for name in NAMES}


@pytest.fixture(scope="module")
def vectors(scenes):
    return {name: vector_of(pictures) for name, pictures in scenes.items()}


def test_a_vector_has_unit_length(vectors):
    for vector in vectors.values():
        assert vector.shape == (FrameDct.dim,) == (1144,)
        assert vector @ vector == pytest.approx(1, abs=2e-3)


def test_the_same_clip_has_the_same_vector(scenes, vectors):
    assert np.array_equal(vector_of(scenes["marbles"]), vectors["marbles"])


def test_other_scenes_are_far(vectors):
    values = np.array(list(vectors.values()))
    off_diagonal = (values @ values.T)[~np.eye(len(values), dtype=bool)]
    assert off_diagonal.max() < 0.7


def scaled(pictures):
    return [p.resize((200, 112), Image.Resampling.BILINEAR).resize(SIZE) for p in pictures]


def lightened(pictures):
    return [p.point(lambda level: level * 0.8 + 30) for p in pictures]


def tinted(pictures):
    warm = np.array([1.1, 1.0, 0.8])
    return [Image.fromarray((np.asarray(p) * warm).clip(0, 255).astype(np.uint8)) for p in pictures]


def boxed(pictures):
    framed = []
    for picture in pictures:
        framed.append(Image.new("RGB", (SIZE[0], SIZE[1] + 90)))
        framed[-1].paste(picture, (0, 45))
    return framed


def pillared(pictures):
    framed = []
    for picture in pictures:
        framed.append(Image.new("RGB", (SIZE[0] + 160, SIZE[1])))
        framed[-1].paste(picture, (80, 0))
    return framed


@pytest.mark.parametrize("change", [scaled, lightened, tinted, boxed, pillared])
@pytest.mark.parametrize("name", NAMES)
def test_near_duplicates_are_near(name, change, scenes, vectors):
    assert vectors[name] @ vector_of(change(scenes[name])) > 0.9


def test_bars_would_hide_a_copy(scenes, vectors):
    """Lighter bars are not cropped, and the vector tells them from the picture."""
    framed = [picture.convert("RGB") for picture in boxed(scenes["marbles"])]
    for picture in framed:
        picture.paste((90, 90, 90), (0, 0, SIZE[0], 45))
        picture.paste((90, 90, 90), (0, SIZE[1] + 45, SIZE[0], SIZE[1] + 90))
    assert vectors["marbles"] @ vector_of(framed) < 0.9


def test_a_coded_copy_is_near(scenes, vectors, tmp_path):
    """Through files: strongly coded, scaled and in another codec."""
    copies = {"a.mp4": Coding(crf=18), "b.webm": Coding("libvpx-vp9", crf=50, scale=(256, 144))}
    coded = []
    for name, coding in copies.items():
        picture = SCENES["street_by_day"](SIZE)
        encode(tmp_path / name, (picture(n / 12) for n in range(36)), fps=12, coding=coding)
        scan = Scan(shots=FixedWindows(), scores=()).setup()
        result = scan(ScanItem(entry_at(str(tmp_path / name), {})))
        [row] = result.side_rows[EMBEDDINGS].to_pylist()
        assert row["dim"] == FrameDct.dim
        coded.append(unpacked(row["vector"]))
    assert coded[0] @ coded[1] > 0.95
    assert coded[0] @ vectors["street_by_day"] > 0.9
    assert coded[0] @ vectors["harbour"] < 0.7


def test_a_clip_without_frames_or_structure_is_zero():
    collector = FrameDct().load()()
    assert not unpacked(collector.vector(0, 0, np.empty(0), (0.0, 1.0))).any()
    collector.add(AnalysisFrame.from_rgb(np.full((180, 320, 3), 90, np.uint8)))
    collector.add(AnalysisFrame.from_rgb(np.zeros((180, 320, 3), np.uint8)))
    assert not unpacked(collector.vector(0, 1, np.zeros(1), (0.0, 1.0))).any()
    assert not unpacked(collector.vector(1, 2, np.zeros(1), (0.0, 1.0))).any()


def test_time_is_cut_into_eight_segments():
    frames = np.eye(8, 143)
    vector = unpacked(segment_pool(frames, np.arange(8) + 0.5, (0.0, 8.0))).reshape(8, 143)
    assert vector.argmax(axis=1).tolist() == list(range(8))
    assert vector.max(axis=1) == pytest.approx(np.sqrt(1 / 8), abs=1e-3)
    few = unpacked(segment_pool(frames[:2], np.array([0.0, 4.0]), (0.0, 8.0))).reshape(8, 143)
    assert few.argmax(axis=1).tolist() == [0, 0, 1, 1, 1, 1, 1, 1]


def test_the_order_of_time_matters(scenes, vectors):
    pictures = scenes["street_by_day"]
    assert vectors["street_by_day"] @ vector_of(pictures[::-1]) < 0.98
