"""Between scan and render a source may change, move away or come back; a disk may fill up."""

import os
import shutil

import pytest

from curation.errors import InfrastructureError
from curation.listing import entry_at
from curation.media.cut import Span
from curation.media.encode import Encoding, encode
from curation.media.sandbox import Limits
from curation.records import Clip, records
from curation.render.stage import RenderBatch, RenderClips
from curation.sample import Coding, numbered
from curation.scan.shots import FixedWindows
from curation.scan.stage import Scan, ScanItem
from curation.stage import Away, Done, attempt


@pytest.fixture
def scanned(tmp_path):
    """A source and its clips."""
    path = numbered(tmp_path / "a.mp4", 48, size=(160, 96), coding=Coding(crf=28))
    result = Scan(shots=FixedWindows(1.0)).setup()(ScanItem(entry_at(str(path), {})))
    assert result.source.outcome == "scanned"
    return path, RenderBatch(result.source, tuple(records(Clip, result.clips)))


def render(batch, tmp_path):
    return attempt(RenderClips(output=str(tmp_path / "out")).setup(), batch)


def test_other_bytes_under_the_same_name_are_never_rendered(scanned, tmp_path):
    path, batch = scanned
    numbered(path, 48, first=900, size=(160, 96), coding=Coding(crf=28))
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


def test_a_source_out_of_reach_is_no_verdict(scanned, tmp_path):
    path, batch = scanned
    shutil.move(path, tmp_path / "unplugged")
    outcome = render(batch, tmp_path)
    assert isinstance(outcome, Away)
    assert str(path) in outcome.detail
    shutil.move(tmp_path / "unplugged", path)
    assert isinstance(render(batch, tmp_path), Done)


def test_a_file_that_goes_between_listing_and_scan_is_no_verdict(tmp_path):
    path = numbered(tmp_path / "a.mp4", 12, size=(160, 96))
    entry = entry_at(str(path), {})
    path.unlink()
    outcome = attempt(Scan(shots=FixedWindows(1.0)).setup(), ScanItem(entry))
    assert outcome == Away(entry.key, f"{path} was listed and is gone")


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="needs a device that is always full")
def test_a_full_disk_is_no_verdict(scanned):
    path, batch = scanned
    span = Span.of(batch.clips[0], batch.source)
    with pytest.raises(InfrastructureError, match="No space left on device"):
        encode(str(path), "/dev/full", span, size=(160, 96), encoding=Encoding(), limits=Limits())
