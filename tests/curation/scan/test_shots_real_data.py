"""The prefilter before the network, on real videos."""

from fractions import Fraction

import numpy as np
import pytest

from curation.media.decode import AnalysisSampling, decode_streams
from curation.media.probe import probe
from curation.media.sandbox import Limits
from curation.media.timeline import Timeline
from curation.scan.shots import TransNetV2
from tests.curation.test_real_data import FOLDER

pytestmark = pytest.mark.data


@pytest.mark.parametrize(
    ("name", "stream", "most"), [("nasa_13013.mp4", 0, 4), ("flower_bloom.mp4", None, 0)]
)
def test_the_prefilter_skips_windows_and_changes_no_shot(name, stream, most):
    """A film with a cut and a dissolve, and one shot; `most` windows of 50 frames may pass."""
    path = FOLDER / "videos" / name
    if not path.is_file():
        pytest.skip(f"no real videos at {FOLDER}; set REELMILL_DATA")
    pieces = []
    decode_streams(str(path), probe(str(path), Limits(), stream), AnalysisSampling(), Limits(),
                   on_lowres=lambda frames: pieces.append(frames.copy()))  # fmt: skip
    frames = np.concatenate(pieces)
    line = Timeline(None, Fraction(1, 25), np.arange(len(frames) + 1) / 25, np.arange(0), False)
    shots, calls = [], []
    for prefilter in (True, False):
        finder = TransNetV2(prefilter=prefilter).load()()
        network, seen = finder._network, []
        finder._network = lambda window, network=network, seen=seen: (
            seen.append(1) or network(window)
        )
        finder.feed(frames)
        shots.append(finder.finish(line))
        calls.append(len(seen))
    assert shots[0] == shots[1]
    assert calls[0] <= most
    assert calls[1] == -(-len(frames) // 50)
