"""A caption made of measured facts: plain words for what the scores say, no model.

What was not measured is not spoken of, and what was measured is not said where the measure is often
wrong: docs/captions.md counts how often each word is. Brightness says nothing of the hour or the
place, and a camera that turns looks like one that moves aside, so that neither is claimed. The same
facts stand beside the sentence as fields, so that
nobody has to read them out of the words again.
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
    captioned,
)
from curation.catalog import Catalog
from curation.records import Caption
from curation.stage import Needs

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
_COUNTED = {"people": ("person", "people"), "vehicles": ("vehicle", "vehicles"),
            "animals": ("animal", "animals"), "faces": ("face", "faces")}  # fmt: skip
_MOST_WORDS = 12


@dataclass(frozen=True)
class FactsCaption:
    """Says in one sentence what was measured of a clip."""

    version: ClassVar[int] = 2
    reads: ClassVar[Reads] = "facts"
    rewrite: ClassVar[str] = ""
    together: ClassVar[int] = 1000
    budget: ClassVar[Budget] = Budget()
    questions: ClassVar[Mapping[str, str]] = {}
    thresholds: ClassVar[Mapping[str, float]] = {}

    @property
    def needs(self) -> Needs:
        """Next to nothing."""
        return Needs(cpus=1.0, memory_mb=256)

    def table(self, catalog: Catalog) -> str:
        """By the scores that there are: one that is added later says more, in another table."""
        decides = json.dumps([self.version, catalog.names("scores")])
        return f"facts-{hashlib.sha256(decides.encode()).hexdigest()[:8]}"

    def identity(self) -> Identity:
        """No model."""
        return Identity()

    def setup(self) -> Callable[[CaptionBatch], CaptionedBatch]:
        """Nothing to load."""
        return _captioned


def _captioned(batch: CaptionBatch) -> CaptionedBatch:
    made = CaptionedBatch()
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
        made.captions.append(caption)
        made.clips.append(captioned(clip, [caption]))
    return made


def facts_caption(clip: Mapping[str, Any]) -> str:
    """One sentence from a clip's row with its scores; says nothing of what was not measured."""
    return sentence(clip_facts(clip))


def clip_facts(clip: Mapping[str, Any]) -> dict[str, Any]:
    """What the row of a clip with its scores says, in the words of a caption; only what it says."""
    facts: dict[str, Any] = {
        "duration_s": round(clip["end_s"] - clip["start_s"], 1),
        "format": _format(clip["width"], clip["height"]),
    }
    for name, words in _WORDS.items():
        value = clip.get(name[1])
        if value is not None and (said := words(value)):
            facts[name[0]] = said
    if "kind" in facts:  # no camera filmed it
        facts.pop("camera", None)
    counts = {n: round(clip[n]) for n in _COUNTED if clip.get(n) is not None}
    return facts | counts


def sentence(facts: Mapping[str, Any]) -> str:
    """Facts as one sentence."""
    looks = " and ".join(facts[name] for name in ("brightness", "focus") if name in facts)
    text = " ".join(filter(None, ["A", looks, facts.get("kind", "clip")]))
    text += f" of {facts['duration_s']:.1f} seconds"
    parts = [facts[name] for name in ("motion", "camera", "corner") if name in facts]
    parts += [_number(facts[name], *words) for name, words in _COUNTED.items() if facts.get(name)]
    if parts:
        text += f" with {_listed(parts)}"
    text += f", in {facts['format']} format"
    if "objects" in facts:
        text += f", in view: {facts['objects']}"
    if "text" in facts:
        text += f", showing the words “{facts['text']}”"
    return text + "."


def _number(count: int, one: str, many: str) -> str:
    return f"one {one}" if count == 1 else f"{count} {many}"


def _listed(parts: list[str]) -> str:
    """`a`, `a and b`, `a, b and c`."""
    return " and ".join(filter(None, [", ".join(parts[:-1]), parts[-1]]))


def _step(levels: tuple[tuple[float, str | None], ...], above: str, value: float) -> str | None:
    return next((word for bound, word in levels if value < bound), above)


def _shown(text: str) -> str:
    words = text.split()
    return " ".join(words[:_MOST_WORDS]) + (" …" if len(words) > _MOST_WORDS else "")


def _format(width: int, height: int) -> str:
    return "portrait" if height > width else ("square" if height == width else "landscape")


# A picture whose subject alone is in focus lies between the two.
_FOCUS = ((0.25, "blurred"), (0.65, None))
_MOTION = ((0.01, "hardly any motion"), (0.15, "a little motion"), (0.5, "motion"))
_WORDS: dict[tuple[str, str], Callable[[Any], str | None]] = {
    ("brightness", "light"): _LIGHT.get,
    ("focus", "sharpness"): functools.partial(_step, _FOCUS, "sharp"),
    ("motion", "motion"): functools.partial(_step, _MOTION, "motion all over the picture"),
    ("camera", "camera"): _CAMERA.get,
    ("kind", "kind"): _KIND.get,
    ("objects", "objects"): str,
    ("corner", "corner_text"): lambda there: "writing that stays in a corner" if there else None,
    ("text", "screen_words"): _shown,
}
"""By the name of the fact and of the column that it is taken from, the words for a value."""
