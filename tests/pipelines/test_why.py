"""`reelmill why`: the explanation of one clip."""

import pytest

from curation.dataset import Dataset
from pipelines import config
from pipelines.cli.exit import UsageError
from pipelines.cli.why import why
from pipelines.run.engine import in_process
from pipelines.run.pipeline import Pipeline
from tests.rows import MeasuredClip, add_source, make_clip

LIMITS = ["near_duplicates=null", "motion.min=0.2", "camera.deny=[shaky]", "exclude=[]"]


@pytest.fixture
def out(tmp_path):
    """Three clips of one source: one that passes, one that breaks two rules, one out by hand."""
    dataset = Dataset(tmp_path)
    scores = (("static", 0.5), ("shaky", 0.1), ("roll", 0.5))
    clips = [
        MeasuredClip(
            make_clip("a" * 64, 48 * n, 48 * n + 48), scores={"camera": camera, "motion": motion}
        )
        for n, (camera, motion) in enumerate(scores)
    ]
    add_source(dataset, "/v/film.mp4", clips)
    return dataset, [clip.clip.clip_id for clip in clips]


def select(dataset, *changes):
    Pipeline(dataset, config.load(overrides=[*LIMITS, *changes]), in_process).select()


def explanation(capsys, dataset, clip):
    why(dataset.catalog.storage.root, clip[:10])
    return " ".join(capsys.readouterr().out.split())


def test_a_kept_clip_passes_its_rules(out, capsys):
    dataset, (clip, *_) = out
    select(dataset)
    text = explanation(capsys, dataset, clip)
    assert text.startswith(f"{clip} /v/film.mp4 0.00–2.00 s kept")
    assert "motion 0.5 at least 0.2 passes" in text
    assert "camera static none of shaky passes" in text


def test_every_violation_is_shown_not_only_the_first(out, capsys):
    dataset, (_, clip, _) = out
    select(dataset)
    text = explanation(capsys, dataset, clip)
    assert "filtered: little_motion. Too little of the picture moves." in text
    assert "motion 0.1 at least 0.2 little_motion" in text
    assert "camera shaky none of shaky unwanted_camera" in text


def test_lists_by_hand_are_named(out, capsys, tmp_path):
    dataset, (_, kept, clip) = out
    names = tmp_path / "names.txt"
    names.write_text(f"# by hand\n{clip[:8]} too odd\n\n")
    select(dataset, f"exclude={names}", f"include=[{kept[:6]!r}]")
    names.unlink()  # the run recorded the list, not its path
    text = explanation(capsys, dataset, clip)
    assert "filtered: excluded." in text
    assert "it is on the list of clips to leave out" in text
    assert "kept it is on the list of clips to keep" in explanation(capsys, dataset, kept)


def test_without_a_selection(out, capsys):
    dataset, (clip, *_) = out
    assert "no selection yet" in explanation(capsys, dataset, clip)


def test_an_unknown_clip_is_refused(out):
    dataset, _ = out
    for prefix, words in (("zz", "there is no such clip"), ("", "there is no such clip")):
        with pytest.raises(UsageError, match=words):
            why(dataset.catalog.storage.root, prefix)
