"""Tags, labels, rules for some sources, and lists of clips."""

import shutil

import pyarrow as pa
import pytest

from curation import records
from curation.dataset import Dataset
from curation.records import ClipLabel
from curation.select.filter import (
    apply_policy,
    filter_values,
    match_prefixes,
    policies_by_source,
    violations,
)
from curation.select.policy import (
    TAGS,
    CategoryRule,
    LabelRules,
    Policy,
    PolicyError,
    Range,
    SourceRules,
)
from curation.select.selection import select
from tests.rows import MeasuredClip, add_source, make_clip


@pytest.fixture(scope="module")
def scanned(tmp_path_factory):
    """Two sources with two clips each; the second one is a dashcam's."""
    place = tmp_path_factory.mktemp("scanned")
    dataset = Dataset(place)
    for uri, source, cameras in (("/v/film.mp4", "a" * 64, ("static", "shaky")),
                               ("/v/dashcam.mp4", "b" * 64, ("zoom_in", None))):  # fmt: skip
        looks = [
            MeasuredClip(
                make_clip(source, 24 * n, 24 * n + 48),
                scores={"camera": camera, "motion": 0.1 + 0.4 * n, "sharpness": 0.5},
            )
            for n, camera in enumerate(cameras)
        ]
        add_source(dataset, uri, looks)
    return place


@pytest.fixture
def dataset(scanned, tmp_path):
    """A copy of it, to change."""
    return Dataset(shutil.copytree(scanned, tmp_path / "out"))


def reasons(dataset, policy):
    """Reasons by address and first frame."""
    clips = dataset.clips()
    result = apply_policy(dataset, policy, clips, filter_values(clips))
    return dict(zip(names(clips), result.reasons.to_pylist(), strict=True))


def names(clips):
    pairs = zip(clips["uri"].to_pylist(), clips["start_frame"].to_pylist(), strict=True)
    return [(uri[3:-4], start_frame) for uri, start_frame in pairs]


def ids(dataset):
    clips = dataset.clips()
    return dict(zip(names(clips), clips["clip_id"].to_pylist(), strict=True))


def test_a_denied_category_and_one_that_is_not_allowed(dataset):
    denied = reasons(dataset, Policy(tags={"camera": CategoryRule(deny=("shaky",))}))
    assert denied[("film", 24)] == TAGS["camera"].reason == "unwanted_camera"
    assert [reason for name, reason in denied.items() if name != ("film", 24)] == [None] * 3
    allowed = reasons(dataset, Policy(tags={"camera": CategoryRule(allow=("static",))}))
    assert allowed == {
        ("film", 0): None, ("film", 24): "unwanted_camera",
        ("dashcam", 0): "unwanted_camera", ("dashcam", 24): None,
    }  # fmt: skip


def test_some_sources_have_rules_of_their_own_and_the_rest_stays(dataset):
    rules = SourceRules(
        "uri LIKE '%dashcam%'", {"motion": Range(max=0.2)}, {"camera": CategoryRule()}
    )
    tags = {"camera": CategoryRule(deny=("zoom_in", "shaky"))}
    policy = Policy({"motion": Range(min=0.2)}, tags=tags, sources=(rules,))
    assert reasons(dataset, policy) == {
        ("film", 0): "little_motion", ("film", 24): "unwanted_camera",
        ("dashcam", 0): None, ("dashcam", 24): "much_motion",
    }  # fmt: skip


def test_of_several_rules_for_a_source_the_later_ones_win(dataset):
    rules = (
        SourceRules("true", {"motion": Range(max=0.05), "sharpness": Range(min=0.1)}),
        SourceRules("uri LIKE '%film%'", {"motion": Range(max=0.2)}),
    )
    policy = Policy(sources=rules)
    assert reasons(dataset, policy) == {
        ("film", 0): None, ("film", 24): "much_motion",
        ("dashcam", 0): "much_motion", ("dashcam", 24): "much_motion",
    }  # fmt: skip
    groups = policies_by_source(dataset, policy, dataset.clips())
    assert sorted(row for rows, _ in groups for row in rows.tolist()) == [0, 1, 2, 3]
    assert all("sharpness" in merged.limits for rows, merged in groups if len(rows))


def test_lists_of_clips_win_over_everything(dataset):
    clip_ids = ids(dataset)
    policy = Policy(
        {"motion": Range(max=0.2)},
        include=(clip_ids[("film", 24)][:12],),
        exclude=(clip_ids[("dashcam", 0)], clip_ids[("film", 24)]),
    )
    assert reasons(dataset, policy) == {
        ("film", 0): None, ("film", 24): None,
        ("dashcam", 0): "excluded", ("dashcam", 24): "much_motion",
    }  # fmt: skip
    assert match_prefixes((), pa.array(["abcd"])).tolist() == [False]


def test_other_lists_or_categories_make_another_selection(dataset):
    clip_ids = ids(dataset)
    policies = [
        Policy(near_duplicates=None),
        Policy(near_duplicates=None, exclude=(clip_ids[("film", 0)],)),
        Policy(near_duplicates=None, tags={"camera": CategoryRule(deny=("shaky",))}),
        Policy(near_duplicates=None, sources=(SourceRules("true", {"motion": Range(max=0.2)}),)),
    ]
    selections = [select(dataset, policy) for policy in policies]
    assert len({selection.selection_id for selection in selections}) == 4
    assert [selection.funnel["kept"] for selection in selections] == [4, 3, 3, 2]


def test_every_violation_of_a_clip_is_listed():
    policy = Policy(
        {"motion": Range(max=0.1), "sharpness": Range(min=0.6), "fps": Range(10, 60)},
        tags={"camera": CategoryRule(deny=("shaky",)), "kind": CategoryRule(allow=("moving",))},
    )
    values = {"motion": 0.5, "sharpness": 0.5, "fps": float("nan")}
    broken = violations(policy, values, {"camera": "shaky", "kind": "screen", "light": None})
    assert [(v.reason, v.column, v.value, v.expected) for v in broken] == [
        ("much_motion", "motion", 0.5, "at most 0.1"),
        ("blurred", "sharpness", 0.5, "at least 0.6"),
        ("unwanted_camera", "camera", "shaky", "none of shaky"),
        ("unwanted_kind", "kind", "screen", "one of moving"),
    ]


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (
            lambda: Policy(tags={"camara": CategoryRule()}),
            "no tag is called 'camara'; did you mean 'camera'",
        ),
        (lambda: Policy(tags={"camera": CategoryRule(deny=("shaki",))}), "did you mean 'shaky'"),
        (
            lambda: Policy(tags={"kind": CategoryRule(("still",), ("still",))}),
            "both allows and denies",
        ),
        (lambda: Policy(include=("abc",)), "'abc' names too many clips"),
        (lambda: Policy(sources=(SourceRules("true", {"motoin": Range(1)}),)), "'motoin'"),
    ],
)
def test_rules_that_make_no_sense_are_refused(make, message):
    with pytest.raises(PolicyError, match=message):
        make()


def test_a_condition_that_cannot_be_read_says_so(dataset):
    with pytest.raises(ValueError, match="no column 'urri'; did you mean 'uri'"):
        reasons(dataset, Policy(sources=(SourceRules("urri = 'x'"),)))


def label(dataset, table, **labels):
    """Labels of the film's clips: by label, whether it holds for the first and the second."""
    clip_ids = ids(dataset)
    rows = [
        ClipLabel(clip_ids[("film", start)], "a" * 64, name.replace("_", "/"), float(holds), holds)
        for name, both in labels.items()
        for start, holds in zip((0, 24), both, strict=True)
    ]
    with dataset.catalog.writer("label", {table: ClipLabel}) as writer:
        writer.append(table, records.to_table(ClipLabel, rows))


def test_labels_are_denied_and_allowed_and_unlabelled_clips_break_neither(dataset):
    label(dataset, "labels/a-1", light_day=(True, False), light_night=(False, True))
    denied = reasons(dataset, Policy(labels=LabelRules(deny=("light/night",))))
    allowed = reasons(dataset, Policy(labels=LabelRules(allow=("light/day",))))
    expected = {("film", 0): None, ("film", 24): "unwanted_label",
              ("dashcam", 0): None, ("dashcam", 24): None}  # fmt: skip
    assert denied == allowed == expected
    both = Policy(limits={"motion": Range(max=0.2)}, labels=LabelRules(deny=("light/night",)))
    assert reasons(dataset, both)[("film", 24)] == "much_motion"
    kept = Policy(include=(ids(dataset)[("film", 24)],), labels=LabelRules(deny=("light/night",)))
    assert reasons(dataset, kept)[("film", 24)] is None


def test_labels_that_are_unknown_or_in_two_tables_are_refused(dataset):
    label(dataset, "labels/a-1", light_day=(True, False))
    label(dataset, "labels/b-2", light_day=(False, True))
    with pytest.raises(PolicyError, match="'light/daz'; did you mean 'light/day'"):
        reasons(dataset, Policy(labels=LabelRules(deny=("light/daz",))))
    with pytest.raises(PolicyError, match="in labels/a-1 and labels/b-2; name one"):
        reasons(dataset, Policy(labels=LabelRules(deny=("light/day",))))
    second = Policy(labels=LabelRules(table="b", deny=("light/day",)))
    assert [reason for reason in reasons(dataset, second).values() if reason] == ["unwanted_label"]
    with pytest.raises(PolicyError, match="both allows and denies 'x'"):
        Policy(labels=LabelRules(allow=("x",), deny=("x",)))


def test_labels_that_come_later_make_another_selection(dataset):
    policy = Policy(near_duplicates=None, labels=LabelRules(deny=("light/day",)))
    label(dataset, "labels/a-1", light_day=(False, False))
    first = select(dataset, policy)
    label(dataset, "labels/a-1", light_dusk=(True, True))
    assert select(dataset, policy).selection_id == first.selection_id
    label(dataset, "labels/a-1", light_day=(True, True))
    second = select(dataset, policy)
    assert second.selection_id != first.selection_id
    assert second.funnel == {"kept": 2, "unwanted_label": 2}


def test_a_policy_without_labels_keeps_its_digest():
    assert Policy().digest == Policy(labels=LabelRules()).digest
    assert Policy().digest != Policy(labels=LabelRules(deny=("light/day",))).digest
