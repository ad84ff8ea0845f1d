"""A caption made of measured facts: plain words for what the scores say, no model."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

FACTS = "captions/facts"


def facts_caption(clip: Mapping[str, Any]) -> str:
    """One sentence from a clip's row with its scores; says nothing of what was not measured."""
    seconds = clip["end_s"] - clip["start_s"]
    picture = [_light(clip.get("brightness")), _focus(clip.get("sharpness"))]
    looks = " and ".join(word for word in picture if word)
    text = f"A {looks} clip" if looks else "A clip"
    text += f" of {seconds:.1f} seconds"
    if movement := _movement(clip.get("motion")):
        text += f" with {movement}"
    return text + ", " + _shape(clip["width"], clip["height"]) + "."


def _light(brightness: float | None) -> str:
    if brightness is None:
        return ""
    return _step(brightness, ((0.12, "dark"), (0.3, "dim"), (0.65, "well-lit")), "bright")


def _focus(sharpness: float | None) -> str:
    if sharpness is None:
        return ""
    return _step(sharpness, ((0.35, "blurred"), (0.55, "soft")), "sharp")


def _movement(motion: float | None) -> str:
    if motion is None:
        return ""
    levels = ((0.01, "hardly any motion"), (0.15, "a little motion"), (0.5, "motion"))
    return _step(motion, levels, "motion all over the picture")


def _shape(width: int, height: int) -> str:
    return "upright" if height > width else ("square" if height == width else "landscape")


def _step(value: float, levels: tuple[tuple[float, str], ...], above: str) -> str:
    return next((word for bound, word in levels if value < bound), above)
