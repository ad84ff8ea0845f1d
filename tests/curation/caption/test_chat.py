"""Asking a real server of another process, well-behaved and not."""

import socket
import sys

import numpy as np
import pytest

from curation.caption.chat import Chat, RefusedError, Server, UnansweredError

PICTURES = np.full((2, 40, 60, 3), 120, np.uint8)


def chat(url: str, retries: int = 2, timeout_s: float = 5.0, **options) -> Chat:
    return Chat(Server(url, "tiny", "REELMILL_TEST_KEY", timeout_s, retries), options)


def test_pictures_and_words_arrive(server):
    said = chat(server.url, max_tokens=9, temperature=0.0).ask(PICTURES, "What is it?")
    assert said.text == "2 pictures, 60 x 40, gray 120."
    assert (said.tokens_in, said.tokens_out, said.requests) == (210, 7, 1)
    (asked,) = server.log()
    assert (asked["path"], asked["words"]) == ("/v1/chat/completions", "What is it?")
    assert asked["told"] == {"model": "tiny", "max_tokens": 9, "temperature": 0.0}


def test_questions_ask_for_json(server):
    said = chat(server.url).ask(PICTURES, "Is it?", ["grey", "bright"])
    assert said.text == '{"grey": 0.471, "bright": 0.471}'
    form = server.log()[0]["told"]["response_format"]
    assert form["type"] == "json_schema"
    assert form["json_schema"]["schema"]["required"] == ["grey", "bright"]


def test_the_key_comes_from_the_environment_alone(server, monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", "of another server")
    chat(server.url).ask(PICTURES, "?")
    monkeypatch.setenv("REELMILL_TEST_KEY", "the secret")
    chat(server.url).ask(PICTURES, "?")
    assert [asked["key"] for asked in server.log()] == ["Bearer none", "Bearer the secret"]


@pytest.mark.parametrize("manner", ["429", "500", "503", "cut", "slow:2"])
def test_what_passes_is_asked_again(server, manner):
    server.plan(manner)
    said = chat(server.url, timeout_s=0.5).ask(PICTURES, "?")
    assert said.text.startswith("2 pictures")
    assert (said.requests, len(server.log())) == (2, 2)


def test_retry_after_is_honoured(server):
    server.plan("429:1", "429:1")
    assert chat(server.url).ask(PICTURES, "?").requests == 3
    first, second, third = (asked["at"] for asked in server.log())
    assert min(second - first, third - second) >= 1.0


def test_a_body_that_is_no_answer_is_asked_for_again(server):
    server.plan("broken", 'broken:{"choices": []}')
    assert chat(server.url).ask(PICTURES, "?").requests == 3
    server.plan("broken", "broken:null", "broken:<html>")
    with pytest.raises(UnansweredError, match="gives answers that are none: '<html>'"):
        chat(server.url).ask(PICTURES, "?")


@pytest.mark.parametrize(
    ("manner", "words"),
    [
        ("401", "answers 401: .*told to say 401.*; the key has to be in REELMILL_TEST_KEY"),
        ("403", "the key in REELMILL_TEST_KEY may not ask this"),
        ("404", "is this the address up to /v1, and does the server know the model"),
        ("500", "answers 500: .*told to say 500"),
        ("429:500", "answers 429"),
    ],
)
def test_what_does_not_pass_says_what_to_do(server, manner, words):
    server.plan(*[manner] * 2)
    with pytest.raises(UnansweredError, match=words):
        chat(server.url, retries=0).ask(PICTURES, "?")
    assert len(server.log()) == 1


def test_nobody_listening_and_no_answer_in_time_are_named(server):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    with pytest.raises(UnansweredError, match=rf"127.0.0.1:{port}/v1 does not answer: "):
        chat(f"http://127.0.0.1:{port}/v1", retries=0).ask(PICTURES, "?")
    server.plan("slow:2")
    with pytest.raises(UnansweredError, match=r"does not answer: .*[Tt]ime"):
        chat(server.url, retries=0, timeout_s=0.3).ask(PICTURES, "?")


def test_no_other_address_is_asked(server):
    server.plan(f"redirect:{server.url}/elsewhere")
    with pytest.raises(UnansweredError, match="answers 307"):
        chat(server.url).ask(PICTURES, "?")
    assert len(server.log()) == 1


def test_a_refusal_is_a_verdict_where_grey_pictures_are_taken(server):
    noise = np.random.default_rng(0).integers(0, 256, (1, 40, 60, 3)).astype(np.uint8)
    asked = chat(server.url)
    server.plan("coloured", "coloured", "400")
    with pytest.raises(RefusedError, match="400"):
        asked.ask(noise, "?")
    assert [a["manner"] for a in server.log()] == ["coloured", "coloured"]
    with pytest.raises(RefusedError, match="400"):  # grey pictures are tried once
        asked.ask(noise, "?")
    assert len(server.log()) == 3


def test_a_server_that_refuses_everything_says_nothing_of_a_clip(server):
    server.plan("400", "422", "400", "400")
    asked = chat(server.url)
    for _ in range(2):
        with pytest.raises(UnansweredError, match=r"refuses every request of this kind: 4"):
            asked.ask(PICTURES, "?")
    assert len(server.log()) == 4


def test_answers_that_are_cut_short_or_kept_back_say_so(server):
    server.plan("length:It is", "filter", "uncounted")
    asked = chat(server.url)
    found = [asked.ask(PICTURES, "?") for _ in range(3)]
    assert [(said.cut_short, said.withheld) for said in found] == [
        (True, False), (False, True), (False, False),
    ]  # fmt: skip
    assert found[0].text == "It is"
    assert (found[2].tokens_in, found[2].tokens_out) == (None, None)


def test_the_missing_package_names_the_extra(monkeypatch):
    monkeypatch.setitem(sys.modules, "openai", None)
    with pytest.raises(ValueError, match=r"openai is not installed: pip install 'reelmill\[api\]'"):
        chat("http://127.0.0.1:1/v1")
