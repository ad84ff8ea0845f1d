"""Faces in renders: the detector finds none after they were blurred, and the rest stays sharp."""

import dataclasses
import os
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from curation import records
from curation.listing import entry_at
from curation.media.picture_edits import write_masks
from curation.records import Clip
from curation.render.face_blur import BlurFaces
from curation.render.stage import RenderBatch, RenderClips
from curation.scan.shots import FixedWindows
from curation.scan.stage import Scan, ScanItem
from curation.scores import AnalysisFrame
from curation.scores.faces import Faces

FOLDER = Path(
    os.environ.get("REELMILL_DATA") or Path(__file__).resolve().parents[4] / "shared" / "data"
)
WEIGHTS = FOLDER / "weights" / "face" / "version-RFB-320.onnx"


def test_masks_are_read_back_at_the_times_they_were_given(tmp_path):
    masks = np.zeros((3, 18, 32), np.uint8)
    masks[1, 4:9] = 255
    write_masks(str(tmp_path / "m.nut"), masks, [0, 1001, 4004], Fraction(1, 30000))
    with av.open(str(tmp_path / "m.nut")) as container:
        stream = container.streams.video[0]
        frames = [(f.pts * stream.time_base, f.to_ndarray()) for f in container.decode(stream)]
    times = [time for time, _ in frames]
    assert times == [0, Fraction(1001, 30000), Fraction(4004, 30000)]
    assert np.array_equal(np.stack([mask for _, mask in frames]), masks)


def test_missing_weights_are_an_error():
    with pytest.raises(ValueError, match=r"no weights at '/none.onnx'"):
        BlurFaces("/none.onnx")


@pytest.fixture(scope="module")
def blurred(tmp_path_factory):
    """A clip of a real video before and after, as frames, and the row of its render."""
    path = FOLDER / "videos" / "sign_sister.mkv"
    if not (path.is_file() and WEIGHTS.is_file()):
        pytest.skip(f"no real videos and weights at {FOLDER}; set REELMILL_DATA")
    out = tmp_path_factory.mktemp("faces")
    stage = Scan(shots=FixedWindows(), max_clip_s=1.5, scores=(), embedders=())
    result = stage.setup()(ScanItem(entry_at(str(path), {})))
    clip = records.from_table(Clip, result.clips)[0]
    batch = RenderBatch(result.source, (clip,))
    plain = RenderClips(output=str(out))
    blur = dataclasses.replace(plain, blur_faces=BlurFaces(str(WEIGHTS)))
    (before,), (after,) = plain.setup()(batch), blur.setup()(batch)
    return frames(out / before.path), frames(out / after.path), before, after


def frames(path: Path) -> list[np.ndarray]:
    with av.open(str(path)) as container:
        return [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]


@pytest.mark.data
def test_the_detector_finds_faces_before_and_none_after(blurred):
    before, after, _, row = blurred
    detector = Faces(str(WEIGHTS), threshold=0.7)
    counts = [len(detector.detect(AnalysisFrame.from_rgb(frame))) for frame in before]
    assert np.mean(np.array(counts) > 0) > 0.9
    assert [len(detector.detect(AnalysisFrame.from_rgb(frame))) for frame in after] == [0] * len(
        after
    )
    assert row.outcome == "rendered"
    assert row.faces_blurred >= len(before) * 0.9


@pytest.mark.data
def test_what_is_no_face_stays_as_it_is(blurred):
    before, after, plain, row = blurred
    assert len(before) == len(after) == row.frames
    (box, *_) = Faces(str(WEIGHTS)).detect(AnalysisFrame.from_rgb(before[10]))
    height, width = before[10].shape[:2]
    left, top, right, bottom = (box * (width, height, width, height)).astype(int)
    change = np.abs(before[10].astype(float) - after[10]).mean(axis=2)
    outside = np.ones(change.shape, bool)
    room = [round(0.4 * side) for side in (right - left, bottom - top)]
    outside[max(0, top - room[1]) : bottom + room[1], max(0, left - room[0]) : right + room[0]] = 0
    assert change[top:bottom, left:right].mean() > 8
    assert change[outside].mean() < 2
    assert (plain.faces_blurred, plain.crop) == (None, None)
