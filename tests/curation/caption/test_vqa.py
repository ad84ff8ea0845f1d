import pytest

from curation.caption.vqa import AnswersError, answers_schema, parse_answers


@pytest.mark.parametrize(
    ("text", "answers"),
    [
        ('{"a": 0.25, "b": 1}', {"a": 0.25, "b": 1.0}),
        ('Sure:\n```json\n{"a": true, "b": false, "c": 3}\n```', {"a": 1.0, "b": 0.0}),
        ('{"a": "Yes", "b": " no "}', {"a": 1.0, "b": 0.0}),
    ],
)
def test_answers_are_read(text, answers):
    assert parse_answers(text, ["a", "b"]) == answers


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "no JSON object"), ("yes", "no JSON object"), ("[0.5]", "no JSON object"),
        ('{"a": 0.5', "no JSON object"), ('{"a": 0.5,}', "no JSON"),
        ('{"b": 0.5}', "a: None is no number"), ('{"a": 1.5}', "a: 1.5 is no number"),
        ('{"a": -0.1}', "a: -0.1"), ('{"a": "maybe"}', "a: 'maybe'"), ('{"a": null}', "a: None"),
        ('{"a": NaN}', "a: nan is no number"), ('{"a": [1]}', r"a: \[1\]"),
    ],
)  # fmt: skip
def test_invalid_answers_are_refused(text, words):
    with pytest.raises(AnswersError, match=words):
        parse_answers(text, ["a"])


def test_the_schema_asks_for_every_name_and_no_other():
    schema = answers_schema(["a", "b"])
    assert schema["required"] == ["a", "b"] == list(schema["properties"])
    assert schema["additionalProperties"] is False
    assert schema["properties"]["a"] == {"type": "number", "minimum": 0, "maximum": 1}
