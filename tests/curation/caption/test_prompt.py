import pytest

from curation.caption.prompt import Prompt, lengths, uses

QUESTIONS = {"people": "Is a person seen?", "text": "Is there writing?"}


def prompt(use="general", length="medium", own="", questions=QUESTIONS, *, rewrites=False):
    return Prompt.of(use, length, own, questions, rewrites=rewrites)


def test_there_is_a_template_for_each_use_and_length():
    assert uses() == ["driving", "general", "robotics"]
    assert lengths() == ["long", "medium", "short"]
    told = {
        prompt(use, length).description(5, 2.04): (use, length)
        for use in uses()
        for length in lengths()
    }
    assert len(told) == 9
    assert all("5 pictures" in words and "2.0 seconds" in words for words in told)
    assert not any("{" in words for words in told)


def test_words_of_ones_own_take_the_place_of_the_template():
    own = prompt(own="Look at {pictures}: {what}?")
    assert own.description(3, 1.0) == "Look at 3: {what}?"


def test_a_rewrite_holds_the_captions():
    told = prompt(rewrites=True, questions={}).description(0, 2.5, ["A dog.", "A {pictures}."])
    assert "2.5 seconds" in told
    assert "\nA dog.\nA {pictures}.\n" in told


def test_questions_are_asked_one_by_one_or_all_at_once():
    assert "Is there writing? Answer with one word" in prompt().question("text", 4, 1.0)
    told = prompt().all_questions(4, 1.0)
    assert told.endswith("people: Is a person seen?\ntext: Is there writing?")
    assert "4 pictures" in told


def test_the_digest_changes_with_whatever_is_said():
    digests = [
        prompt().digest, prompt("driving").digest, prompt(length="short").digest,
        prompt(own="What?").digest, prompt(questions={}).digest,
        prompt(questions={**QUESTIONS, "text": "Any writing?"}).digest,
        prompt(rewrites=True, questions={}).digest,
    ]  # fmt: skip
    assert len(set(digests)) == len(digests)
    assert prompt().digest == digests[0]
    assert all(len(digest) == 16 for digest in digests)


@pytest.mark.parametrize(
    ("use", "length", "words"),
    [
        ("cooking", "short", "use 'cooking' is none of driving, general, robotics"),
        ("../length/short", "short", "use '../length/short' is none"),
        ("general", "endless", "length 'endless' is none of long, medium, short"),
    ],
)
def test_what_there_is_no_template_for_is_refused(use, length, words):
    with pytest.raises(ValueError, match=words):
        prompt(use, length)
