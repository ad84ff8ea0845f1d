"""Statistics: funnel, values, facets, sources, and the outcome of another policy."""

import shutil
from pathlib import Path

import pyarrow as pa
import pytest

from curation import records
from curation.dataset import Dataset
from curation.records import Source
from curation.select.policy import Policy, Range
from curation.select.selection import select
from pipelines import config
from pipelines.service import what_if
from tests.outputs import tables

DRIVE = "/v1/collections/drive"


def try_policy(served, **trial) -> dict:
    return served.client.post(f"{DRIVE}/reselection", json=trial).json()


def test_the_funnel_is_that_of_the_report(served):
    found = served.client.get(f"{DRIVE}/funnel").json()
    rows = {row["title"]: row for row in found["rows"]}
    assert list(rows) == ["Inputs", "Clips", "To render", "To caption", "To tokenize"]
    parts = {part["label"]: part["number"] for part in rows["Clips"]["parts"]}
    assert parts == {"kept": 2, "duplicates": 2, "too_short": 1}
    assert found["seconds"]["kept"] == pytest.approx(2.0)


def test_values_are_spread_by_verdict_with_the_bounds_that_hold(served):
    found = served.client.get(f"{DRIVE}/values").json()
    values = {one["name"]: one for one in found["histograms"]}
    length = values["duration_s"]
    assert length["bounds"] == {"min": 0.9, "max": None}
    assert {layer["verdict"]: sum(layer["counts"]) for layer in length["layers"]} == {
        "kept": 2, "duplicate": 2, "filtered": 1,
    }  # fmt: skip
    assert length["low"] <= 0.5
    assert length["high"] >= 1.0
    assert (values["motion"]["takes_min"], values["bars"]["takes_min"]) == (True, False)
    assert found["near_duplicates"] == config.load().policy.near_duplicates


@pytest.mark.parametrize(
    ("limits", "after", "changes"),
    [
        ({}, {"kept": 2, "duplicate": 2, "too_short": 1}, (0, 0, 0)),
        ({"duration_s": {"min": 0.4}}, {"kept": 3, "duplicate": 2}, (1, 0, 1)),
        ({"duration_s": {}}, {"kept": 3, "duplicate": 2}, (1, 0, 1)),
        ({"duration_s": {"max": 0.7}}, {"kept": 1, "too_long": 4}, (1, 2, 1)),
    ],
)
def test_a_trial_says_what_would_be_kept(served, limits, after, changes):
    found = try_policy(served, limits=limits)
    assert (found["kept_before"], found["kept_after"]) == (2, after["kept"])
    assert {name: clips for name, clips in found["after"].items() if clips} == after
    assert (len(found["gained"]), len(found["lost"]), found["uncompared"]) == changes


def test_a_trial_predicts_the_selection(served, outputs, tmp_path):
    shutil.copytree(outputs / "drive", tmp_path / "out")
    dataset = Dataset(tmp_path / "out")
    for limits in ({"duration_s": Range(0.9, None)}, {"duration_s": Range(None, 0.7)}):
        policy = Policy(limits=limits, near_duplicates=0.8)
        prediction = what_if.evaluate(dataset, dataset.clips(), policy)
        assert +prediction.after == select(dataset, policy).funnel
    version = dataset.catalog.version("selection")
    what_if.evaluate(dataset, dataset.clips(), Policy(near_duplicates=None))
    assert dataset.catalog.version("selection") == version, "nothing is stored"


def test_the_settings_of_a_trial_make_it_so(served, curated):
    found = try_policy(served, limits={"duration_s": {"max": 0.7}}, near_duplicates=0.9)
    lifts = {"policy.limits.duration_s.min": None}  # which the server's own profile bounds
    assert found["settings"] == {
        "policy.near_duplicates": 0.9, "policy.limits.duration_s.max": 0.7, **lifts,
    }  # fmt: skip
    job_request = {"kind": "select", "collection": "drive", "settings": found["settings"]}
    plan = served.client.post("/v1/plan", json=job_request)
    assert plan.status_code == 200, plan.text
    policy = config.recorded_policy(plan.json()["config"])
    bounded = {name: bounds for name, bounds in policy.limits.items() if bounds != Range()}
    assert (bounded, policy.near_duplicates) == ({"duration_s": Range(None, 0.7)}, 0.9)
    assert try_policy(served, limits={"duration_s": {}})["settings"] == lifts


def test_rules_that_settings_cannot_express_give_none():
    rules = [{"where": "uri LIKE '%a%'", "limits": {"motion": {"min": 0.1}}}]
    assert what_if.settings({"sources": []}, {"sources": rules}) is None
    assert what_if.settings({"sources": rules}, {"sources": rules, "near_duplicates": 0.7}) == {
        "policy.near_duplicates": 0.7
    }


@pytest.mark.parametrize(
    "trial",
    [
        {"limits": {"nonsense": {"min": 1}}}, {"limits": {"bars": {"min": 0.1}}},
        {"limits": {"motion": {"min": 0.5, "max": 0.1}}}, {"near_duplicates": 0.1}, {"policy": {}},
    ],
)  # fmt: skip
def test_a_trial_that_makes_no_sense_is_refused(served, trial):
    assert served.client.post(f"{DRIVE}/reselection", json=trial).status_code == 422


def test_words_are_counted_under_the_other_filters(served):
    def facets(**narrowing) -> tuple[int, dict]:
        found = served.client.post(f"{DRIVE}/facets", json=narrowing)
        assert found.status_code == 200, found.text
        words_by_column = {f["column"]: f["words"] for f in found.json()["facets"]}
        counts = {n: {w["word"]: w["clips"] for w in words} for n, words in words_by_column.items()}
        return found.json()["total"], counts

    total, counts = facets()
    assert (total, counts["verdict"]) == (5, {"duplicate": 2, "kept": 2, "filtered": 1})
    total, counts = facets(words={"verdict": ["filtered"]})
    assert (total, counts["reason"]) == (1, {"too_short": 1})
    assert counts["verdict"] == {"duplicate": 2, "kept": 2, "filtered": 1}, "another can be chosen"
    total, counts = facets(where="duration_s > 0.7", words={"verdict": ["filtered"]})
    assert (total, counts["verdict"]) == (0, {"duplicate": 2, "kept": 2, "filtered": 0})
    for wrong in ({"words": {"clip_id": ["x"]}}, {"where": "nonsense > 3"}):
        assert served.client.post(f"{DRIVE}/facets", json=wrong).status_code == 422


def test_a_source_lists_its_clips_and_serves_ranges(served, outputs, curated):
    clips = Dataset(outputs / "drive").clips().to_pylist()
    names = {Path(clip["uri"]).name: clip["source_id"] for clip in clips}
    where = f"{DRIVE}/sources/{names['a.mp4']}"
    found = served.client.get(where).json()
    assert [(clip["start_s"], clip["end_s"]) for clip in found["clips"]] == [(0.0, 1.0), (1.0, 2.0)]
    assert (found["plays"], found["source"]["name"]) == (True, "a.mp4")
    assert str(curated.videos) not in served.client.get(where).text
    part = served.client.get(f"{where}/video", headers={"Range": "bytes=10-19"})
    assert (part.status_code, part.headers["content-type"]) == (206, "video/mp4")
    assert part.content == (curated.videos / "a.mp4").read_bytes()[10:20]
    assert served.client.get(f"{DRIVE}/sources/{'0' * 64}/video").status_code == 404


def test_a_source_that_has_changed_is_not_shown(serve, curated, tmp_path):
    root = tmp_path / "root"
    videos = tmp_path / "videos"
    shutil.copytree(curated.videos, videos)
    served = serve(root=str(root), sources={"videos": str(videos)})
    (row,) = [r for r in tables(curated.out)["sources"] if r["uri"].endswith("a.mp4")]
    moved = {
        **row,
        "uri": str(videos / "a.mp4"),
        "modified": str((videos / "a.mp4").stat().st_mtime_ns),
    }
    catalog = Dataset(root / "drive").catalog
    catalog.append("sources", Source, pa.Table.from_pylist([moved], records.arrow_schema(Source)))
    where = f"{DRIVE}/sources/{row['source_id']}/video"
    assert served.client.get(where).status_code == 200
    (videos / "a.mp4").write_bytes(b"secret")
    answer = served.client.get(where)
    assert answer.status_code == 409
    assert b"secret" not in answer.content
