"""Files of labels: what is valid, and what is refused with its position."""

import pytest

from curation.label.label_file import Aesthetic, Label, LabelsError, read_labels, table_stem
from tests.outputs import ROOT

VALID = """
model: ViT-B-32:laion2b_s34b_b79k
groups:
  light:
    day: a photo taken by day
    night: [a photo taken at night, a dark scene]
    dusk: {prompts: at sunset, threshold: 0.7}
aesthetic: {head: head.safetensors, threshold: 4.5}
"""


@pytest.fixture
def label_file(tmp_path):
    def write(text):
        path = tmp_path / "my labels.yaml"
        path.write_text(text)
        return path

    return write


def test_prompts_in_each_form(label_file):
    labels = read_labels(label_file(VALID))
    assert (labels.name, labels.model) == ("my-labels", "ViT-B-32:laion2b_s34b_b79k")
    assert labels.groups == {
        "light": {
            "day": Label(("a photo taken by day",)),
            "night": Label(("a photo taken at night", "a dark scene")),
            "dusk": Label(("at sunset",), 0.7),
        }
    }
    assert labels.aesthetic == Aesthetic("head.safetensors", 4.5)


def test_json_is_read_and_the_model_can_be_replaced(label_file):
    path = label_file('{"model": "a", "groups": {"g": {"x": "one", "y": ["two"]}}}')
    assert read_labels(path, "b").model == "b"


def test_the_shipped_example_is_read():
    groups = read_labels(ROOT / "examples" / "labels.yaml").groups
    assert groups["safety"]["harmless"].threshold == 0.5


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("a: [", "while parsing"),
        ("just words", "needs names and what they mean"),
        ("model: a", "needs groups of labels"),
        ("groups: {g: {x: one, y: two}}", "model: .*valid string"),
        ("model: a\ngroup: {}", "unknown key 'group' in the file"),
        ("model: a\ngroups: {g: [x]}", r"groups\.g needs names"),
        ("model: a\ngroups: {g: {x: one}}", "two labels or more"),
        ("model: a\ngroups: {g: {x: one, y: {prompt: two}}}", r"'prompt' in groups\.g\.y"),
        ("model: a\ngroups: {g: {x: one, y: {prompts: b, threshold: 2}}}", "has to be in 0–1"),
        ("model: a\naesthetic: {file: b}", "unknown key 'file' in aesthetic"),
        ("model: a\naesthetic: {threshold: 1}", "aesthetic.head"),
    ],
)
def test_errors_name_their_position(label_file, text, words):
    with pytest.raises(LabelsError, match=words) as caught:
        read_labels(label_file(text))
    assert "my labels.yaml" in str(caught.value)


def test_a_missing_file(tmp_path):
    with pytest.raises(LabelsError, match="No such file"):
        read_labels(tmp_path / "none.yaml")


def test_a_file_name_becomes_a_table_prefix():
    assert table_stem("/a/My labels.v2.yaml") == "My-labels-v2"
    assert table_stem(".yaml") == "-yaml"
