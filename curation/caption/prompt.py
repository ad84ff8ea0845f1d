"""What a model is told: templates by use and length, as data files, and the digest of it all.

A template lies in `prompts/use`; `prompts/length` says how much to answer. Places for what differs
from clip to clip are `{pictures}`, `{seconds}` and, for a rewrite, `{captions}`.
"""

from __future__ import annotations

import functools
import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

_FOLDER = Path(__file__).with_name("prompts")


@dataclass(frozen=True)
class Prompt:
    """The words of one captioner."""

    describe: str
    """Asks for the caption."""
    questions: Mapping[str, str] = field(default_factory=dict)
    """Yes-or-no questions by name."""

    @classmethod
    def of(
        cls, use: str, length: str, own: str, questions: Mapping[str, str], *, rewrites: bool
    ) -> Prompt:
        """The template for a use and a length, or words of one's own in place of both.

        Raises `ValueError` for a use or length that there is no template for.
        """
        for kind, wanted, there in (("use", use, uses()), ("length", length, lengths())):
            if wanted not in there:
                raise ValueError(f"{kind} {wanted!r} is none of {', '.join(there)}")
        if own:
            return cls(own, dict(questions))
        ask = _template("rewrite") if rewrites else _template(f"use/{use}")
        return cls(f"{ask}\n{_template(f'length/{length}')}", dict(questions))

    @property
    def digest(self) -> str:
        """First 16 digits of the sha256 over all words."""
        words = [self.describe, self.questions, _template("question"), _template("questions")]
        told = json.dumps(words if self.questions else words[:1], sort_keys=True)
        return hashlib.sha256(told.encode()).hexdigest()[:16]

    def description(self, pictures: int, seconds: float, captions: Sequence[str] = ()) -> str:
        """Asks for a caption of so many pictures, or of captions."""
        return _filled(self.describe, pictures, seconds, captions="\n".join(captions))

    def question(self, name: str, pictures: int, seconds: float) -> str:
        """Asks one question, to be answered with yes or no."""
        ask = _template("question")
        return _filled(ask, pictures, seconds, question=self.questions[name])

    def all_questions(self, pictures: int, seconds: float) -> str:
        """Asks all questions, to be answered with one JSON object."""
        listed = "\n".join(f"{name}: {words}" for name, words in self.questions.items())
        return _filled(_template("questions"), pictures, seconds, questions=listed)


@functools.cache
def uses() -> list[str]:
    """The uses that there are templates for."""
    return sorted(path.stem for path in (_FOLDER / "use").glob("*.txt"))


@functools.cache
def lengths() -> list[str]:
    """The lengths that there are templates for."""
    return sorted(path.stem for path in (_FOLDER / "length").glob("*.txt"))


def _filled(template: str, pictures: int, seconds: float, **more: str) -> str:
    text = template.replace("{pictures}", str(pictures)).replace("{seconds}", f"{seconds:.1f}")
    for name, words in more.items():
        text = text.replace(f"{{{name}}}", words)
    return text


@functools.cache
def _template(name: str) -> str:
    return (_FOLDER / f"{name}.txt").read_text(encoding="utf-8").strip()
