"""Tags: columns that hold one of a few words, and which words a policy wants."""

from __future__ import annotations

import difflib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from curation.scores import SCORES, columns


@dataclass(frozen=True)
class Tag:
    """One column of words."""

    column: str
    about: str
    """What the words tell."""
    words: Mapping[str, str]
    """Each word and what it means."""
    reason: str
    """Why a clip with an unwanted word is left out."""


def _tags() -> tuple[dict[str, Tag], dict[str, str]]:
    known, sentences = {}, {}
    for score in SCORES.values():
        for column in columns(score):
            if words := column.metadata.get("words"):
                reason, sentence = column.metadata["reason"]
                known[column.name] = Tag(column.name, column.metadata["about"], words, reason)
                sentences[reason] = sentence
    return known, sentences


TAGS, TAG_REASONS = _tags()
"""Every column of words, and the sentence for each of their reasons."""


@dataclass(frozen=True)
class Words:
    """Which words of one tag are wanted; a clip without a word breaks neither."""

    allow: tuple[str, ...] | None = None
    """Only these; null for all."""
    deny: tuple[str, ...] = ()
    """None of these."""

    def unwanted(self, word: str | None) -> bool:
        """Whether a clip with this word is left out."""
        if word is None:
            return False
        return word in self.deny or (self.allow is not None and word not in self.allow)


def check(tags: Mapping[str, Words]) -> None:
    """`ValueError` for unknown tags and words, with the nearest known one."""
    for name, words in tags.items():
        _known("tag", name, list(TAGS))
        for word in (*(words.allow or ()), *words.deny):
            _known(f"word of {name}", word, list(TAGS[name].words))
        both = set(words.allow or ()) & set(words.deny)
        if both:
            raise ValueError(f"policy: {name} both allows and denies {sorted(both)[0]!r}")


def _known(kind: str, name: str, names: Sequence[str]) -> None:
    if name not in names:
        near = difflib.get_close_matches(name, names, 1)
        hint = f"did you mean {near[0]!r}?" if near else f"there are {', '.join(names)}"
        raise ValueError(f"policy: no {kind} is called {name!r}; {hint}")
