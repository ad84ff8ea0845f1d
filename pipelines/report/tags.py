"""Tags: how many clips have each word, and a gallery of each."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow.compute as pc

from curation.id_match import to_bools
from curation.select.policy import TAGS
from pipelines.report.contact_sheets import Tile, evenly_spread, read_tiles
from pipelines.report.snapshot import OutputSnapshot

MAX_PER_WORD = 12


@dataclass(frozen=True)
class TagWord:
    """The clips with one word."""

    word: str
    meaning: str
    clips: int
    kept: int
    tiles: list[Tile]
    """A few of them, evenly spread over all."""


@dataclass(frozen=True)
class TagGallery:
    """One tag and its words, the most frequent first."""

    name: str
    about: str
    words: list[TagWord]
    untagged: int
    """Clips without a word."""


def gather(output: OutputSnapshot) -> list[TagGallery]:
    """One gallery for each tag that some clip has."""
    samples = {
        (name, word): evenly_spread(np.flatnonzero(_has_word(output, name, word)), MAX_PER_WORD)
        for name, tag in TAGS.items()
        for word in tag.categories
    }
    tiles = read_tiles(output, sorted({row for rows in samples.values() for row in rows}))
    is_kept = output.verdicts["kept"]
    galleries = []
    for name, tag in TAGS.items():
        words = []
        for word, meaning in tag.categories.items():
            if rows := samples[name, word]:
                has_word = _has_word(output, name, word)
                clips, kept = int(has_word.sum()), int((has_word & is_kept).sum())
                words.append(TagWord(word, meaning, clips, kept, [tiles[row] for row in rows]))
        words.sort(key=lambda word: -word.clips)
        if words:
            untagged = output.clips[name].null_count
            galleries.append(TagGallery(name, tag.about, words, untagged))
    return galleries


def _has_word(output: OutputSnapshot, name: str, word: str) -> npt.NDArray[np.bool_]:
    return to_bools(pc.equal(output.clips[name], word))
