"""Tags: how many clips have each word, and a gallery of each."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from curation.select.tags import TAGS
from pipelines.report.pictures import Tile, tiles_of
from pipelines.report.snapshot import Output

MOST_OF_A_WORD = 12


@dataclass(frozen=True)
class Word:
    """The clips with one word."""

    word: str
    words: str
    """What it means."""
    total: int
    kept: int
    tiles: list[Tile]
    """A few of them, spread evenly over all."""


@dataclass(frozen=True)
class TagGallery:
    """One tag and its words, the most frequent first."""

    name: str
    about: str
    words: list[Word]
    unknown: int
    """Clips without a word."""


def gather(output: Output) -> list[TagGallery]:
    """One gallery for each tag that some clip has."""
    chosen: dict[tuple[str, str], list[int]] = {}
    columns = {name: np.array(output.clips[name].to_pylist(), object) for name in TAGS}
    for name, tag in TAGS.items():
        for word in tag.words:
            at = np.flatnonzero(columns[name] == word)
            if len(at):
                count = min(MOST_OF_A_WORD, len(at))
                spread = np.linspace(0, len(at) - 1, count).round().astype(int)
                chosen[name, word] = at[spread].tolist()
    tiles = tiles_of(output, sorted({place for places in chosen.values() for place in places}))
    found = [_gallery(output, name, columns[name], chosen, tiles) for name in TAGS]
    return [gallery for gallery in found if gallery.words]


def _gallery(
    output: Output,
    name: str,
    column: np.ndarray[tuple[int, ...], np.dtype[np.object_]],
    chosen: dict[tuple[str, str], list[int]],
    tiles: dict[int, Tile],
) -> TagGallery:
    tag = TAGS[name]
    words = [
        Word(
            word,
            meaning,
            int((column == word).sum()),
            int(((column == word) & (output.verdicts == "kept")).sum()),
            [tiles[place] for place in chosen[name, word]],
        )
        for word, meaning in tag.words.items()
        if (name, word) in chosen
    ]
    words.sort(key=lambda each: -each.total)
    return TagGallery(name, tag.about, words, int((column == None).sum()))  # noqa: E711
