"""Prompt templates by domain and length, as data files, and the digest of all of them.

`prompts/domain` holds the templates, `prompts/length` how much to answer. Placeholders are
`{pictures}`, `{seconds}` and, for a rewrite, `{captions}`.
"""

from __future__ import annotations

import functools
import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from curation.caption.base import CaptionerError

_FOLDER = Path(__file__).with_name("prompts")


@dataclass(frozen=True)
class PromptTemplates:
    """The prompts of one captioner."""

    caption: str
    """Asks for the caption."""
    questions: Mapping[str, str] = field(default_factory=dict)
    """Yes-or-no questions by name."""

    @classmethod
    def of(
        cls, domain: str, length: str, custom: str, questions: Mapping[str, str], *, rewrite: bool
    ) -> PromptTemplates:
        """The templates of a domain and a length, or `custom` text in place of both.

        Raises `CaptionerError` for a domain or length without a template.
        """
        for kind, name in (("domain", domain), ("length", length)):
            if name not in template_names(kind):
                names = ", ".join(template_names(kind))
                raise CaptionerError(f"{kind} {name!r} is none of {names}")
        if custom:
            return cls(custom, dict(questions))
        task = _template("rewrite" if rewrite else f"domain/{domain}")
        return cls(f"{task}\n{_template(f'length/{length}')}", dict(questions))

    @property
    def digest(self) -> str:
        """First 16 hex digits of the sha256 over all prompts."""
        texts = [self.caption, self.questions, _template("question"), _template("questions")]
        content = json.dumps(texts if self.questions else texts[:1], sort_keys=True)
        return hashlib.sha256(content.encode()).hexdigest()[:16]

    def caption_prompt(self, frames: int, duration_s: float, captions: Sequence[str] = ()) -> str:
        """Asks for a caption of `frames` frames, or of captions."""
        return _filled(self.caption, frames, duration_s, captions="\n".join(captions))

    def question_prompt(self, name: str, frames: int, duration_s: float) -> str:
        """Asks one question, to be answered with yes or no."""
        question = self.questions[name]
        return _filled(_template("question"), frames, duration_s, question=question)

    def questions_prompt(self, frames: int, duration_s: float) -> str:
        """Asks all questions, to be answered with one JSON object."""
        lines = "\n".join(f"{name}: {question}" for name, question in self.questions.items())
        return _filled(_template("questions"), frames, duration_s, questions=lines)


@functools.cache
def template_names(kind: str) -> list[str]:
    """Names of the templates of a kind, `domain` or `length`."""
    return sorted(path.stem for path in (_FOLDER / kind).glob("*.txt"))


@functools.cache
def _template(name: str) -> str:
    return (_FOLDER / f"{name}.txt").read_text(encoding="utf-8").strip()


def _filled(template: str, frames: int, duration_s: float, **texts: str) -> str:
    """Inserted texts may contain braces, so placeholders are replaced one by one."""
    text = template.replace("{pictures}", str(frames)).replace("{seconds}", f"{duration_s:.1f}")
    for name, value in texts.items():
        text = text.replace(f"{{{name}}}", value)
    return text
