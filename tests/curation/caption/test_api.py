"""Captions from a real server: what becomes of each clip, whatever the server does."""

import json
import socket

import pytest

from curation.caption.api import ApiCaption
from curation.caption.base import Budget, CaptionClip, Identity
from curation.errors import InfrastructureError
from tests.curation.caption.clips import batch_of

QUESTIONS = {"bright": "Is it bright?", "dark": "Is it dark?"}


def stage(server, **overrides) -> ApiCaption:
    settings = {"concurrency": 1, "retries": 0, "frames": 3, "timeout_s": 5.0, **overrides}
    return ApiCaption(model="tiny", url=server.url, **settings)


def outcomes(result) -> dict[str, str]:
    return {clip.clip_id: clip.reason or clip.outcome for clip in result.clips}


def test_each_clip_is_described_by_its_own_pictures(server, clips):
    result = stage(server, concurrency=3).setup()(batch_of(*clips))
    assert [caption.clip_id for caption in result.captions] == ["c0", "c1", "c2", "c3"]
    grays = [int(c.text.removeprefix("3 pictures, 96 x 64, gray ")[:-1]) for c in result.captions]
    assert [abs(a - b) < 8 for a, b in zip(grays, (40, 90, 150, 220), strict=True)] == [True] * 4
    for caption, clip in zip(result.captions, result.clips, strict=True):
        assert (caption.start_frame, caption.end_frame, caption.answers) == (100, 148, None)
        assert (caption.tokens_in, caption.tokens_out) == (310, 7)
        assert (clip.outcome, clip.windows, clip.requests) == ("captioned", 1, 1)
        assert (clip.tokens_in, clip.tokens_out) == (310, 7)
    assert result.deferred == []


def test_the_model_decodes_greedily(server, clips):
    stage(server, options={"top_k": 1}, max_tokens=33).setup()(batch_of(clips[0]))
    assert server.log()[0]["settings"] == {
        "model": "tiny", "max_tokens": 33, "temperature": 0.0, "seed": 0, "top_k": 1,
    }  # fmt: skip


def test_windows_are_rows_and_questions_are_answered_for_each(server, clips):
    result = stage(server, window_s=1.0, questions=QUESTIONS).setup()(batch_of(clips[3]))
    assert [(c.window, c.start_frame, c.end_frame) for c in result.captions] == [
        (0, 100, 124), (1, 124, 148),
    ]  # fmt: skip
    for caption in result.captions:
        answers = json.loads(caption.answers)
        assert answers.keys() == QUESTIONS.keys()
        assert answers["bright"] == pytest.approx(220 / 255, abs=0.04)
        assert (caption.tokens_in, caption.tokens_out) == (620, 14)
    (clip,) = result.clips
    assert (clip.windows, clip.requests, clip.tokens_in) == (2, 4, 1240)


def test_captions_are_rewritten_without_images(server):
    clip = CaptionClip("c", "s", 0, 48, 2.0, captions=("A dog runs.", "It stops."))
    result = stage(server, rewrite="facts-1").setup()(batch_of(clip))
    assert [caption.text for caption in result.captions] == ["Anew: A dog runs."]
    assert "A dog runs.\nIt stops." in server.log()[0]["words"]
    assert result.captions[0].tokens_in == 10


def test_answers_that_are_no_json_are_requested_again_and_then_fail(server, clips):
    captioner = stage(server, questions=QUESTIONS)
    server.plan("good", "says:No idea.", 'says:{"bright": 2, "dark": 0}')
    result = captioner.setup()(batch_of(clips[0]))
    assert outcomes(result) == {"c0": "captioned"}
    assert result.clips[0].requests == 4
    server.plan("good", "says:a", "says:b", "says:c")
    result = captioner.setup()(batch_of(clips[0], clips[1]))
    assert outcomes(result) == {"c0": "no_caption", "c1": "captioned"}
    assert result.clips[0].detail == "3 times no answers: no JSON object in 'c'"
    assert (result.clips[0].requests, result.clips[0].tokens_out) == (4, 28)
    assert {caption.clip_id for caption in result.captions} == {"c1"}


def test_an_empty_or_filtered_answer_fails_its_clip_alone(server, clips):
    server.plan("says:<think>hm</think>", "filter", "length:A dog. A b")
    result = stage(server).setup()(batch_of(*clips))
    assert list(outcomes(result).values()) == ["no_caption", "refused", "captioned", "captioned"]
    assert result.captions[0].text == "A dog."


def test_a_clip_that_the_server_refuses_fails_alone(server, clips):
    server.plan("good", "400")
    result = stage(server).setup()(batch_of(*clips))
    assert list(outcomes(result).values()) == ["captioned", "refused", "captioned", "captioned"]
    assert "planned status 400" in result.clips[1].detail


def test_a_clip_that_cannot_be_read_fails_alone(server, clips, missing_clip):
    result = stage(server, concurrency=2).setup()(batch_of(clips[0], missing_clip))
    assert outcomes(result) == {"c0": "captioned", "missing": "missing"}
    assert len(server.log()) == 1


def test_a_clip_without_an_answer_is_deferred_and_the_others_go_on(server, clips):
    server.plan("good", "500")
    result = stage(server).setup()(batch_of(*clips))
    assert list(outcomes(result)) == ["c0", "c2", "c3"]
    (reason,) = result.deferred
    assert reason.endswith("/v1 answers 500: planned status 500")


def test_a_server_that_stops_answering_is_not_asked_again(server, clips):
    server.plan("good", "500", "500")
    result = stage(server).setup()(batch_of(*clips))
    assert (list(outcomes(result)), len(result.deferred)) == (["c0"], 3)
    assert len(server.log()) == 3


@pytest.mark.parametrize("behaviour", ["401", "404", "429", "broken", "400", "slow:1"])
def test_a_server_that_answers_nobody_stops_the_run(server, clips, behaviour):
    server.plan(*[behaviour] * 20)
    with pytest.raises(InfrastructureError, match=server.url):
        stage(server, timeout_s=0.3).setup()(batch_of(*clips))


def test_an_unavailable_server_stops_the_run(clips):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{free.getsockname()[1]}/v1"
    with pytest.raises(InfrastructureError, match="does not answer"):
        ApiCaption(model="m", url=url, retries=0).setup()(batch_of(clips[0]))


def test_tokens_that_the_server_does_not_count_cannot_be_limited(server, clips):
    server.plan("uncounted", "uncounted")
    result = stage(server).setup()(batch_of(clips[0]))
    assert (result.captions[0].tokens_in, result.clips[0].tokens_in) == (None, 0)
    with pytest.raises(InfrastructureError, match="set request_limit instead"):
        stage(server, token_limit=1000).setup()(batch_of(clips[0]))


def test_identity_budget_and_needs(server):
    captioner = stage(server, request_limit=5, concurrency=4)
    assert captioner.identity() == Identity("tiny", None, captioner.templates.digest)
    assert captioner.budget == Budget(5, None)
    assert (
        captioner.resources.gpus,
        captioner.batch_size,
        stage(server, concurrency=4).batch_size,
    ) == (
        0,
        4,
        16,
    )
