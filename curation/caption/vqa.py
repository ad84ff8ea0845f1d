"""Answers to yes-or-no questions: how sure a model is of each yes, read out of its JSON."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from typing import Any

from curation.errors import ReelmillError

_OBJECT = re.compile(r"\{.*\}", re.DOTALL)
_WORDS = {"yes": 1.0, "true": 1.0, "no": 0.0, "false": 0.0}


class AnswersError(ReelmillError, ValueError):
    """These are no answers to the questions."""


def schema_of(names: Iterable[str]) -> dict[str, Any]:
    """The JSON schema of answers: each name with a number from 0 to 1."""
    number = {"type": "number", "minimum": 0, "maximum": 1}
    listed = list(names)
    return {
        "type": "object",
        "properties": dict.fromkeys(listed, number),
        "required": listed,
        "additionalProperties": False,
    }


def read_answers(text: str, names: Iterable[str]) -> dict[str, float]:
    """How sure each yes is, 0–1, from an object of numbers, truth values or yes and no.

    Words around the object are passed over. Raises `AnswersError` if it is none, lacks a name or
    has a number outside 0–1.
    """
    found = _OBJECT.search(text)
    try:
        held = json.loads(found[0]) if found else None
    except ValueError as error:
        raise AnswersError(f"no JSON: {error}") from error
    if not isinstance(held, dict):
        raise AnswersError(f"no JSON object in {text[:80]!r}")
    return {name: _sureness(name, held) for name in names}


def _sureness(name: str, held: Mapping[str, Any]) -> float:
    value = held.get(name)
    if isinstance(value, str):
        value = _WORDS.get(value.strip().lower())
    if not isinstance(value, int | float) or not 0 <= value <= 1:
        raise AnswersError(f"{name}: {held.get(name)!r} is no number from 0 to 1")
    return float(value)
