import pytest

from curation.caption.api import ApiCaption
from curation.caption.prompted import clean_text
from curation.catalog import Catalog
from curation.storage import Storage


@pytest.mark.parametrize(
    ("text", "truncated", "caption"),
    [
        (" A dog\n runs. ", False, "A dog runs."),
        ("<think>A dog?\nYes.</think>\nA dog runs.", False, "A dog runs."),
        ("<think>A dog? Or", True, ""),
        ("A dog runs. It is bro", True, "A dog runs."),
        ('He said "Stop." Then he', True, 'He said "Stop."'),
        ("It costs 3.5 and it", True, "It costs 3.5 and it"),
        ("A dog runs. It is bro", False, "A dog runs. It is bro"),
    ],
)
def test_output_becomes_a_caption(text, truncated, caption):
    assert clean_text(text, truncated=truncated) == caption


def table(tmp_path, **settings) -> str:
    return ApiCaption(model="Org/Some VLM-2B", **settings).table(Catalog(Storage.at(tmp_path)))


def test_the_table_is_named_by_what_decides_the_text(tmp_path):
    name = table(tmp_path)
    assert name.startswith("some-vlm-2b-")
    others = [
        {"domain": "driving"}, {"length": "long"}, {"prompt": "What?"}, {"frames": 4},
        {"window_s": 2.0}, {"longest_side": 224}, {"max_tokens": 9}, {"rewrite": "facts-1"},
        {"rewrite": "facts-2"}, {"questions": {"a": "A?"}}, {"questions": {"a": "B?"}},
        {"temperature": 0.5}, {"seed": 1}, {"options": {"top_p": 0.5}},
    ]  # fmt: skip
    names = [table(tmp_path, **other) for other in others]
    assert len({name, *names}) == 1 + len(others)
    same = [
        {"url": "https://elsewhere/v1"}, {"concurrency": 1}, {"retries": 0}, {"timeout_s": 1.0},
        {"key_variable": "KEY"}, {"request_limit": 5}, {"token_limit": 5},
    ]  # fmt: skip
    assert {table(tmp_path, **other) for other in same} == {name}
    questions = {"questions": {"a": "A?"}}
    assert table(tmp_path, **questions, thresholds={"a": 0.9}) == table(tmp_path, **questions)


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"domain": "cooking"}, "domain 'cooking' is none of"),
        ({"frames": 0}, "needs a frame"),
        ({"rewrite": "facts-1", "questions": {"a": "A?"}}, "questions are about frames"),
        ({"questions": {"Is it?": "A?"}}, "question 'Is it\\?' needs a name"),
        ({"thresholds": {"a": 0.5}}, "threshold 'a': 0.5 needs a question"),
        ({"questions": {"a": "A?"}, "thresholds": {"a": 1.5}}, "to be 0–1"),
        ({"url": "ftp://here/v1"}, "is no http:// or https:// address"),
        ({"url": "https://me:secret@here/v1"}, "belongs in the environment"),
        ({"url": "https://here/v1?key=secret"}, "belongs in the environment"),
        ({"concurrency": 0}, "needs a request at once"),
    ],
)
def test_unusable_settings_are_refused(settings, words):
    with pytest.raises(ValueError, match=words):
        ApiCaption(model="m", **settings)


def test_a_captioner_needs_a_model(tmp_path):
    with pytest.raises(ValueError, match="ApiCaption needs a model"):
        ApiCaption().table(Catalog(Storage.at(tmp_path)))
