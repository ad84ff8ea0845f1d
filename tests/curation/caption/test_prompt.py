import pytest

from curation.caption.prompt import PromptTemplates, template_names

QUESTIONS = {"people": "Is a person seen?", "text": "Is there writing?"}


def templates(domain="general", length="medium", custom="", questions=QUESTIONS, *, rewrite=False):
    return PromptTemplates.of(domain, length, custom, questions, rewrite=rewrite)


def test_there_is_a_template_for_each_domain_and_length():
    assert template_names("domain") == ["driving", "general", "robotics"]
    assert template_names("length") == ["long", "medium", "short"]
    prompts = {
        templates(domain, length).caption_prompt(5, 2.04): (domain, length)
        for domain in template_names("domain")
        for length in template_names("length")
    }
    assert len(prompts) == 9
    assert all("5 pictures" in prompt and "2.0 seconds" in prompt for prompt in prompts)
    assert not any("{" in prompt for prompt in prompts)


def test_a_custom_prompt_replaces_the_template():
    prompts = templates(custom="Look at {pictures}: {what}?")
    assert prompts.caption_prompt(3, 1.0) == "Look at 3: {what}?"


def test_a_rewrite_holds_the_captions():
    prompt = templates(rewrite=True, questions={}).caption_prompt(
        0, 2.5, ["A dog.", "A {pictures}."]
    )
    assert "2.5 seconds" in prompt
    assert "\nA dog.\nA {pictures}.\n" in prompt


def test_questions_are_asked_one_by_one_or_all_at_once():
    assert "Is there writing? Answer with one word" in templates().question_prompt("text", 4, 1.0)
    prompt = templates().questions_prompt(4, 1.0)
    assert prompt.endswith("people: Is a person seen?\ntext: Is there writing?")
    assert "4 pictures" in prompt


def test_the_digest_covers_all_prompts():
    digests = [
        templates().digest, templates("driving").digest, templates(length="short").digest,
        templates(custom="What?").digest, templates(questions={}).digest,
        templates(questions={**QUESTIONS, "text": "Any writing?"}).digest,
        templates(rewrite=True, questions={}).digest,
    ]  # fmt: skip
    assert len(set(digests)) == len(digests)
    assert templates().digest == digests[0]
    assert all(len(digest) == 16 for digest in digests)


@pytest.mark.parametrize(
    ("domain", "length", "message"),
    [
        ("cooking", "short", "domain 'cooking' is none of driving, general, robotics"),
        ("../length/short", "short", "domain '../length/short' is none"),
        ("general", "endless", "length 'endless' is none of long, medium, short"),
    ],
)
def test_an_unknown_template_is_refused(domain, length, message):
    with pytest.raises(ValueError, match=message):
        templates(domain, length)
