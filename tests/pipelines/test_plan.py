"""Plans: an output's own rates give back what it cost, and other footage what it would."""

import json

import pytest

from curation.dataset import Dataset
from curation.errors import PrerequisiteError
from curation.listing import Entry
from pipelines.cli.plan import _Probed, _sample
from pipelines.run.rates import (
    _SELECT_S,
    PARTS,
    CostRates,
    Footage,
    _commits,
    make_plan,
    measure_rates,
)


@pytest.fixture(scope="module")
def dataset(curated):
    return Dataset(curated.out)


@pytest.fixture(scope="module")
def rates(dataset):
    return measure_rates(dataset, "a test's", cpus=2)


def source_footage(dataset: Dataset) -> Footage:
    """One with the sums of an output's sources."""
    rows = [row for row in dataset.sources().to_pylist() if row["outcome"] == "scanned"]
    seconds = sum(row["duration_s"] for row in rows)
    frames = sum(row["frames"] for row in rows)
    pixels = sum(row["frames"] * row["width"] * row["height"] for row in rows)
    return Footage(seconds / 3600, pixels / frames, 1, frames / seconds)


def test_an_outputs_own_rates_give_back_what_it_cost(dataset, rates):
    planned = make_plan(rates, source_footage(dataset), cpus=2, gpus=0)
    measured: dict[str, float] = {}
    for run in dataset.runs().to_pylist():
        parts = json.loads(run["cpu_seconds"])
        used = sum(seconds for part, seconds in parts.items() if part in PARTS)
        measured[run["step"]] = measured.get(run["step"], 0.0) + used
    clips = dataset.scored_clips()
    kept = clips["verdict"].to_pylist().count("kept")
    assert planned.clips == pytest.approx(clips.num_rows)
    assert planned.kept_clips == pytest.approx(kept)
    found = {step.step: step.cpu_hours * 3600 for step in planned.steps}
    assert found["scan"] == pytest.approx(measured["scan"])
    assert found["select"] == pytest.approx(_SELECT_S * clips.num_rows), "too few to measure"
    for step in ("render", "tokenize"):  # some of what is kept may lie in unequal sources
        assert found[step] == pytest.approx(measured[step], rel=0.35)
    catalog = dataset.catalog
    for kind, tables in (("tokens", catalog.names("tokens")), ("tables", ["clips"])):
        stored = sum(size for name in tables for _, size in catalog.files(name))
        assert planned.stored_bytes[kind] >= 0.65 * stored > 0


def test_more_hours_larger_frames_and_more_processors(rates):
    def cpu_hours(footage):
        plan = make_plan(rates, footage, cpus=2, gpus=0)
        return {step.step: step.cpu_hours for step in plan.steps}

    one, ten = cpu_hours(Footage(1, 640, 360, 25)), cpu_hours(Footage(10, 640, 360, 25))
    assert ten == pytest.approx({step: 10 * hours for step, hours in one.items()})
    larger = cpu_hours(Footage(1, 1280, 720, 25))
    assert larger["render"] == pytest.approx(4 * one["render"])
    assert one["scan"] < larger["scan"] < 4 * one["scan"]
    assert larger["select"] == one["select"]
    footage = Footage(1000, 640, 360, 25)
    few, many = (make_plan(rates, footage, cpus=cpus, gpus=0) for cpus in (4, 400))
    assert few.wall_hours > many.wall_hours > few.wall_hours / 101


def test_a_step_on_gpus_takes_as_long_as_they_need(rates):
    footage = Footage(1000, 640, 360, 25)
    on_gpus = CostRates(**{**vars(rates), "gpu_s": {"tokenize": 0.5}})
    one, two = (make_plan(on_gpus, footage, cpus=10_000, gpus=gpus) for gpus in (1, 2))
    step = next(step for step in one.steps if step.step == "tokenize")
    assert step.gpu_hours == pytest.approx(500 * rates.kept_share)
    assert one.bottleneck == "tokenize"
    assert one.wall_hours - two.wall_hours == pytest.approx(step.gpu_hours / 2, rel=0.01)


@pytest.mark.parametrize(
    ("seconds", "commits"), [(10, 1), (1500, 100), (30_000, 400), (33_000, 410)]
)
def test_commits_come_seldom_in_a_long_run(seconds, commits):
    assert _commits(seconds) == pytest.approx(commits, abs=1)


def test_rates_are_written_and_read(rates):
    assert CostRates.from_json(rates.as_json()) == rates
    shipped = CostRates.shipped()
    assert shipped.cpu_s.keys() >= {"decode", "shots", "scores", "render", "tokenize"}
    assert shipped.machine


def test_an_output_without_a_selection_has_no_rates(tmp_path):
    with pytest.raises(PrerequisiteError, match="a selection"):
        measure_rates(Dataset(tmp_path), "none")


@pytest.mark.slow
def test_the_command_plans_videos_and_hours(reelmill, curated, tmp_path):
    own = reelmill("plan", str(curated.videos), "--from", str(curated.out), "--json")
    assert own.code == 0, own
    steps = [json.loads(line) for line in own.out.splitlines()]
    assert [row["step"] for row in steps[:-1]] == [
        "scan",
        "select",
        "render",
        "caption",
        "tokenize",
    ]
    assert steps[-1]["kept_clips"] > 0
    saved = tmp_path / "rates.json"
    here = reelmill("plan", str(curated.videos), "--calibrate", "--save", str(saved),
                    *curated.options)  # fmt: skip
    assert here.code == 0, here
    assert "most of it takes" in here.out
    assert CostRates.from_json(saved.read_text()).settings == "yours"


def test_a_sample_is_of_minutes_also_where_every_video_is_long():
    def lengths(*seconds):
        probed = [_Probed(Entry(f"{n}.mp4"), each, 25.0, 1) for n, each in enumerate(seconds)]
        return [video.seconds for video in _sample(probed)]

    assert lengths(30, 7200, 60, 80, 50) == [30, 60, 80]
    assert lengths(7200, 3600, 5400) == [3600]


def test_what_is_not_said_is_asked_for(reelmill):
    assert "--hours" in reelmill("plan").err
    assert "1280x720" in reelmill("plan", "--hours", "2", "--frame-size", "large").err
    assert "needs videos" in reelmill("plan", "--hours", "2", "--calibrate").err
    shipped = reelmill("plan", "--hours", "1e6", "--cpus", "4096")
    assert shipped.code == 0
    assert "1,000,000 h of video" in shipped.out
