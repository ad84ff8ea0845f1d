import json
from dataclasses import asdict

import numpy as np
import pytest

from curation.reasons import CLIP_REASONS, DUPLICATE_REASONS
from curation.select.policy import FILTER_REASONS, LIMITS, Policy, PolicyError, Range, Semantic

SIDES = [
    (name, side, reason)
    for name, limit in LIMITS.items()
    for side, reason in (("min", limit.low), ("max", limit.high))
]


def values(**measured: float) -> dict[str, np.ndarray]:
    """One clip; all else was not measured."""
    return {name: np.array([measured.get(name, np.nan)]) for name in LIMITS}


@pytest.mark.parametrize(("name", "side", "reason"), [s for s in SIDES if s[2]])
def test_each_bound_gives_its_reason_beyond_it_and_none_on_it(name, side, reason):
    policy = Policy({name: Range(**{side: 0.5})})
    beyond = 0.4999 if side == "min" else 0.5001
    assert policy.reasons(values(**{name: beyond})).to_pylist() == [reason]
    assert policy.reasons(values(**{name: 0.5})).to_pylist() == [None]
    assert FILTER_REASONS[reason].endswith(".")


@pytest.mark.parametrize(("name", "side"), [s[:2] for s in SIDES if not s[2]])
def test_a_bound_without_a_reason_is_refused(name, side):
    with pytest.raises(PolicyError, match=f"{name} takes no '{side}'"):
        Policy({name: Range(**{side: 0.5})})


def test_reasons_are_one_word_each_and_cover_those_of_clips():
    assert all(reason.isidentifier() and reason.islower() for reason in FILTER_REASONS)
    assert {*CLIP_REASONS} - {*FILTER_REASONS} == {*DUPLICATE_REASONS}


def test_the_first_rule_that_is_broken_gives_the_reason():
    policy = Policy(
        {name: Range(min=1.0) for name, side, reason in SIDES if side == "min" and reason}
    )
    broken = [name for name in LIMITS if name in policy.limits]
    while broken:
        low = values(**dict.fromkeys(broken, 0.0))
        assert policy.reasons(low).to_pylist() == [LIMITS[broken[0]].low]
        broken.pop(0)
    assert policy.reasons(values(fps=0.5, duration_s=0.5)).to_pylist() == ["too_short"]


def test_what_could_not_be_measured_breaks_nothing():
    bounds = {
        name: Range(1.0 if limit.low else None, 1.0 if limit.high else None)
        for name, limit in LIMITS.items()
    }
    assert Policy(bounds).reasons(values()).to_pylist() == [None]


def test_each_clip_has_a_reason_of_its_own():
    measured = {name: np.full(4, np.nan) for name in LIMITS}
    measured["duration_s"] = np.array([0.5, 5.0, 50.0, np.nan])
    measured["brightness"] = np.array([0.0, 0.5, 0.5, 0.0])
    policy = Policy({"duration_s": Range(1, 10), "brightness": Range(min=0.1)})
    assert policy.reasons(measured).to_pylist() == ["too_short", None, "too_long", "dark"]
    assert Policy().reasons(measured).to_pylist() == [None] * 4
    assert policy.reasons({name: np.array([]) for name in LIMITS}).to_pylist() == []


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (
            lambda: Policy({"motoin": Range(1)}),
            "no value is called 'motoin'; did you mean 'motion'",
        ),
        (lambda: Policy({"qqq": Range(1)}), "no value is called 'qqq'$"),
        (
            lambda: Policy(near_duplicates=0.5),
            r"near_duplicates is 0\.5; pairs are known from 0\.6 to 1",
        ),
        (lambda: Policy(semantic=Semantic(similarity=0.7)), r"semantic\.similarity is 0\.7"),
        (lambda: Policy(near_duplicates=float("nan")), "near_duplicates is nan"),
        (lambda: Policy({"motion": Range(0.5, 0.25)}), "motion has min 0.5 above max 0.25"),
        (lambda: Policy({"motion": Range(min=float("nan"))}), "'min' of motion is not a number"),
    ],
)
def test_a_policy_that_makes_no_sense_is_refused(make, message):
    with pytest.raises(PolicyError, match=message):
        make()


def test_the_digest_depends_on_the_content_alone():
    first = Policy({"motion": Range(0.1), "fps": Range(max=60.0)})
    second = Policy({"fps": Range(max=60.0), "motion": Range(0.1)})
    assert first.digest == second.digest
    others = [Policy({"motion": Range(0.1)}), Policy(first.limits, None), Policy(first.limits, 0.9)]
    assert len({first.digest, *(policy.digest for policy in others)}) == 4
    assert json.loads(json.dumps(asdict(first)))["near_duplicates"] == 0.75


def test_the_digest_is_that_of_earlier_versions():
    """Selections are named by it."""
    assert Policy().digest.startswith("24a94eb754a9d3d3")
