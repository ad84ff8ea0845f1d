"""Answers to yes-or-no questions: the confidence of each yes, parsed from a model's JSON."""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Iterable
from typing import Any

from curation.errors import ReelmillError

_OBJECT = re.compile(r"\{.*\}", re.DOTALL)
_WORDS = {"yes": 1.0, "true": 1.0, "no": 0.0, "false": 0.0}


class AnswersError(ReelmillError, ValueError):
    """Text without valid answers to the questions."""


def answers_schema(names: Collection[str]) -> dict[str, Any]:
    """The JSON schema of answers: each name with a number from 0 to 1."""
    number = {"type": "number", "minimum": 0, "maximum": 1}
    return {
        "type": "object",
        "properties": dict.fromkeys(names, number),
        "required": list(names),
        "additionalProperties": False,
    }


def parse_answers(text: str, names: Iterable[str]) -> dict[str, float]:
    """The confidence of each yes, 0–1, from an object of numbers, truth values or yes and no.

    Text around the object is ignored. Raises `AnswersError` if there is no object, if it lacks a
    name, or if it has a number outside 0–1.
    """
    match = _OBJECT.search(text)
    try:
        answers = json.loads(match[0]) if match else None
    except ValueError as error:
        raise AnswersError(f"no JSON: {error}") from error
    if not isinstance(answers, dict):
        raise AnswersError(f"no JSON object in {text[:80]!r}")
    confidences: dict[str, float] = {}
    for name in names:
        value = answers.get(name)
        if isinstance(value, str):
            value = _WORDS.get(value.strip().lower())
        if not isinstance(value, int | float) or not 0 <= value <= 1:
            raise AnswersError(f"{name}: {answers.get(name)!r} is no number from 0 to 1")
        confidences[name] = float(value)
    return confidences
