import json
import shutil
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from curation import records
from curation.catalog import Catalog
from curation.dataset import Dataset
from curation.dedup import rules
from curation.dedup.neighbours import find_neighbours
from curation.dedup.rules import NEAR_DUPLICATE_PAIRS
from curation.delta_table import StaleWriterError
from curation.embed.signature import NUM_COARSE
from curation.records import Neighbour, Signature, Verdict
from curation.scan.collector import SIGNATURES
from curation.select.policy import Policy, Range
from curation.select.selection import NotEmbeddedError, Selection, select
from tests import rows

POLICY = Policy({"motion": Range(min=0.1)}, 0.8)


def vector(angle: float, plane: int = 0) -> np.ndarray:
    """Unit vectors of one plane; the cosine of the angle between two is their similarity."""
    coefficients = np.zeros(NUM_COARSE)
    coefficients[2 * plane : 2 * plane + 2] = np.cos(angle), np.sin(angle)
    return coefficients


def looks(
    source: str, *clips: tuple[float, np.ndarray], sharpness: float = 0.5
) -> list[rows.MeasuredClip]:
    """Clips of one second each, a shot each; given by their motion and their vector."""
    return [
        rows.MeasuredClip(
            rows.make_clip(source * 64, 24 * at, 24 * at + 24),
            shows=shown,
            scores={"motion": motion, "sharpness": sharpness, "brightness": 0.5},
        )
        for at, (motion, shown) in enumerate(clips)
    ]


FIRST = looks("1", (0.5, vector(0)), (0.01, vector(0, 1)), (0.5, vector(0, 2)))
SECOND = looks("2", (0.5, vector(0.3)), (0.5, vector(0, 3)), sharpness=0.4)
"""The first clip resembles that of the first source (cosine 0.955) and is less sharp."""


@pytest.fixture(scope="module")
def output(tmp_path_factory) -> Path:
    out = tmp_path_factory.mktemp("select")
    rows.add_source(Dataset(out), "/v/1.mp4", FIRST)
    rows.add_source(Dataset(out), "/v/2.mp4", SECOND)
    return out


@pytest.fixture
def dataset(output, tmp_path) -> Dataset:
    shutil.copytree(output, tmp_path / "out")
    return Dataset(tmp_path / "out")


def run(dataset: Dataset, policy: Policy) -> Selection:
    """Selects and records it, as a job does."""
    selection = select(dataset, policy)
    if selection.is_new:
        started = f"{dataset.runs().num_rows:03}"
        rows.add_run(
            dataset, "select", selection.selection_id, json.dumps(selection.funnel), started
        )
    return selection


def versions(dataset: Dataset) -> dict[str, int]:
    return {
        name: dataset.catalog.version(name) for name in ("selection", NEAR_DUPLICATE_PAIRS, "runs")
    }


def verdicts(dataset: Dataset, selection_id: str) -> dict[str, Verdict]:
    stored = records.from_table(Verdict, dataset.selection(selection_id))
    assert len({v.clip_id for v in stored}) == len(stored)
    return {v.clip_id: v for v in stored}


def test_each_clip_gets_one_verdict(dataset):
    selection = run(dataset, POLICY)
    assert selection.funnel == Counter(kept=3, duplicate=1, little_motion=1)
    assert (selection.previous_funnel, selection.is_new) == (None, True)
    by_clip = verdicts(dataset, selection.selection_id)
    assert by_clip.keys() == {look.clip.clip_id for look in FIRST + SECOND}
    duplicate = by_clip[SECOND[0].clip.clip_id]
    assert (duplicate.verdict, duplicate.reason) == ("duplicate", "near_duplicate")
    assert duplicate.duplicate_of == FIRST[0].clip.clip_id
    assert duplicate.similarity == pytest.approx(np.cos(0.3), abs=0.02)
    still = by_clip[FIRST[1].clip.clip_id]
    assert (still.verdict, still.reason, still.similarity) == ("filtered", "little_motion", None)


def test_the_same_again_writes_nothing(dataset):
    first = run(dataset, POLICY)
    versions_before = versions(dataset)
    again = run(dataset, Policy(dict(POLICY.limits), 0.8))
    assert versions(dataset) == versions_before
    assert again == Selection(first.selection_id, first.funnel, first.funnel, False)


def test_another_policy_and_then_the_old_one_again(dataset):
    first = run(dataset, POLICY)
    second = run(dataset, Policy({}, None))
    assert second.funnel == Counter(kept=5)
    assert second.previous_funnel == first.funnel
    assert dataset.latest_selection() == second.selection_id
    rows_before = dataset.catalog.version("selection")
    third = run(dataset, POLICY)
    assert (third.selection_id, third.is_new) == (first.selection_id, True)
    assert third.previous_funnel == second.funnel
    assert dataset.latest_selection() == first.selection_id
    assert dataset.catalog.version("selection") == rows_before
    assert dataset.clips("kept").num_rows == 3


def test_without_deduplication_no_neighbour_is_searched(dataset):
    assert run(dataset, Policy({}, None)).funnel == Counter(kept=5)
    assert dataset.catalog.read(NEAR_DUPLICATE_PAIRS, Neighbour).num_rows == 0


def test_a_filtered_clip_represents_no_near_duplicates(dataset):
    """The better one of the two breaks the policy, so the other one is kept."""
    selection = run(dataset, Policy({"sharpness": Range(max=0.45)}, 0.8))
    by_clip = verdicts(dataset, selection.selection_id)
    assert by_clip[FIRST[0].clip.clip_id].reason == "too_sharp"
    assert by_clip[SECOND[0].clip.clip_id].verdict == "kept"


def test_neighbours_are_searched_only_for_clips_that_were_not(dataset, monkeypatch):
    searches: list[list[str]] = []

    def spy(content, searched, representatives, search):
        searches.append(sorted({*content.ids} - {*searched}))
        return find_neighbours(content, searched, representatives, search)

    monkeypatch.setattr(rules, "find_neighbours", spy)
    passing = sorted(look.clip.clip_id for look in FIRST + SECOND if look.scores["motion"] > 0.1)
    run(dataset, POLICY)
    assert searches == [passing]
    run(dataset, Policy({"motion": Range(min=0.2)}, 0.9))
    assert len(searches) == 1
    run(dataset, Policy({}, 0.9))
    assert searches[1:] == [[FIRST[1].clip.clip_id]]


def test_clips_that_come_later_end_as_if_all_had_come_at_once(dataset, tmp_path):
    later = Dataset(tmp_path / "later")
    rows.add_source(later, "/v/2.mp4", SECOND)
    assert run(later, POLICY).funnel == Counter(kept=2)
    rows.add_source(later, "/v/1.mp4", FIRST)
    grown, at_once = run(later, POLICY), run(dataset, POLICY)
    assert grown.selection_id == at_once.selection_id
    assert verdicts(later, grown.selection_id) == verdicts(dataset, at_once.selection_id)
    one, other = (
        sorted(
            records.from_table(Neighbour, d.catalog.read(NEAR_DUPLICATE_PAIRS, Neighbour)), key=repr
        )
        for d in (later, dataset)
    )
    assert one == other


def test_a_score_that_comes_later_makes_another_selection(tmp_path):
    """Unmeasured values break no bound; once they are measured the verdict may change."""
    dataset = Dataset(tmp_path / "out")
    tables = {n: r for n, r in rows.SCAN.items() if n != "scores/motion"}
    rows.add_source(dataset, "/v/1.mp4", FIRST, tables=tables)
    assert run(dataset, POLICY).funnel == Counter(kept=3)
    motion = rows.SCAN["scores/motion"]
    table = records.to_table(motion, rows.make_scan_rows(FIRST)["scores/motion"])
    dataset.catalog.append("scores/motion", motion, table)
    assert run(dataset, POLICY).funnel == Counter(kept=2, little_motion=1)


def test_no_clips_make_one_empty_selection(tmp_path):
    dataset = Dataset(tmp_path / "out")
    assert run(dataset, POLICY).is_new
    assert not run(dataset, POLICY).is_new
    assert dataset.catalog.version("selection") == -1


def test_two_runs_at_once_commit_one_set_of_verdicts(dataset, monkeypatch):
    """The other run commits after this one read and before it acquires the tables."""
    writer = Catalog.writer
    inner: list[Selection] = []

    def late(catalog, app, tables):
        if not inner:
            inner.append(Selection("", Counter(), None, False))
            inner[0] = select(dataset, POLICY)
        return writer(catalog, app, tables)

    monkeypatch.setattr(Catalog, "writer", late)
    with pytest.raises(StaleWriterError, match="another run"):
        select(dataset, POLICY)
    assert len(verdicts(dataset, inner[0].selection_id)) == 5
    assert select(dataset, POLICY).selection_id == inner[0].selection_id


def test_clips_without_a_signature_are_named(dataset):
    rows.add_source(
        dataset, "/v/3.mp4", looks("3", (0.5, vector(1))), tables={"clips": records.Clip}
    )
    with pytest.raises(NotEmbeddedError, match="1 clips have no row in signatures; run `reelmill"):
        select(dataset, POLICY)
    assert select(dataset, Policy({}, None)).funnel == Counter(kept=6)
    assert dataset.catalog.read(SIGNATURES, Signature).num_rows == 5
