"""`reelmill why`: the words about one clip."""

import pytest
import typer

from curation.dataset import Dataset
from pipelines import config
from pipelines.cli.why import why
from pipelines.run.executor import InProcess
from pipelines.run.pipeline import Job
from tests.rows import Looks, clip_of, scanned

LIMITS = ["copies=null", "motion.min=0.2", "camera.deny=[shaky]", "exclude=[]"]


@pytest.fixture
def out(tmp_path):
    """Three clips of one source: one that passes, one that breaks two rules, one out by hand."""
    dataset = Dataset(tmp_path)
    words = (("static", 0.5), ("shaky", 0.1), ("roll", 0.5))
    looks = [
        Looks(clip_of("a" * 64, 48 * n, 48 * n + 48), scores={"camera": word, "motion": motion})
        for n, (word, motion) in enumerate(words)
    ]
    scanned(dataset, "/v/film.mp4", looks)
    return dataset, [look.clip.clip_id for look in looks]


def select(dataset, *changes):
    Job(dataset, config.load(changes=[*LIMITS, *changes]), InProcess).select()


def said(capsys, dataset, clip):
    why(dataset.catalog.storage.root, clip[:10])
    return " ".join(capsys.readouterr().out.split())


def test_a_kept_clip_passes_what_is_asked_of_it(out, capsys):
    dataset, (clip, *_) = out
    select(dataset)
    words = said(capsys, dataset, clip)
    assert words.startswith(f"{clip} /v/film.mp4 0.00–2.00 s kept")
    assert "motion 0.5 at least 0.2 passes" in words
    assert "camera static none of shaky passes" in words


def test_every_rule_that_is_broken_is_told_not_only_the_first(out, capsys):
    dataset, (_, clip, _) = out
    select(dataset)
    words = said(capsys, dataset, clip)
    assert "filtered: little_motion. Too little of the picture moves." in words
    assert "motion 0.1 at least 0.2 little_motion" in words
    assert "camera shaky none of shaky unwanted_camera" in words


def test_a_list_by_hand_is_named(out, capsys, tmp_path):
    dataset, (_, kept, clip) = out
    names = tmp_path / "names.txt"
    names.write_text(f"# by hand\n{clip[:8]} too odd\n\n")
    select(dataset, f"exclude={names}", f"include=[{kept[:6]!r}]")
    names.unlink()  # what the run recorded is the list, not where it was
    words = said(capsys, dataset, clip)
    assert "filtered: excluded." in words
    assert "it is on the list of clips to leave out" in words
    assert "kept it is on the list of clips to keep" in said(capsys, dataset, kept)


def test_before_a_selection_the_measures_are_told(out, capsys):
    dataset, (clip, *_) = out
    assert "no selection yet" in said(capsys, dataset, clip)


def test_a_beginning_of_none_or_several_is_refused(out):
    dataset, _ = out
    for beginning, words in (("zz", "there is no such clip"), ("", "there is no such clip")):
        with pytest.raises(typer.BadParameter, match=words):
            why(dataset.catalog.storage.root, beginning)
