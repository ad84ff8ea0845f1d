"""Small source videos with known truth: for a first look at Reelmill, and for its tests.

`render(directory)` writes a set of scenes drawn by program, good and bad, and says what should be
found in each; `numbered(path, frames)` writes a video whose every frame carries its number.
"""

from curation.sample.encode import Coding
from curation.sample.number import numbered, read_number
from curation.sample.sources import SOURCES, TRUTH_FILE, Truth, read_truth, render

__all__ = [
    "SOURCES",
    "TRUTH_FILE",
    "Coding",
    "Truth",
    "numbered",
    "read_number",
    "read_truth",
    "render",
]
