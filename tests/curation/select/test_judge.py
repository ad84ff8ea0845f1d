"""Tags, rules for some sources, and clips that are named by hand."""

import pytest

from curation import records
from curation.dataset import Dataset
from curation.records import ClipLabel
from curation.select.filter import breaches, judge, listed, numbers, rules_of
from curation.select.policy import LabelRules, Policy, Range, SourceRules
from curation.select.selection import select
from curation.select.tags import TAGS, Words
from tests.rows import Looks, clip_of, scanned


@pytest.fixture
def dataset(tmp_path):
    """Two sources with two clips each; the second one is a dashcam's."""
    made = Dataset(tmp_path)
    for uri, source, words in (("/v/film.mp4", "a" * 64, ("static", "shaky")),
                               ("/v/dashcam.mp4", "b" * 64, ("zoom_in", None))):  # fmt: skip
        looks = [
            Looks(
                clip_of(source, 24 * n, 24 * n + 48),
                scores={"camera": word, "motion": 0.1 + 0.4 * n, "sharpness": 0.5},
            )
            for n, word in enumerate(words)
        ]
        scanned(made, uri, looks)
    return made


def judged(dataset, policy):
    """Reasons by address and first frame."""
    clips = dataset.clips()
    found = judge(dataset, policy, clips, numbers(clips)).reasons
    names = zip(clips["uri"].to_pylist(), clips["start_frame"].to_pylist(), strict=True)
    return {(uri[3:-4], start): why for (uri, start), why in zip(names, found, strict=True)}


def ids(dataset):
    clips = dataset.clips()
    names = zip(clips["uri"].to_pylist(), clips["start_frame"].to_pylist(), strict=True)
    return {
        (uri[3:-4], s): c for (uri, s), c in zip(names, clips["clip_id"].to_pylist(), strict=True)
    }


def test_a_denied_word_and_one_that_is_not_allowed(dataset):
    denied = judged(dataset, Policy(tags={"camera": Words(deny=("shaky",))}))
    assert denied[("film", 24)] == TAGS["camera"].reason == "unwanted_camera"
    assert [why for name, why in denied.items() if name != ("film", 24)] == [None] * 3
    allowed = judged(dataset, Policy(tags={"camera": Words(allow=("static",))}))
    assert allowed == {
        ("film", 0): None, ("film", 24): "unwanted_camera",
        ("dashcam", 0): "unwanted_camera", ("dashcam", 24): None,
    }  # fmt: skip


def test_some_sources_have_rules_of_their_own_and_the_rest_stays(dataset):
    own = SourceRules("uri LIKE '%dashcam%'", {"motion": Range(max=0.2)}, {"camera": Words()})
    policy = Policy({"motion": Range(min=0.2)}, tags={"camera": Words(deny=("zoom_in", "shaky"))},
                    sources=(own,))  # fmt: skip
    assert judged(dataset, policy) == {
        ("film", 0): "little_motion", ("film", 24): "unwanted_camera",
        ("dashcam", 0): None, ("dashcam", 24): "much_motion",
    }  # fmt: skip


def test_of_several_rules_for_a_source_the_later_ones_win(dataset):
    rules = (
        SourceRules("true", {"motion": Range(max=0.05), "sharpness": Range(min=0.1)}),
        SourceRules("uri LIKE '%film%'", {"motion": Range(max=0.2)}),
    )
    policy = Policy(sources=rules)
    assert judged(dataset, policy) == {
        ("film", 0): None, ("film", 24): "much_motion",
        ("dashcam", 0): "much_motion", ("dashcam", 24): "much_motion",
    }  # fmt: skip
    parts = rules_of(dataset, policy, dataset.clips())
    assert sum(part.astype(int) for part, _ in parts).tolist() == [1] * 4
    assert all("sharpness" in own.limits for part, own in parts if part.any())


def test_lists_by_hand_win_over_everything(dataset):
    names = ids(dataset)
    policy = Policy(
        {"motion": Range(max=0.2)},
        include=(names[("film", 24)][:12],),
        exclude=(names[("dashcam", 0)], names[("film", 24)]),
    )
    assert judged(dataset, policy) == {
        ("film", 0): None, ("film", 24): None,
        ("dashcam", 0): "excluded", ("dashcam", 24): "much_motion",
    }  # fmt: skip
    assert listed((), ["abcd"]).tolist() == [False]


def test_a_selection_is_another_one_when_lists_or_words_are_others(dataset):
    names = ids(dataset)
    policies = [
        Policy(copies=None),
        Policy(copies=None, exclude=(names[("film", 0)],)),
        Policy(copies=None, tags={"camera": Words(deny=("shaky",))}),
        Policy(copies=None, sources=(SourceRules("true", {"motion": Range(max=0.2)}),)),
    ]
    found = [select(dataset, policy) for policy in policies]
    assert len({one.selection_id for one in found}) == 4
    assert [one.funnel["kept"] for one in found] == [4, 3, 3, 2]


def test_every_rule_that_a_clip_breaks_is_told():
    policy = Policy(
        {"motion": Range(max=0.1), "sharpness": Range(min=0.6), "fps": Range(10, 60)},
        tags={"camera": Words(deny=("shaky",)), "kind": Words(allow=("moving",))},
    )
    values = {"motion": 0.5, "sharpness": 0.5, "fps": float("nan")}
    found = breaches(policy, values, {"camera": "shaky", "kind": "screen", "light": None})
    assert [(b.reason, b.column, b.value, b.wanted) for b in found] == [
        ("much_motion", "motion", 0.5, "at most 0.1"),
        ("blurred", "sharpness", 0.5, "at least 0.6"),
        ("unwanted_camera", "camera", "shaky", "none of shaky"),
        ("unwanted_kind", "kind", "screen", "one of moving"),
    ]


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (
            lambda: Policy(tags={"camara": Words()}),
            "no tag is called 'camara'; did you mean 'camera'",
        ),
        (lambda: Policy(tags={"camera": Words(deny=("shaki",))}), "did you mean 'shaky'"),
        (lambda: Policy(tags={"kind": Words(("still",), ("still",))}), "both allows and denies"),
        (lambda: Policy(include=("abc",)), "'abc' names too many clips"),
        (lambda: Policy(sources=(SourceRules("true", {"motoin": Range(1)}),)), "'motoin'"),
    ],
)
def test_rules_that_make_no_sense_are_refused(make, words):
    with pytest.raises(ValueError, match=words):
        make()


def test_a_condition_that_cannot_be_read_says_so(dataset):
    with pytest.raises(ValueError, match="no column 'urri'; did you mean 'uri'"):
        judged(dataset, Policy(sources=(SourceRules("urri = 'x'"),)))


def labelled(dataset, table, **holds):
    """Labels of the film's clips: by label, whether it holds for the first and the second."""
    names = ids(dataset)
    rows = [
        ClipLabel(names[("film", start)], "a" * 64, label.replace("_", "/"), float(held), held)
        for label, both in holds.items()
        for start, held in zip((0, 24), both, strict=True)
    ]
    with dataset.catalog.writer("label", {table: ClipLabel}) as writer:
        writer.append(table, records.table(ClipLabel, rows))


def test_labels_deny_and_allow_and_what_is_not_labelled_breaks_neither(dataset):
    labelled(dataset, "labels/a-1", light_day=(True, False), light_night=(False, True))
    denied = judged(dataset, Policy(labels=LabelRules(deny=("light/night",))))
    allowed = judged(dataset, Policy(labels=LabelRules(allow=("light/day",))))
    wanted = {("film", 0): None, ("film", 24): "unwanted_label",
              ("dashcam", 0): None, ("dashcam", 24): None}  # fmt: skip
    assert denied == allowed == wanted
    both = Policy(limits={"motion": Range(max=0.2)}, labels=LabelRules(deny=("light/night",)))
    assert judged(dataset, both)[("film", 24)] == "much_motion"
    kept = Policy(include=(ids(dataset)[("film", 24)],), labels=LabelRules(deny=("light/night",)))
    assert judged(dataset, kept)[("film", 24)] is None


def test_labels_that_are_unknown_or_in_two_tables_are_refused(dataset):
    labelled(dataset, "labels/a-1", light_day=(True, False))
    labelled(dataset, "labels/b-2", light_day=(False, True))
    with pytest.raises(ValueError, match="'light/daz'; did you mean 'light/day'"):
        judged(dataset, Policy(labels=LabelRules(deny=("light/daz",))))
    with pytest.raises(ValueError, match="in labels/a-1 and labels/b-2; name one"):
        judged(dataset, Policy(labels=LabelRules(deny=("light/day",))))
    second = Policy(labels=LabelRules(table="b", deny=("light/day",)))
    assert [why for why in judged(dataset, second).values() if why] == ["unwanted_label"]
    with pytest.raises(ValueError, match="both allows and denies 'x'"):
        Policy(labels=LabelRules(allow=("x",), deny=("x",)))


def test_labels_that_come_later_make_another_selection(dataset):
    policy = Policy(copies=None, labels=LabelRules(deny=("light/day",)))
    labelled(dataset, "labels/a-1", light_day=(False, False))
    first = select(dataset, policy)
    labelled(dataset, "labels/a-1", light_dusk=(True, True))
    assert select(dataset, policy).selection_id == first.selection_id
    labelled(dataset, "labels/a-1", light_day=(True, True))
    second = select(dataset, policy)
    assert second.selection_id != first.selection_id
    assert second.funnel == {"kept": 2, "unwanted_label": 2}


def test_a_policy_without_labels_keeps_its_name():
    assert Policy().digest == Policy(labels=LabelRules()).digest
    assert Policy().digest != Policy(labels=LabelRules(deny=("light/day",))).digest
