"""The columns of a row of tokens, by what a batch makes of them."""

from __future__ import annotations

import types
import typing
from collections.abc import Sequence
from typing import Any

import numpy as np

from tokenizer.tokenize.shards import TokenWindow

HEADS = ("codes", "latents")
"""Columns that hold tokens."""


def _numbers() -> dict[str, np.dtype[Any]]:
    found: dict[str, np.dtype[Any]] = {}
    for name, hint in typing.get_type_hints(TokenWindow).items():
        nullable = isinstance(hint, types.UnionType)
        kind = hint.__args__[0] if nullable else hint
        if kind in (bool, int, float):
            found[name] = np.dtype(float if nullable else kind)
    return found


NUMBERS = _numbers()
"""How columns of numbers are held; float64, where null is NaN, if null may be."""
TEXTS = tuple(n for n in typing.get_type_hints(TokenWindow) if n not in NUMBERS and n not in HEADS)
"""Columns of text."""


def checked(names: Sequence[str]) -> tuple[str, ...]:
    """The names, each once; `ValueError` if one is no column of a row of tokens."""
    known = (*HEADS, *TEXTS, *NUMBERS)
    unknown = [names] if isinstance(names, str) else [n for n in names if n not in known]
    if unknown:
        raise ValueError(
            f"no columns of tokens: {', '.join(unknown)}; there are {', '.join(known)}"
        )
    return tuple(dict.fromkeys(names))
