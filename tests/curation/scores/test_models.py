"""Scores that run a network: their own code on tiny models, and the real models on real frames."""

import os
import pickle
from pathlib import Path

import av
import numpy as np
import pytest
from PIL import Image, ImageDraw, ImageFont

from curation.errors import InfrastructureError
from curation.scores import AnalysisFrame
from curation.scores.detector import MissingModelError, non_max_suppression, session
from curation.scores.faces import Faces
from curation.scores.objects import Objects
from curation.scores.text import Text

FOLDER = Path(
    os.environ.get("REELMILL_DATA") or Path(__file__).resolve().parents[4] / "shared" / "data"
)
FACES, OBJECTS = (
    FOLDER / "weights" / p for p in ("face/version-RFB-320.onnx", "detect/yolox_nano.onnx")
)


@pytest.fixture(scope="module")
def frame():
    """A frame of a real video at 320 pixels."""

    def read(name: str, at: int = 40) -> AnalysisFrame:
        path = FOLDER / "videos" / name
        if not path.is_file():
            pytest.skip(f"no real videos at {FOLDER}; set REELMILL_DATA")
        with av.open(str(path)) as container:
            picture = next(f for i, f in enumerate(container.decode(video=0)) if i == at).to_image()
        picture.thumbnail((320, 320))
        return AnalysisFrame.from_rgb(np.asarray(picture.convert("RGB")))

    return read


def weights(path: Path) -> str:
    """The path of weights that are no part of the project; skips the test where they are not."""
    if not path.is_file():
        pytest.skip(f"no weights at {path}; set REELMILL_DATA")
    return str(path)


def test_of_overlapping_boxes_the_best_stays():
    boxes = np.array([[0, 0, 4, 4], [0.2, 0, 4, 4], [3, 3, 6, 6], [0, 0, 0, 0]], np.float32)
    assert non_max_suppression(boxes, np.array([0.7, 0.9, 0.8, 0.1], np.float32)) == [1, 2, 3]
    assert non_max_suppression(np.zeros((0, 4), np.float32), np.zeros(0, np.float32)) == []


@pytest.mark.parametrize("score", [Faces, Objects])
def test_missing_or_broken_weights_are_an_error(score, tmp_path):
    with pytest.raises(MissingModelError, match=r"no weights at '/none.onnx'; docs/scores\.md"):
        score("/none.onnx")
    broken = tmp_path / "broken.onnx"
    broken.write_bytes(b"no model")
    with pytest.raises(InfrastructureError, match=r"broken.onnx cannot be loaded"):
        score(str(broken)).load()


@pytest.mark.data
def test_faces_are_counted_where_there_are_some(frame):
    score = pickle.loads(pickle.dumps(Faces(weights(FACES))))
    man = frame("carphone_pristine.mp4")
    result = score.describe([man, frame("robot_bridge_sink.mp4", 10)], np.zeros(2))
    assert result["faces"] == 1
    assert 0.08 < result["face_share"] < 0.25
    (box,) = score.detect(man)
    assert box[0] < 0.55 < box[2]
    assert box[1] < 0.45 < box[3]
    assert score.describe([frame("motorway_camera.mp4")], np.zeros(1))["faces"] == 0


@pytest.mark.data
def test_people_vehicles_and_animals_are_counted(frame):
    score = Objects(weights(OBJECTS))
    score.load()
    motorway = score.describe([frame("motorway_camera.mp4", n) for n in (10, 40, 70)], np.zeros(3))
    assert motorway["vehicles"] >= 4
    assert motorway["people"] == 0
    assert motorway["objects"].startswith("car")
    dog = score.describe([frame("puppy_eating.mp4")], np.zeros(1))
    assert (dog["animals"], dog["objects"]) == (1, "dog")
    woman = score.describe([frame("sign_book.mkv")], np.zeros(1))
    assert (woman["people"], woman["vehicles"]) == (1, 0)


@pytest.mark.data
def test_a_box_lies_where_the_thing_is_whatever_the_picture_s_shape(frame):
    wide = frame("puppy_eating.mp4")
    (box,), _ = Objects(weights(OBJECTS)).detect(wide)
    tall = AnalysisFrame.from_rgb(np.pad(wide.rgb, ((0, 200), (0, 0), (0, 0)), constant_values=114))
    boxes, _ = Objects(weights(OBJECTS), threshold=0.3).detect(tall)
    share = wide.luma.shape[0] / tall.luma.shape[0]
    assert boxes[0] == pytest.approx(box * (1, share, 1, share), abs=0.05)


def test_the_model_is_loaded_once_a_process():
    if not FACES.is_file():
        pytest.skip(f"no weights at {FACES}")
    assert session(weights(FACES)) is session(weights(FACES))


@pytest.mark.models
def test_words_are_read_and_corners_are_distinguished():
    font = ImageFont.load_default(18)
    frames = []
    for index in range(2):
        picture = Image.new("RGB", (320, 180), (40 + 20 * index, 90, 60))
        draw = ImageDraw.Draw(picture)
        draw.text((225, 8), "LIVE TV", "white", font)
        if index == 1:
            draw.text((90, 90), "HARBOUR NEWS", "white", font)
        frames.append(AnalysisFrame.from_rgb(np.asarray(picture)))
    score = Text()
    result = score.describe(frames, np.arange(2.0))
    assert result["screen_words"].split() == ["LIVE", "TV", "HARBOUR", "NEWS"]
    assert (result["text_time"], result["corner_text"]) == (1.0, 1.0)
    assert 0.01 < result["text_share"] < 0.1
    middle = score.describe(frames[1:2], np.zeros(1))
    assert middle["corner_text"] == 0
    plain = AnalysisFrame.from_rgb(np.full((180, 320, 3), 90, np.uint8))
    assert score.describe([plain], np.zeros(1)) == {
        "text_share": 0, "text_time": 0, "corner_text": 0, "screen_words": "",
    }  # fmt: skip
