import json

import pytest

from curation.caption import FactsCaption, clip_facts, facts_caption
from curation.caption.base import CaptionBatch, CaptionClip, Identity
from curation.catalog import Catalog
from curation.records import Caption
from curation.scores import SCORES, table_name
from curation.storage import Storage

CLIP = {"start_s": 1.0, "end_s": 3.54, "width": 640, "height": 360}


def test_a_caption_states_what_was_measured():
    measured = {"light": "bright", "sharpness": 0.7, "motion": 0.3}
    words = "A bright and sharp clip of 2.5 seconds with motion, in landscape format."
    assert facts_caption(CLIP | measured) == words


def test_a_caption_leaves_out_what_was_not_measured():
    assert facts_caption(CLIP) == "A clip of 2.5 seconds, in landscape format."
    assert facts_caption(CLIP | {"light": None, "sharpness": 0.2}) == (
        "A blurred clip of 2.5 seconds, in landscape format."
    )


@pytest.mark.parametrize(
    ("measured", "word"),
    [
        ({"light": "dark"}, "A dark clip"), ({"light": "dim"}, "A dim clip"),
        ({"light": "bright"}, "A bright clip"), ({"brightness": 0.0}, "A clip"),
        ({"sharpness": 0.249}, "A blurred clip"), ({"sharpness": 0.65}, "A sharp clip"),
        ({"sharpness": 0.25}, "A clip"), ({"sharpness": 0.649}, "A clip"),
        ({"motion": 0.0}, "with hardly any motion,"), ({"motion": 0.01}, "with a little motion,"),
        ({"motion": 0.5}, "with motion all over the picture,"),
        ({"camera": "pan_left"}, "with a camera that pans or moves left,"),
        ({"camera": "mixed"}, "with a moving camera,"),
        ({"camera": "static", "motion": 0.3}, "with motion and a camera that stands still,"),
        ({"camera": "of a new kind"}, "A clip of 2.5 seconds, in landscape format."),
        ({"light": "day"}, "A clip of 2.5 seconds, in landscape format."),
        ({"kind": "screen", "sharpness": 0.7}, "A sharp recorded screen or slide of 2.5 seconds,"),
        ({"kind": "screen", "camera": "static"}, "A recorded screen or slide of 2.5 seconds, in"),
        ({"kind": "still"}, "A still picture of"), ({"kind": "moving"}, "A clip of"),
        ({"objects": "car, dog"}, "format, in view: car, dog."), ({"objects": ""}, "format."),
        ({"screen_words": "Hello  you"}, "format, showing the words “Hello you”."),
        ({"screen_words": "a " * 20}, f"the words “{'a ' * 12}…”."), ({"screen_words": ""}, "at."),
        ({"corner_text": 1.0}, "with writing that stays in a corner,"),
        ({"corner_text": 0}, "s, in landscape"),
        ({"people": 1.0, "vehicles": 3.2, "animals": 0}, "with one person and 3 vehicles,"),
        ({"width": 360, "height": 640}, "in portrait format."),
        ({"width": 360}, "in square format."),
    ],
)  # fmt: skip
def test_each_measure_has_its_phrase(measured, word):
    assert word in facts_caption(CLIP | measured)


def test_facts_are_stored_as_fields():
    measured = {"light": "dark", "camera": "roll", "people": 2.4, "motion": None}
    assert clip_facts(CLIP | measured) == {
        "duration_s": 2.5, "format": "landscape", "brightness": "dark",
        "camera": "a camera that rolls", "people": 2,
    }  # fmt: skip


def test_the_stage_gives_one_row_per_clip():
    row = CLIP | {"light": "dim"}
    clip = CaptionClip("c", "s", 24, 85, 2.54, facts=row)
    result = FactsCaption().setup()(CaptionBatch("b", (clip,)))
    (caption,) = result.captions
    assert (caption.clip_id, caption.source_id, caption.window) == ("c", "s", 0)
    assert (caption.start_frame, caption.end_frame) == (24, 85)
    assert caption.text == facts_caption(row)
    assert json.loads(caption.answers) == clip_facts(row)
    assert [(c.clip_id, c.outcome, c.windows, c.requests) for c in result.clips] == [
        ("c", "captioned", 1, 0)
    ]
    assert FactsCaption().identity() == Identity()


def test_another_score_is_another_table(tmp_path):
    catalog = Catalog(Storage.at(tmp_path))
    stage = FactsCaption()
    names = [stage.table(catalog)]
    for score in list(SCORES.values())[:2]:
        catalog.create(table_name(score), score.record)
        names.append(stage.table(catalog))
    assert len(set(names)) == 3
    assert all(name.startswith("facts-") for name in names)
    catalog.create("captions/other", Caption)
    assert stage.table(catalog) == names[-1]
