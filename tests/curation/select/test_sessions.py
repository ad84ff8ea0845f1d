"""How far a bad camera reaches: its clip, the span, the camera or the session, and no further."""

import numpy as np
import pyarrow as pa
import pytest

from curation import records
from curation.catalog import Catalog
from curation.select.policy import Policy
from curation.select.sessions import SessionClips
from curation.signals.blocks import RECORDINGS, ClipRecording
from curation.storage import Storage

S = 1_000_000_000
CLIPS = {  # session, camera, start and end in seconds
    "a0": ("one", "left", 0, 10), "a1": ("one", "left", 10, 20),
    "b0": ("one", "right", 0, 12), "b1": ("one", "right", 12, 20),
    "c0": ("two", "left", 0, 10), "x": None,
}  # fmt: skip


@pytest.fixture(scope="module")
def sessions(tmp_path_factory):
    catalog = Catalog(Storage.at(tmp_path_factory.mktemp("sessions")))
    rows = [
        ClipRecording(name, "s", place[0], place[1],
                      frame_ns=np.array([place[2] * S, place[3] * S], "<i8").tobytes())
        for name, place in CLIPS.items() if place
    ]  # fmt: skip
    catalog.append(RECORDINGS, ClipRecording, records.to_table(ClipRecording, rows))
    return SessionClips.read(catalog, pa.array(list(CLIPS)))


@pytest.mark.parametrize(
    ("bad", "scope", "reached"),
    [
        ("a0", "clip", ""), ("a0", "span", "b0"), ("a1", "span", "b0 b1"), ("b1", "span", "a1"),
        ("a0", "camera", "a1"), ("a0", "session", "a1 b0 b1"), ("c0", "session", ""),
        ("x", "session", ""), ("a0 c0", "span", "b0"),
    ],
)  # fmt: skip
def test_what_a_bad_clip_reaches(sessions, bad, scope, reached):
    is_bad = np.array([name in bad.split() for name in CLIPS])
    found = sessions.reached(is_bad, scope)
    assert [name for name, is_reached in zip(CLIPS, found, strict=True) if is_reached] == (
        reached.split()
    )


def test_selections_of_policies_from_before_keep_their_names():
    assert Policy().digest == Policy(sessions="clip").digest != Policy(sessions="span").digest
