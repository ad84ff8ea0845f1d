import numpy as np
import pytest
import torch
from torch import nn

from tokenizer.evaluate.frechet import SpanFeatures, VideoFeatures, frechet_distance


def gaussian(mean, shape):
    """Vectors whose mean is exactly `mean` and whose covariance is exactly `shape.T @ shape`."""
    size = len(mean)
    unit = np.sqrt((2 * size - 1) / 2) * np.concatenate([np.eye(size), -np.eye(size)])
    return unit @ np.asarray(shape, np.float64) + np.asarray(mean, np.float64)


def test_in_one_dimension_it_is_the_difference_of_means_and_deviations():
    some, others = gaussian([3], [[2]]), gaussian([-1], [[5]])
    assert frechet_distance(some, others) == pytest.approx((3 + 1) ** 2 + (2 - 5) ** 2)


def test_with_shared_axes_it_is_the_sum_over_them():
    some, others = gaussian([0, 1, 2], np.diag([1, 2, 3])), gaussian([0, 0, 0], np.diag([4, 0, 1]))
    assert frechet_distance(some, others) == pytest.approx(0 + 1 + 4 + 9 + 4 + 4)


def test_with_axes_of_their_own_it_is_the_closed_form_of_two_dimensions():
    first, second = np.array([[2.0, 1], [0, 1]]), np.array([[1.0, 0], [-3, 2]])
    c1, c2 = first.T @ first, second.T @ second
    # For two by two matrices, trace(M^½)² = trace(M) + 2 det(M)^½.
    product = c1 @ c2
    overlap = np.sqrt(np.trace(product) + 2 * np.sqrt(np.linalg.det(product)))
    expected = 25 + np.trace(c1) + np.trace(c2) - 2 * overlap
    some, others = gaussian([0, 0], first), gaussian([3, 4], second)
    assert frechet_distance(some, others) == pytest.approx(expected)
    assert frechet_distance(others, some) == pytest.approx(expected)
    assert expected < 25 + np.square(first - second).sum()


def test_fewer_vectors_than_dimensions_are_accepted():
    vectors = np.random.default_rng(0).normal(size=(5, 40))
    assert frechet_distance(vectors, vectors) == pytest.approx(0, abs=1e-6)
    assert frechet_distance(vectors, vectors + 2) == pytest.approx(40 * 4, rel=1e-6)


@pytest.mark.parametrize(
    ("some", "others", "words"),
    [
        (np.ones((1, 3)), np.ones((5, 3)), "at least two vectors of one length"),
        (np.ones((5, 2)), np.ones((5, 3)), r"got \[5, 2\] and \[5, 3\]"),
        (np.full((5, 3), np.nan), np.ones((5, 3)), "no finite numbers"),
    ],
)
def test_sets_without_a_distance_are_refused(some, others, words):
    with pytest.raises(ValueError, match=words):
        frechet_distance(some, others)


class Network(nn.Module):
    """A small network over spans."""

    def __init__(self):
        super().__init__()
        self.fold = nn.Conv3d(3, 4, (16, 32, 32), stride=(16, 32, 32))
        self.drop = nn.Dropout(0.5)

    def forward(self, x):
        return self.drop(self.fold(x)).mean((2, 3, 4))


class Detector(nn.Module):
    """With the options of the I3D file, and as many numbers."""

    def forward(self, x, rescale: bool = True, resize: bool = True, return_features: bool = False):
        if rescale or resize or not return_features:
            return x.mean((2, 3, 4))[:, :1]
        return x.mean((2, 3, 4))


class Strange(nn.Module):
    def forward(self, x):
        return x[:, :, 0]


@pytest.fixture
def saved(tmp_path):
    def save(network):
        torch.manual_seed(0)
        torch.jit.script(network).save(str(tmp_path / "network.pt"))
        return tmp_path / "network.pt"

    return save


def test_features_are_those_of_spans_scaled_to_the_network(saved, pattern):
    network, video = Network(), pattern(40)
    features = VideoFeatures(saved(network))
    result = features(video)
    assert result.shape == (2, 4)
    pixels = torch.from_numpy(video[16:32]).movedim(-1, 1).float() / 127.5 - 1
    frames = nn.functional.interpolate(pixels, (224, 224), mode="bilinear", antialias=True)
    with torch.inference_mode():
        expected = network.eval()(frames.movedim(0, 1)[None])[0]
    assert result[1] == pytest.approx(expected.numpy(), abs=1e-6)
    assert features(video).tolist() == result.tolist()
    assert features(video[:15]).shape == (0, 0)


def test_parts_of_any_length_give_the_features_of_the_whole(saved, pattern):
    video = pattern(40)
    features = VideoFeatures(saved(Network()))
    spans = SpanFeatures(features)
    for start, end in ((0, 5), (5, 6), (6, 39), (39, 40)):
        spans.add(video[start:end])
    assert spans.features().tolist() == features(video).tolist()
    assert SpanFeatures(features).features().shape == (0, 0)
    without = SpanFeatures(None)
    without.add(video)
    assert without.features().shape == (0, 0)


def test_the_usual_network_is_asked_for_its_features(saved):
    grey = np.full((16, 32, 32, 3), 255, np.uint8)
    assert VideoFeatures(saved(Detector()))(grey).tolist() == [[1, 1, 1]]


def test_files_that_are_no_such_network_are_refused(saved, tmp_path):
    with pytest.raises(FileNotFoundError, match="no video network at"):
        VideoFeatures(tmp_path / "none.pt")
    (tmp_path / "text.pt").write_text("no network")
    with pytest.raises(ValueError, match=r"text\.pt is no TorchScript"):
        VideoFeatures(tmp_path / "text.pt")
    strange = VideoFeatures(saved(Strange()))
    with pytest.raises(ValueError, match=r"gave \[1, 3, 224, 224\] for one span"):
        strange(np.zeros((16, 32, 32, 3), np.uint8))
