import pytest

from curation.caption import facts_caption

CLIP = {"start_s": 1.0, "end_s": 3.54, "width": 640, "height": 360}


def test_a_caption_says_what_was_measured():
    measured = {"brightness": 0.5, "sharpness": 0.7, "motion": 0.3}
    words = "A well-lit and sharp clip of 2.5 seconds with motion, landscape."
    assert facts_caption(CLIP | measured) == words


def test_a_caption_is_silent_on_what_was_not_measured():
    assert facts_caption(CLIP) == "A clip of 2.5 seconds, landscape."
    assert facts_caption(CLIP | {"brightness": None, "sharpness": 0.4}) == (
        "A soft clip of 2.5 seconds, landscape."
    )


@pytest.mark.parametrize(
    ("measured", "word"),
    [
        ({"brightness": 0.119}, "A dark clip"), ({"brightness": 0.12}, "A dim clip"),
        ({"brightness": 0.65}, "A bright clip"), ({"brightness": 0.0}, "A dark clip"),
        ({"sharpness": 0.349}, "A blurred clip"), ({"sharpness": 0.55}, "A sharp clip"),
        ({"motion": 0.0}, "with hardly any motion,"), ({"motion": 0.01}, "with a little motion,"),
        ({"motion": 0.5}, "with motion all over the picture,"),
        ({"width": 360, "height": 640}, "upright."), ({"width": 360}, "square."),
    ],
)  # fmt: skip
def test_each_measure_has_its_words(measured, word):
    assert word in facts_caption(CLIP | measured)
