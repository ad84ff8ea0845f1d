"""Cropping, blurring and labels in a profile: what is read, and what is refused with its key."""

import pytest

from curation.select.policy import LabelRules
from pipelines.config import ConfigError, load


def test_crop_and_labels_are_read():
    found = load(None, ["crop=bars", "labels.deny=[safety/violence]", "labels.allow=[light/day]"])
    assert found.render.crop == "bars"
    assert found.render.blur_faces is None
    assert found.policy.labels == LabelRules(allow=("light/day",), deny=("safety/violence",))


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        (["crop=faces"], r"render\.crop: .* not 'faces'"),
        (["crop=bars", "mode=span"], "render: crop and blur_faces need files"),
        (["blur_faces={weights: /none.onnx}"], r"render\.blur_faces: .*no weights at '/none.onnx'"),
        (["blur_faces={weight: a}"], r"render\.blur_faces"),
        (["labels.deny=light/day"], r"policy\.labels\.deny"),
        (["labels.allow=[a]", "labels.deny=[a]"], "labels both allows and denies 'a'"),
    ],
)
def test_what_cannot_be_is_refused(changes, words):
    with pytest.raises(ConfigError, match=words):
        load(None, changes)
