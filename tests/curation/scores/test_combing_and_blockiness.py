"""Combing and blockiness, on every line of generated sources."""

from collections.abc import Iterator

import numpy as np
import pytest
from PIL import Image

from curation.listing import entry_at
from curation.media.decode import MAX_COLUMNS, AnalysisSampling, decode_streams
from curation.media.probe import probe
from curation.media.sandbox import Limits
from curation.sample import Coding
from curation.sample.encode import encode
from curation.scan.shots import FixedWindows
from curation.scan.stage import Scan, ScanItem
from curation.scores import AnalysisFrame
from curation.scores.blockiness import Blockiness
from curation.scores.combing import Combing

SIZE = (480, 270)


@pytest.fixture(scope="module")
def panned(world):
    """Pictures of a camera that goes right; by half a step for fields."""

    def pictures(count: int = 30, step: float = 3.0) -> list[Image.Image]:
        boxes = ((int(step * i), 100, int(step * i) + SIZE[0], 100 + SIZE[1]) for i in range(count))
        return [world.crop(box) for box in boxes]

    return pictures


def woven(pictures: list[Image.Image]) -> Iterator[Image.Image]:
    """Every other line is of the picture before."""
    for before, now in zip([pictures[0], *pictures], pictures, strict=False):
        lines = np.array(now)
        lines[1::2] = np.asarray(before)[1::2]
        yield Image.fromarray(lines)


def scores(path) -> dict:
    stage = Scan(shots=FixedWindows(), scores=(Combing(), Blockiness()), embedders=())
    result = stage.setup()(ScanItem(entry_at(str(path), {})))
    (combing,), (blocks,) = (
        result.side_rows[f"scores/{name}"].to_pylist() for name in ("combing", "blockiness")
    )
    return {**combing, **blocks}


def test_lines_of_two_moments_are_combed_and_those_of_one_are_not(tmp_path, panned):
    encode(tmp_path / "combed.mp4", woven(panned()), fps=20, coding=Coding(crf=24))
    encode(tmp_path / "clean.mp4", panned(), fps=20, coding=Coding(crf=24))
    combed, clean = (scores(tmp_path / name) for name in ("combed.mp4", "clean.mp4"))
    assert combed["scanning"] == "combed"
    assert combed["combing"] > 0.02
    assert (clean["scanning"], clean["combing"]) == ("progressive", 0.0)
    assert combed["coding"] == clean["coding"] == "clean"


def test_a_source_flagged_as_interlaced_is_not_combed(tmp_path, panned):
    coding = Coding("mpeg2video", interlaced=True, b_frames=2)
    encode(tmp_path / "said.ts", woven(panned()), fps=25, coding=coding)
    assert probe(str(tmp_path / "said.ts"), Limits()).interlaced
    assert scores(tmp_path / "said.ts")["scanning"] == "progressive"


@pytest.mark.parametrize("coding", [Coding("mpeg4", quantiser=28), Coding(crf=48)])
def test_strong_compression_is_blocky(tmp_path, panned, coding):
    encode(tmp_path / "blocky.mp4", panned(), fps=20, coding=coding)
    blocky = scores(tmp_path / "blocky.mp4")
    assert blocky["coding"] == "blocky"
    assert blocky["blockiness"] > 2.35
    assert blocky["scanning"] == "progressive"


def test_noise_and_stripes_of_two_lines_are_not_combed(row):
    noise = np.random.default_rng(5).normal(128, 12, (4, 180, 200))
    pairs = np.tile(np.array([60, 60, 190, 190], np.uint8).repeat(200).reshape(4, 200), (45, 1))
    for frames in (np.clip(noise, 0, 255).astype(np.uint8), np.stack([pairs] * 4)):
        numbers = np.array(
            [Combing().measure(AnalysisFrame.from_columns(each), None) for each in frames]
        )
        assert Combing().summarise(numbers, np.arange(4.0))["scanning"] == "progressive"


def test_a_grid_is_detected_at_any_offset_and_flat_pictures_have_no_tag():
    stepped = np.repeat(np.arange(0, 250, 10, np.uint8), 8)[:, None] + np.zeros(200, np.uint8)
    for shift in (0, 3, 7):
        numbers = np.array(
            [Blockiness().measure(AnalysisFrame.from_columns(stepped[shift:]), None)]
        )
        assert Blockiness().summarise(numbers, np.zeros(1))["coding"] == "blocky"
    for flat in (np.full((180, 200), 90, np.uint8), stepped[:24]):
        numbers = np.array([Blockiness().measure(AnalysisFrame.from_columns(flat), None)])
        assert set(Blockiness().summarise(numbers, np.zeros(1)).values()) == {None}


def test_lines_are_those_of_the_stored_picture(made):
    path = made("lines.mp4", 24, Coding(rotation=90), size=(270, 480))
    info, columns, frames = probe(str(path), Limits()), [], []
    timeline = decode_streams(
        str(path), info, AnalysisSampling(), Limits(), on_lowres=lambda lowres: None,
        on_analysis=lambda rgb: frames.extend(rgb.copy()),
        on_columns=lambda lines: columns.extend(lines.copy()),
    )  # fmt: skip
    assert {lines.shape for lines in columns} == {(480, MAX_COLUMNS)}
    assert len(columns) == len(frames) == len(timeline.analysis_indices)
    for lines, rgb in zip(columns, frames, strict=True):
        small, large = AnalysisFrame.from_rgb(rgb).luma, lines.astype(np.float32)
        means = large[:: 480 // 8].mean(axis=1)
        assert np.corrcoef(means, small[:: small.shape[0] // 8].mean(axis=1)[:8])[0, 1] > 0.9
