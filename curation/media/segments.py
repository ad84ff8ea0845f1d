"""Stretches of a source whose times in the container follow one another, and its sound in them."""

from __future__ import annotations

import itertools
import json
from dataclasses import dataclass

_MOST_STRETCHES = 200
_EARLY_S = 0.1
"""How long before its pictures the sound of a stretch may begin."""
_NOWHERE_S = -1e6


@dataclass(frozen=True, slots=True)
class Stretch:
    """Frames whose times in the container follow one another."""

    start_frame: int
    """The first one's number."""
    begin_s: float
    """Its time in the container, in seconds."""
    start_s: float
    """The same in seconds from the source's first frame."""


def stretches_text(stretches: tuple[Stretch, ...]) -> str:
    """Stretches as JSON, to be stored."""
    return json.dumps([[s.start_frame, s.begin_s, s.start_s] for s in stretches])


def stretches_of(text: str | None, begin_s: float | None) -> tuple[Stretch, ...]:
    """Stretches from what `stretches_text` gave; without it the one that begins at `begin_s`."""
    if text is None:
        return (Stretch(0, begin_s or 0.0, 0.0),)
    return tuple(Stretch(*each) for each in json.loads(text))


def _end_s(stretch: Stretch, after: Stretch) -> float:
    """When a stretch ends in the container, given the next one."""
    return stretch.begin_s + after.start_s - stretch.start_s


def sound_follows(stretches: tuple[Stretch, ...], falls: int) -> bool:
    """Whether sound whose times fall back so often can be told apart by these stretches."""
    jumps = (
        after.begin_s - _end_s(stretch, after) for stretch, after in itertools.pairwise(stretches)
    )
    restarts = sum(jump < 0 for jump in jumps)
    return len(stretches) == 1 or (restarts == falls and len(stretches) <= _MOST_STRETCHES)


def sound_clock(stretches: tuple[Stretch, ...]) -> str | None:
    """When a piece of sound is heard, as an expression for ffmpeg's `asetpts`.

    It maps container times, in the order of the file, to those of the timeline. Sound within a gap
    gets a time far before the beginning. None for more stretches than an expression can hold.
    """
    if len(stretches) > _MOST_STRETCHES:
        return None
    now, moves, shifts, gaps = "ld(0)", [], [], []
    for at, stretch in enumerate(stretches):
        shifts.append(f"eq({now},{at})*{stretch.start_s - stretch.begin_s:.6f}")
        if at + 1 == len(stretches):
            break
        after = stretches[at + 1]
        end_s = _end_s(stretch, after)
        jump_s = after.begin_s - end_s
        if jump_s > 0:
            moves.append(f"eq({now},{at})*gte(T,{after.begin_s - min(_EARLY_S, jump_s / 2):.6f})")
            gaps.append(f"eq({now},{at})*gt(T,{end_s:.6f})")
        else:
            moves.append(f"eq({now},{at})*lt(T-PREV_INT,{jump_s / 2:.6f})")
    heard = f"T+{'+'.join(shifts)}"
    if len(stretches) == 1:
        heard = f"T+{stretches[0].start_s - stretches[0].begin_s:.6f}"
        return f"({heard})/TB"
    moved = f"st(0,{now}+{'+'.join(moves)})"
    heard = f"if({'+'.join(gaps)},{_NOWHERE_S:.0f},{heard})" if gaps else heard
    return f"{moved};({heard})/TB"
