"""One file of the sweep: how it is generated and its ground truth."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from tests.sweep.generator import Recipe, Truth, write


@dataclass(frozen=True, eq=False)
class Case:
    """A test file, written on demand."""

    container: str
    """Row of the table."""
    what: str
    """Column of the table: the tested property."""
    detail: str
    """What distinguishes it from others of the same container and property."""
    recipe: Recipe
    truth: Truth
    writer: Callable[[Path], Path] | None = None
    """Writes the file instead of the recipe alone."""
    copies: bool = False
    """Whether `copy` renders are compared as well."""
    resampled: bool = False
    """Whether renders at another rate are compared as well."""

    @property
    def name(self) -> str:
        """A unique name."""
        return f"{self.container}-{self.what}-{self.detail}".replace(" ", "_").replace("/", "_")

    def write(self, folder: Path) -> Path:
        """Writes the file into the folder; returns its path."""
        path = folder / self.name
        return self.writer(path) if self.writer is not None else write(path, self.recipe)
