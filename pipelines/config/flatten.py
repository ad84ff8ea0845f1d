"""A tree of settings as one mapping from dotted keys to what stands there."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def leaves(tree: Mapping[str, Any], at: str = "") -> dict[str, Any]:
    """Values by dotted key; null and what is empty are left out, as if they were not there."""
    found: dict[str, Any] = {}
    for key, value in tree.items():
        if isinstance(value, Mapping):
            found |= leaves(value, f"{at}{key}.")
        elif value not in (None, []):
            found[f"{at}{key}"] = value
    return found
