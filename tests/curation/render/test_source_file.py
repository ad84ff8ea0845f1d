"""Sources that change, disappear or come back between scan and render, and full disks."""

import os
import shutil

import pytest

from curation.errors import InfrastructureError
from curation.listing import entry_at
from curation.media.cut import Span
from curation.media.encode import EncodeJob, Encoding, encode
from curation.media.sandbox import Limits
from curation.records import Clip, from_table
from curation.render.stage import RenderBatch, RenderClips
from curation.sample import Coding, write_numbered_video
from curation.scan.shots import FixedWindows
from curation.scan.stage import Scan, ScanItem
from curation.stage import Done, Unavailable, attempt


@pytest.fixture
def scanned(tmp_path):
    """A source and its clips."""
    path = write_numbered_video(tmp_path / "a.mp4", 48, size=(160, 96), coding=Coding(crf=28))
    result = Scan(shots=FixedWindows(1.0)).setup()(ScanItem(entry_at(str(path), {})))
    assert result.source.outcome == "scanned"
    return path, RenderBatch(result.source, tuple(from_table(Clip, result.clips)))


def render(batch, tmp_path):
    return attempt(RenderClips(output=str(tmp_path / "out")).setup(), batch)


def test_other_bytes_under_the_same_name_are_never_rendered(scanned, tmp_path):
    path, batch = scanned
    write_numbered_video(path, 48, first=900, size=(160, 96), coding=Coding(crf=28))
    outcome = render(batch, tmp_path)
    assert (outcome.reason, outcome.detail) == (
        "changed", "the file holds other bytes than when it was scanned"
    )  # fmt: skip
    assert not (tmp_path / "out").exists()


def test_the_same_bytes_with_another_time_are_rendered(scanned, tmp_path):
    path, batch = scanned
    os.utime(path, (1, 1))
    outcome = render(batch, tmp_path)
    assert isinstance(outcome, Done)
    assert [row.outcome for row in outcome.value] == ["rendered", "rendered"]


def test_an_unavailable_source_gets_no_outcome(scanned, tmp_path):
    path, batch = scanned
    shutil.move(path, tmp_path / "unplugged")
    outcome = render(batch, tmp_path)
    assert isinstance(outcome, Unavailable)
    assert str(path) in outcome.detail
    shutil.move(tmp_path / "unplugged", path)
    assert isinstance(render(batch, tmp_path), Done)


def test_a_file_that_disappears_between_listing_and_scan_gets_no_outcome(tmp_path):
    path = write_numbered_video(tmp_path / "a.mp4", 12, size=(160, 96))
    entry = entry_at(str(path), {})
    path.unlink()
    outcome = attempt(Scan(shots=FixedWindows(1.0)).setup(), ScanItem(entry))
    assert outcome == Unavailable(entry.key, f"{path} was listed and no longer exists")


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="needs a device that is always full")
def test_a_full_disk_is_an_infrastructure_error(scanned):
    path, batch = scanned
    span = Span.of(batch.clips[0], batch.source)
    with pytest.raises(InfrastructureError, match="No space left on device"):
        encode(str(path), EncodeJob("/dev/full", span, (160, 96)), Encoding(), Limits())
