"""`reelmill caption` on a curated output, with facts, a tiny model and a real server."""

import re

import pyarrow.compute as pc
import pytest

from curation.dataset import Dataset
from tests.curation.caption.serving import serving
from tests.outputs import versions

WHERE = ("--set", "captioner=ApiCaption", "--set", "ApiCaption.model=tiny")


@pytest.fixture(scope="module")
def running():
    with serving() as server:
        yield server


@pytest.fixture
def server(running):
    running.plan()
    return running


@pytest.fixture
def caption(reelmill, copied, server):
    """Runs the command on the output; `a=b` are settings of the captioner."""

    def run(*arguments, **settings):
        changes = {"url": server.url, "retries": 0, "concurrency": 1, "frames": 2, **settings}
        told = [part for key, value in changes.items()
                for part in ("--set", f"ApiCaption.{key}={value}")]  # fmt: skip
        return reelmill("caption", copied.out, *copied.options, *WHERE, *told, *arguments)

    return run


def texts(out) -> list[str]:
    return Dataset(out).captions()["text"].to_pylist()


def test_facts_are_there_after_curate_and_are_not_told_twice(reelmill, curated):
    dataset = Dataset(curated.out)
    (name,) = dataset.caption_tables()
    assert re.fullmatch(r"captions/facts-\w{8}", name)
    kept = set(dataset.clips("kept")["clip_id"].to_pylist())
    assert set(dataset.captions()["clip_id"].to_pylist()) == kept
    before = versions(curated.out)
    ended = reelmill("caption", curated.out, *curated.options)
    assert ended.out.splitlines()[:3] == [
        "caption: nothing to do", f"captions: {name}", "1 input failed: 1 not video"
    ]  # fmt: skip
    assert ended.code == 3, "an input that is no video, as ever"
    assert versions(curated.out) == before


def test_a_server_describes_every_kept_clip_once(reelmill, caption, copied, server):
    ended = caption()
    assert "caption: 2 captioned" in ended.out
    assert all(text.startswith("2 pictures, 160 x 96, gray ") for text in texts(copied.out))
    assert len(texts(copied.out)) == len(server.log()) == 2
    server.plan()
    assert "caption: nothing to do" in caption().out
    assert server.log() == []
    assert reelmill("verify", copied.out).code == 0
    (run,) = Dataset(copied.out).runs().filter(pc.field("step") == "caption").to_pylist()[-1:]
    assert run["counts"] == '{"captioned": 2}'
    assert run["result"].startswith("captioned/tiny-")


def test_a_key_is_stored_nowhere(caption, copied, server, monkeypatch):
    monkeypatch.setenv("REELMILL_API_KEY", "s3cr3t-k3y")
    ended = caption()
    assert {asked["key"] for asked in server.log()} == {"Bearer s3cr3t-k3y"}
    assert "s3cr3t-k3y" not in ended.out + ended.err
    assert not [p for p in copied.out.rglob("*") if p.is_file() and b"s3cr3t-k3y" in p.read_bytes()]


def test_a_server_that_is_down_stops_the_run_which_goes_on_later(caption, copied, server):
    server.plan("good", *["503"] * 3)
    ended = caption()
    assert ended.code == 4
    assert f"{server.url} answers 503: planned status 503" in ended.err
    assert "Run the same command again to resume." in ended.err
    server.plan()
    assert caption().code == 3
    assert len(server.log()) == 1
    assert len(texts(copied.out)) == 2


def test_a_budget_that_is_spent_stops_the_run_until_it_is_raised(caption, copied, server):
    ended = caption(request_limit=1)
    assert ended.code == 4
    assert "what is left of request_limit 1 does not pay for more; raise it to resume" in ended.err
    assert (len(server.log()), len(texts(copied.out))) == (1, 1)
    assert caption(request_limit=1).code == 4
    assert len(server.log()) == 1
    assert caption(request_limit=2).code == 3
    assert (len(server.log()), len(texts(copied.out))) == (2, 2)


def test_a_clip_that_failed_stays_failed_until_it_gets_another_chance(caption, copied, server):
    server.plan("filter")
    ended = caption()
    assert "caption: 1 captioned, 1 refused" in ended.out
    assert ended.code == 3
    assert "nothing to do" in caption().out
    assert "caption: 1 captioned" in caption("--retry", "refused").out
    assert len(texts(copied.out)) == 2


def test_questions_are_counted_and_a_threshold_asks_nothing_again(caption, server):
    asked = {"questions": '{lit: "Is it lit?"}', "thresholds": "{lit: 0.01}"}
    ended = caption(**asked)
    assert re.search(r"question +from +yes +no\nlit +0.01 +2 +0\n", ended.out)
    server.plan()
    ended = caption(**{**asked, "thresholds": "{lit: 0.99}"})
    assert re.search(r"lit +0.99 +0 +2\n", ended.out)
    assert server.log() == []


def test_captions_are_written_anew(caption, copied, server):
    (facts,) = Dataset(copied.out).caption_tables()
    before = texts(copied.out)
    assert "caption: 2 captioned" in caption(rewrite=facts.split("/")[1], length="short").out
    assert texts(copied.out) == [f"Anew: {text}" for text in before]
    assert "at most twenty words" in server.log()[0]["words"]


@pytest.mark.models
def test_a_model_on_disk_describes_clips(reelmill, copied, tmp_path):
    from tests.curation.caption.models import write_llava

    model = write_llava(tmp_path / "Tiny_LLaVA")
    told = [f"VlmCaption.{part}" for part in (f"model={model}", "frames=2", "max_tokens=5")]
    changes = [part for each in ("captioner=VlmCaption", *told) for part in ("--set", each)]
    ended = reelmill("caption", copied.out, *copied.options, *changes)
    assert "caption: 2 captioned" in ended.out
    name = Dataset(copied.out).caption_tables()[0]
    assert re.fullmatch(r"captions/tiny-llava-\w{8}", name)
    assert f"captions: {name}" in ended.out
    assert reelmill("verify", copied.out).code == 0


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        (["captioner=Poet"], "unknown key 'Poet' in caption.captioner"),
        (["captioner=ApiCaption"], "caption.captioner: ApiCaption needs a model"),
        (["captioner=VlmCaption", "VlmCaption.model=/none"], "no model at '/none'"),
        ([WHERE[1], WHERE[3], "rewrite=haiku"], "no captions 'haiku'; there are captions/facts-"),
        ([WHERE[1], WHERE[3], "url=here"], "is no http:// or https:// address"),
        ([WHERE[1], WHERE[3], "domain=cooking"], "domain 'cooking' is none of driving"),
        ([WHERE[1], WHERE[3], "temperature=-1"], "temperature: has to be from 0 to"),
        ([WHERE[1], WHERE[3], "ApiCaption.frame=3"], "did you mean"),
    ],
)
def test_usage_errors_say_what(reelmill, curated, changes, words):
    told = [part for change in changes for part in ("--set", change)]
    ended = reelmill("caption", curated.out, *curated.options, *told)
    assert ended.code == 2
    assert words in ended.err


def test_usage_errors_of_the_command_itself(reelmill, curated, tmp_path):
    ended = reelmill("caption", tmp_path / "none")
    assert (ended.code, "no output at" in ended.err) == (2, True)
    ended = reelmill("caption", curated.out, "--retry", "boredom")
    assert (ended.code, "boredom: the reasons are" in ended.err) == (2, True)
