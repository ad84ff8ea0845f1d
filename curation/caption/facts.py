"""A caption made of measured facts: plain words for what the scores say, no model.

A fact without a measurement is left out, and so is one whose measure is often wrong:
docs/captions.md counts how often each word is. Brightness says nothing of the time of day or the
place, and a camera that turns looks like one that moves aside, so neither is claimed. The facts are
also stored as fields, so that programs need not parse the sentence.
"""

from __future__ import annotations

import functools
import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from curation.caption.base import (
    Budget,
    CaptionBatch,
    CaptionedBatch,
    Identity,
    Reads,
    captioned_row,
)
from curation.catalog import Catalog
from curation.records import Caption
from curation.stage import Resources

_CAMERA = {
    "static": "a camera that stands still",
    "pan_left": "a camera that pans or moves left",
    "pan_right": "a camera that pans or moves right",
    "tilt_up": "a camera that tilts or moves up",
    "tilt_down": "a camera that tilts or moves down",
    "zoom_in": "a camera that zooms in or moves forward",
    "zoom_out": "a camera that zooms out or moves back",
    "roll": "a camera that rolls",
    "shaky": "a shaky camera",
    "mixed": "a moving camera",
}
_KIND = {"screen": "recorded screen or slide", "still": "still picture"}
_LIGHT = {"dark": "dark", "dim": "dim", "bright": "bright"}
_COUNTS = {"people": ("person", "people"), "vehicles": ("vehicle", "vehicles"),
           "animals": ("animal", "animals"), "faces": ("face", "faces")}  # fmt: skip
_MAX_SCREEN_WORDS = 12


@dataclass(frozen=True)
class FactsCaption:
    """States in one sentence what was measured of a clip."""

    version: ClassVar[int] = 2
    reads: ClassVar[Reads] = "facts"
    rewrite: ClassVar[str] = ""
    batch_size: ClassVar[int] = 1000
    budget: ClassVar[Budget] = Budget()
    questions: ClassVar[Mapping[str, str]] = {}
    thresholds: ClassVar[Mapping[str, float]] = {}

    @property
    def resources(self) -> Resources:
        """A core and little memory."""
        return Resources(cpus=1.0, memory_mb=256)

    def table(self, catalog: Catalog) -> str:
        """By the tables of scores: a score that is added later fills another table."""
        content = json.dumps([self.version, catalog.names("scores")])
        return f"facts-{hashlib.sha256(content.encode()).hexdigest()[:8]}"

    def identity(self) -> Identity:
        """No model."""
        return Identity()

    def setup(self) -> Callable[[CaptionBatch], CaptionedBatch]:
        """Nothing to load."""
        return _caption_batch


def _caption_batch(batch: CaptionBatch) -> CaptionedBatch:
    result = CaptionedBatch()
    for clip in batch.clips:
        facts = clip_facts(clip.facts or {})
        caption = Caption(
            clip.clip_id,
            clip.source_id,
            sentence(facts),
            start_frame=clip.start_frame,
            end_frame=clip.end_frame,
            answers=json.dumps(facts, ensure_ascii=False),
        )
        result.captions.append(caption)
        result.clips.append(captioned_row(clip, [caption]))
    return result


def facts_caption(clip: Mapping[str, Any]) -> str:
    """One sentence from a clip's row with its scores."""
    return sentence(clip_facts(clip))


def clip_facts(clip: Mapping[str, Any]) -> dict[str, Any]:
    """The facts in a clip's row with its scores, in words; those without a value are left out."""
    width, height = clip["width"], clip["height"]
    facts: dict[str, Any] = {
        "duration_s": round(clip["end_s"] - clip["start_s"], 1),
        "format": "portrait" if height > width else "square" if height == width else "landscape",
    }
    for fact, (column, phrase_for) in _PHRASES.items():
        value = clip.get(column)
        if value is not None and (phrase := phrase_for(value)):
            facts[fact] = phrase
    if "kind" in facts:  # no camera filmed it
        facts.pop("camera", None)
    counts = {name: round(clip[name]) for name in _COUNTS if clip.get(name) is not None}
    return facts | counts


def sentence(facts: Mapping[str, Any]) -> str:
    """Facts as one sentence."""
    look = " and ".join(facts[name] for name in ("brightness", "focus") if name in facts)
    text = " ".join(filter(None, ["A", look, facts.get("kind", "clip")]))
    text += f" of {facts['duration_s']:.1f} seconds"
    parts = [facts[name] for name in ("motion", "camera", "corner") if name in facts]
    for name, (singular, plural) in _COUNTS.items():
        if count := facts.get(name):
            parts.append(f"one {singular}" if count == 1 else f"{count} {plural}")
    if parts:
        text += " with " + " and ".join(filter(None, [", ".join(parts[:-1]), parts[-1]]))
    text += f", in {facts['format']} format"
    if "objects" in facts:
        text += f", in view: {facts['objects']}"
    if "text" in facts:
        text += f", showing the words “{facts['text']}”"
    return text + "."


def _level(levels: tuple[tuple[float, str | None], ...], highest: str, value: float) -> str | None:
    return next((phrase for bound, phrase in levels if value < bound), highest)


def _screen_text(text: str) -> str:
    words = text.split()
    return " ".join(words[:_MAX_SCREEN_WORDS]) + (" …" if len(words) > _MAX_SCREEN_WORDS else "")


# A picture whose subject alone is in focus lies between the two.
_FOCUS = ((0.25, "blurred"), (0.65, None))
_MOTION = ((0.01, "hardly any motion"), (0.15, "a little motion"), (0.5, "motion"))
_PHRASES: dict[str, tuple[str, Callable[[Any], str | None]]] = {
    "brightness": ("light", _LIGHT.get),
    "focus": ("sharpness", functools.partial(_level, _FOCUS, "sharp")),
    "motion": ("motion", functools.partial(_level, _MOTION, "motion all over the picture")),
    "camera": ("camera", _CAMERA.get),
    "kind": ("kind", _KIND.get),
    "objects": ("objects", str),
    "corner": ("corner_text", lambda value: "writing that stays in a corner" if value else None),
    "text": ("screen_words", _screen_text),
}
"""By fact, the column that it is taken from and the phrase for a value."""
