"""Small source videos with known truth: for a first look at Reelmill, and for its tests.

`write_sample(directory)` writes a set of synthetic scenes, good and bad, with the expected outcome
of each; `write_numbered_video(path, frames)` writes a video whose every frame carries its number.
"""

from curation.sample.encode import Coding
from curation.sample.number import read_number, write_numbered_video
from curation.sample.sources import SOURCES, TRUTH_FILE, SampleTruth, read_truth, write_sample

__all__ = [
    "SOURCES",
    "TRUTH_FILE",
    "Coding",
    "SampleTruth",
    "read_number",
    "read_truth",
    "write_numbered_video",
    "write_sample",
]
