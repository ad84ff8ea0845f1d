"""One file of the sweep: how it is made and what is true of it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from tests.sweep.generator import Recipe, Truth, write


@dataclass(frozen=True, eq=False)
class Case:
    """A file that is written when it is first asked for."""

    container: str
    """Row of the table."""
    what: str
    """Column of the table: which property it tries."""
    detail: str
    """What tells it from others of the same container and property."""
    recipe: Recipe
    truth: Truth
    made: Callable[[Path], Path] | None = None
    """Writes the file instead of the recipe alone."""
    copies: bool = False
    """Whether `copy` renders are compared as well."""
    resampled: bool = False
    """Whether renders at another rate are compared as well."""

    @property
    def name(self) -> str:
        """Says what it is; no two cases have the same."""
        return f"{self.container}-{self.what}-{self.detail}".replace(" ", "_").replace("/", "_")

    def write(self, folder: Path) -> Path:
        """Writes the file into the folder; returns its path."""
        path = folder / self.name
        return self.made(path) if self.made is not None else write(path, self.recipe)
