"""Whole selections over stored signatures and vectors."""

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from curation import records
from curation.dataset import Dataset
from curation.dedup import pair_search
from curation.dedup.greedy import greedy_duplicates
from curation.dedup.neighbours import Signatures, find_neighbours
from curation.dedup.rules import (
    NEAR_DUPLICATE_PAIRS,
    DuplicateRule,
    NotEmbeddedError,
    graph_of_pairs,
)
from curation.embed.signature import NUM_COARSE
from curation.id_match import IdMatcher
from curation.records import Clip, Embedding, Neighbour, Signature, Verdict
from curation.select.policy import Policy, Semantic
from curation.select.selection import select
from tests import rows

NEAR_DUPLICATES_ALONE = Policy({}, 0.8)


def shows(angle: float, plane: int = 0) -> np.ndarray:
    coefficients = np.zeros(NUM_COARSE)
    coefficients[2 * plane : 2 * plane + 2] = np.cos(angle), np.sin(angle)
    return coefficients


def looks(source: str, *clips: np.ndarray, sharpness: float = 0.5, seconds: int = 1):
    """Clips of a shot each, one after another."""
    frames = 24 * seconds
    return [
        rows.MeasuredClip(
            rows.make_clip(source * 64, frames * at, frames * (at + 1)),
            shows=looked,
            scores={"sharpness": sharpness},
        )
        for at, looked in enumerate(clips)
    ]


def verdicts(dataset: Dataset, policy: Policy) -> dict[str, Verdict]:
    chosen = select(dataset, policy).selection_id
    return {v.clip_id: v for v in records.from_table(Verdict, dataset.selection(chosen))}


def plain(verdicts: dict[str, Verdict]) -> dict[str, tuple[str, str | None, float | None]]:
    return {clip: (v.verdict, v.duplicate_of, v.similarity) for clip, v in verdicts.items()}


def sources(seed: int) -> list[list[rows.MeasuredClip]]:
    """Five sources of clips that are more or less alike, some of them the same or blank."""
    rng = np.random.default_rng(seed)
    looks_by_source = []
    for number in range(5):
        angles = rng.choice([0.0, 0.2, 0.4, 0.6, 0.8, 1.0], 3)
        clips = [shows(angle, int(rng.integers(0, 2))) for angle in angles]
        if rng.random() < 0.3:
            clips[0] = np.zeros(NUM_COARSE)
        looks_by_source.append(
            looks(f"{number}", *clips, sharpness=float(rng.choice([0.4, 0.5, 0.6])))
        )
    return looks_by_source


def complete(sources: list[list[rows.MeasuredClip]], stored: pa.Table) -> pa.Table:
    """The stored pairs, with those of clips that were not searched for."""
    signatures = [rows.make_signature(look) for looks in sources for look in looks]
    content = Signatures(records.to_table(Signature, signatures).sort_by("clip_id"))
    searched = stored.filter(stored["identical"])
    representatives = searched.filter(pc.equal(searched["clip_id"], searched["neighbour_id"]))
    ids = (set(table["clip_id"].to_pylist()) for table in (searched, representatives))
    return pa.concat_tables([stored, find_neighbours(content, *ids)])


def duplicates(
    sources: list[list[rows.MeasuredClip]], stored: pa.Table
) -> dict[str, tuple[str, float]]:
    """The dropped clips and their representatives."""
    clips = [look.clip for looks in sources for look in looks]
    table = records.to_table(Clip, clips).sort_by("clip_id")
    ids = table["clip_id"].to_pylist()
    sharp = {look.clip.clip_id: look.scores["sharpness"] for looks in sources for look in looks}
    order = sorted(range(len(ids)), key=lambda row: (-sharp[ids[row]], ids[row]))
    graph = graph_of_pairs(
        DuplicateRule.near_duplicate(0.8), stored, table, IdMatcher(table["clip_id"])
    )
    dropped = greedy_duplicates(order, [graph])
    kept = set(range(len(ids))) - dropped.keys()
    assert all(representative.row in kept for representative in dropped.values())
    return {ids[row]: (ids[r.row], r.similarity) for row, r in dropped.items()}


NONE = records.to_table(Neighbour, [])


@pytest.mark.parametrize("by_cells", [False, True])
@settings(max_examples=12, deadline=None, phases=[Phase.generate])
@given(seed=st.integers(0, 10_000), order=st.permutations(range(5)), data=st.data())
def test_sources_in_any_order_end_as_all_at_once(by_cells, seed, order, data):
    """Identical under exact search; by cells here too, where clips are few."""
    all_sources = sources(seed)
    at_once = duplicates(all_sources, complete(all_sources, NONE))
    added: list[list[rows.MeasuredClip]] = []
    stored = NONE
    with pytest.MonkeyPatch.context() as patch:
        if by_cells:
            patch.setattr(pair_search, "EXACT_UP_TO", 0)
        for number in order:
            added.append(all_sources[number])
            if data.draw(st.booleans()) or len(added) == 5:
                stored = complete(added, stored)
    assert duplicates(all_sources, stored) == at_once


@pytest.mark.slow
def test_a_grown_output_ends_as_one_made_at_once(tmp_path):
    all_sources = sources(4)
    results = []
    for order in ((0, 1, 2, 3, 4), (3, 1, 4, 0, 2)):
        dataset = Dataset(tmp_path / f"{order[0]}")
        for number in order:
            rows.add_source(dataset, f"/v/{number}.mp4", all_sources[number])
            if order[0] and number in (1, 0):
                select(dataset, NEAR_DUPLICATES_ALONE)
        results.append(plain(verdicts(dataset, NEAR_DUPLICATES_ALONE)))
    assert results[0] == results[1]
    assert "duplicate" in {verdict for verdict, *_ in results[0].values()}


def test_identical_and_blank_clips_make_one_row_each(tmp_path):
    dataset = Dataset(tmp_path / "out")
    rows.add_source(
        dataset, "/v/a.mp4", looks("1", *[shows(0.0)] * 12, *[np.zeros(NUM_COARSE)] * 8)
    )
    by_clip = verdicts(dataset, NEAR_DUPLICATES_ALONE)
    assert sum(v.verdict == "kept" for v in by_clip.values()) == 2
    stored = records.from_table(Neighbour, dataset.catalog.read(NEAR_DUPLICATE_PAIRS, Neighbour))
    assert len(stored) == 20
    assert all(row.identical and row.similarity == 1 for row in stored)
    assert len({row.neighbour_id for row in stored}) == 2


def test_windows_of_one_shot_that_show_the_same_are_near_duplicates(tmp_path):
    dataset = Dataset(tmp_path / "out")
    windows = [rows.make_clip("1" * 64, 24 * n, 24 * n + 24, (0, 72)) for n in range(3)]
    shot = [rows.MeasuredClip(window, shows=shows(0.0)) for window in windows]
    rows.add_source(dataset, "/v/a.mp4", shot)
    assert sorted(v.verdict for v in verdicts(dataset, NEAR_DUPLICATES_ALONE).values()) == [
        "duplicate", "duplicate", "kept",
    ]  # fmt: skip


def test_a_sharper_piece_does_not_represent_the_whole(tmp_path):
    dataset = Dataset(tmp_path / "out")
    rows.add_source(dataset, "/v/long.mp4", looks("1", shows(0.0), sharpness=0.4, seconds=8))
    rows.add_source(dataset, "/v/piece.mp4", looks("2", shows(0.1), sharpness=0.9, seconds=2))
    assert {v.verdict for v in verdicts(dataset, NEAR_DUPLICATES_ALONE).values()} == {"kept"}
    better = Dataset(tmp_path / "better")
    rows.add_source(better, "/v/long.mp4", looks("1", shows(0.0), sharpness=0.9, seconds=8))
    rows.add_source(better, "/v/piece.mp4", looks("2", shows(0.1), sharpness=0.4, seconds=2))
    by_clip = verdicts(better, NEAR_DUPLICATES_ALONE)
    assert [v.source_id[0] for v in by_clip.values() if v.verdict == "duplicate"] == ["2"]


@pytest.mark.parametrize(("best", "seconds"), [("1", (1.0, 4.0)), ("2", (4.0, 1.0))])
def test_the_bit_rate_decides_where_all_else_is_equal(best, seconds, tmp_path):
    """Both sources have a thousand bytes."""
    dataset = Dataset(tmp_path / "out")
    for number, angle, length in zip("12", (0.0, 0.1), seconds, strict=True):
        rows.add_source(dataset, f"/v/{number}.mp4", looks(number, shows(angle)), duration_s=length)
    (kept,) = (v for v in verdicts(dataset, NEAR_DUPLICATES_ALONE).values() if v.verdict == "kept")
    assert kept.source_id[0] == best


def embed(dataset: Dataset, name: str, vectors: dict[str, np.ndarray]) -> None:
    embeddings = [
        Embedding(clip, clip, len(vector), vector.astype("<f2").tobytes())
        for clip, vector in vectors.items()
    ]
    dataset.catalog.append(f"embeddings/{name}", Embedding, records.to_table(Embedding, embeddings))


SEMANTIC = Policy({}, 0.8, Semantic("tiny", 0.9))


def test_scenes_alike_in_meaning_are_duplicates_of_another_kind(tmp_path):
    dataset = Dataset(tmp_path / "out")
    first = looks("1", shows(0.0), shows(0.0, 1), sharpness=0.9)
    windows = [rows.MeasuredClip(rows.make_clip("2" * 64, 24 * n, 24 * n + 24, (0, 48)),
                          shows=shows(0.0, 2 + n)) for n in range(2)]  # fmt: skip
    rows.add_source(dataset, "/v/1.mp4", first)
    rows.add_source(dataset, "/v/2.mp4", windows)
    with pytest.raises(NotEmbeddedError, match="4 clips have no row in embeddings/tiny"):
        select(dataset, SEMANTIC)
    ids = [look.clip.clip_id for look in (*first, *windows)]
    angles = (0.0, 0.3, 1.2, 1.25)
    embed(dataset, "tiny", {c: shows(a)[:8] for c, a in zip(ids, angles, strict=True)})
    by_clip = verdicts(dataset, SEMANTIC)
    assert [by_clip[clip].verdict for clip in ids] == ["kept", "duplicate", "kept", "kept"]
    assert by_clip[ids[1]].reason == "semantic_duplicate"
    assert by_clip[ids[1]].similarity == pytest.approx(np.cos(0.3), abs=1e-3)
    strict = verdicts(dataset, Policy({}, 0.8, Semantic("tiny", 0.99)))
    assert {v.verdict for v in strict.values()} == {"kept"}


def test_groups_have_the_id_of_the_kept_clip(tmp_path):
    dataset = Dataset(tmp_path / "out")
    rows.add_source(dataset, "/v/1.mp4", looks("1", shows(0.0), shows(0.0, 1), sharpness=0.9))
    rows.add_source(dataset, "/v/2.mp4", looks("2", shows(0.2), shows(0.1)))
    chosen = select(dataset, NEAR_DUPLICATES_ALONE).selection_id
    clips = dataset.clips(selection_id=chosen).to_pylist()
    groups = {clip["clip_id"]: clip["group_id"] for clip in clips}
    best, other = (look.clip.clip_id for look in looks("1", shows(0.0), shows(0.0, 1)))
    assert sorted(groups.values()) == sorted([best, best, best, other])
    assert groups[best] == best
