import os
from pathlib import Path

import numpy as np
import pytest

from tokenizer.evaluate.perceptual import Lpips

pytest.importorskip("onnxruntime")

FOLDER = Path(
    os.environ.get("REELMILL_DATA") or Path(__file__).resolve().parents[4] / "shared" / "data"
)
WEIGHTS = FOLDER / "weights" / "lpips_squeeze" / "lpips_sq.onnx"


@pytest.fixture(scope="module")
def weights():
    if not WEIGHTS.is_file():
        pytest.skip(f"no LPIPS weights at {WEIGHTS}; set REELMILL_DATA")
    return WEIGHTS


@pytest.mark.data
def test_the_distance_grows_with_distortion(weights, pattern):
    video, random = pattern(2), np.random.default_rng(0)
    lpips = Lpips(weights)
    assert lpips(video, video) == pytest.approx([0, 0], abs=1e-6)
    noises = [random.integers(-n, n + 1, video.shape) for n in (10, 40)]
    noisy = [np.clip(video.astype(int) + noise, 0, 255).astype(np.uint8) for noise in noises]
    little, much = (lpips(video, other) for other in noisy)
    assert little.shape == (2,)
    assert (little > 0.01).all()
    assert (2 * little < much).all()
    assert lpips(noisy[0], video) == pytest.approx(little, abs=1e-5)


@pytest.mark.data
def test_pictures_are_normalised_as_for_imagenet(weights, pattern):
    import onnxruntime

    video, other = pattern(1), 255 - pattern(1)
    mean, std = np.array([0.485, 0.456, 0.406]), np.array([0.229, 0.224, 0.225])
    feed = [
        ((v[0] / 255 - mean) / std).transpose(2, 0, 1)[None].astype(np.float32)
        for v in (video, other)
    ]
    session = onnxruntime.InferenceSession(str(weights), providers=["CPUExecutionProvider"])
    [expected] = session.run(None, {"ref": feed[0], "dist": feed[1]})
    assert Lpips(weights)(video, other) == pytest.approx(expected.reshape(-1), abs=1e-5)


@pytest.mark.data
def test_a_network_for_one_picture_is_refused(weights):
    faces = FOLDER / "weights" / "face" / "version-RFB-320.onnx"
    with pytest.raises(ValueError, match="takes 1 pictures and gives 2 results; LPIPS takes"):
        Lpips(faces)


def test_other_files_are_refused(tmp_path):
    with pytest.raises(FileNotFoundError, match="no LPIPS network at"):
        Lpips(tmp_path / "none.onnx")
    (tmp_path / "text.onnx").write_text("no network")
    with pytest.raises(ValueError, match=r"text\.onnx cannot be read as ONNX"):
        Lpips(tmp_path / "text.onnx")
