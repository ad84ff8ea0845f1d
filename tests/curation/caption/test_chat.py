"""Asking a real server of another process, well-behaved and not."""

import re
import socket
import sys

import numpy as np
import pytest

from curation.caption.chat import ChatClient, ChatServer, RefusedError, UnansweredError
from curation.extras import install_command

IMAGES = np.full((2, 40, 60, 3), 120, np.uint8)


def chat(url: str, retries: int = 2, timeout_s: float = 5.0, **options) -> ChatClient:
    return ChatClient(ChatServer(url, "tiny", "REELMILL_TEST_KEY", timeout_s, retries), options)


def test_images_and_text_arrive(server):
    reply = chat(server.url, max_tokens=9, temperature=0.0).ask(IMAGES, "What is it?")
    assert reply.text == "2 pictures, 60 x 40, gray 120."
    assert (reply.tokens_in, reply.tokens_out, reply.requests) == (210, 7, 1)
    (request,) = server.log()
    assert (request["path"], request["words"]) == ("/v1/chat/completions", "What is it?")
    assert request["settings"] == {"model": "tiny", "max_tokens": 9, "temperature": 0.0}


def test_questions_ask_for_json(server):
    reply = chat(server.url).ask(IMAGES, "Is it?", ["grey", "bright"])
    assert reply.text == '{"grey": 0.471, "bright": 0.471}'
    form = server.log()[0]["settings"]["response_format"]
    assert form["type"] == "json_schema"
    assert form["json_schema"]["schema"]["required"] == ["grey", "bright"]


def test_the_key_comes_from_the_environment_alone(server, monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", "of another server")
    chat(server.url).ask(IMAGES, "?")
    monkeypatch.setenv("REELMILL_TEST_KEY", "the secret")
    chat(server.url).ask(IMAGES, "?")
    assert [request["key"] for request in server.log()] == ["Bearer none", "Bearer the secret"]


@pytest.mark.parametrize("behaviour", ["429", "500", "503", "cut", "slow:2"])
def test_transient_errors_are_retried(server, behaviour):
    server.plan(behaviour)
    reply = chat(server.url, timeout_s=0.5).ask(IMAGES, "?")
    assert reply.text.startswith("2 pictures")
    assert (reply.requests, len(server.log())) == (2, 2)


def test_retry_after_is_honoured(server):
    server.plan("429:1", "429:1")
    assert chat(server.url).ask(IMAGES, "?").requests == 3
    first, second, third = (request["at"] for request in server.log())
    assert min(second - first, third - second) >= 1.0


def test_a_body_that_is_no_chat_completion_is_requested_again(server):
    server.plan("broken", 'broken:{"choices": []}')
    assert chat(server.url).ask(IMAGES, "?").requests == 3
    server.plan("broken", "broken:null", "broken:<html>")
    with pytest.raises(UnansweredError, match="answers with no chat completion: '<html>'"):
        chat(server.url).ask(IMAGES, "?")


@pytest.mark.parametrize(
    ("behaviour", "words"),
    [
        ("401", "answers 401: .*planned status 401.*; the key has to be in REELMILL_TEST_KEY"),
        ("403", "the key in REELMILL_TEST_KEY may not ask this"),
        ("404", "is this the address up to /v1, and does the server know the model"),
        ("500", "answers 500: .*planned status 500"),
        ("429:500", "answers 429"),
    ],
)
def test_lasting_errors_say_what_to_do(server, behaviour, words):
    server.plan(*[behaviour] * 2)
    with pytest.raises(UnansweredError, match=words):
        chat(server.url, retries=0).ask(IMAGES, "?")
    assert len(server.log()) == 1


def test_no_server_and_no_answer_in_time_are_named(server):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    with pytest.raises(UnansweredError, match=rf"127.0.0.1:{port}/v1 does not answer: "):
        chat(f"http://127.0.0.1:{port}/v1", retries=0).ask(IMAGES, "?")
    server.plan("slow:2")
    with pytest.raises(UnansweredError, match=r"does not answer: .*[Tt]ime"):
        chat(server.url, retries=0, timeout_s=0.3).ask(IMAGES, "?")


def test_no_other_address_is_asked(server):
    server.plan(f"redirect:{server.url}/elsewhere")
    with pytest.raises(UnansweredError, match="answers 307"):
        chat(server.url).ask(IMAGES, "?")
    assert len(server.log()) == 1


def test_a_refusal_is_the_clips_fault_where_grey_images_are_taken(server):
    noise = np.random.default_rng(0).integers(0, 256, (1, 40, 60, 3)).astype(np.uint8)
    client = chat(server.url)
    server.plan("coloured", "coloured", "400")
    with pytest.raises(RefusedError, match="400"):
        client.ask(noise, "?")
    assert [request["behaviour"] for request in server.log()] == ["coloured", "coloured"]
    with pytest.raises(RefusedError, match="400"):  # grey pictures are tried once
        client.ask(noise, "?")
    assert len(server.log()) == 3


def test_a_server_that_refuses_everything_is_not_the_clips_fault(server):
    server.plan("400", "422", "400", "400")
    client = chat(server.url)
    for _ in range(2):
        with pytest.raises(UnansweredError, match=r"refuses every request of this kind: 4"):
            client.ask(IMAGES, "?")
    assert len(server.log()) == 4


def test_truncated_and_filtered_answers_say_so(server):
    server.plan("length:It is", "filter", "uncounted")
    client = chat(server.url)
    replies = [client.ask(IMAGES, "?") for _ in range(3)]
    assert [(reply.truncated, reply.content_filtered) for reply in replies] == [
        (True, False), (False, True), (False, False),
    ]  # fmt: skip
    assert replies[0].text == "It is"
    assert (replies[2].tokens_in, replies[2].tokens_out) == (None, None)


def test_the_missing_package_names_the_extra(monkeypatch):
    monkeypatch.setitem(sys.modules, "openai", None)
    with pytest.raises(
        ValueError, match=re.escape(f"openai is not installed: {install_command('api')}")
    ):
        chat("http://127.0.0.1:1/v1")
