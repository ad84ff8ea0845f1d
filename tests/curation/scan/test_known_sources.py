"""Sources that were scanned before are found, of those before this run and of this one."""

import pyarrow as pa
import pytest

from curation import records
from curation.clip_table import scanned_ids
from curation.dataset import Dataset
from curation.records import Source
from curation.scan import known_sources
from curation.scan.known_sources import KnownSources


def add_source(dataset: Dataset, source_id: str, uri: str) -> None:
    row = Source(uri, 1, "m", "scanned", source_id=source_id)
    dataset.catalog.append("sources", Source, records.to_table(Source, [row]))


@pytest.mark.parametrize("most_recent", [0, 100])
def test_committed_sources_are_found(tmp_path, monkeypatch, most_recent):
    monkeypatch.setattr(known_sources, "_MAX_RECENT", most_recent)
    dataset = Dataset(tmp_path)
    add_source(dataset, "b" * 64, "/v/second.mp4")
    add_source(dataset, "b" * 64, "/v/first.mp4")
    known = KnownSources(dataset.catalog, scanned_ids(dataset.catalog))
    assert {i: s.uri for i, s in known.find(["b" * 64, "c" * 64]).items()} == {
        "b" * 64: "/v/first.mp4"
    }
    add_source(dataset, "c" * 64, "/v/third.mp4")
    assert known.find(["c" * 64]) == {}
    known.add(["c" * 64])
    assert known.find(["c" * 64, "d" * 64])["c" * 64].uri == "/v/third.mp4"
    assert known.find([]) == {}


def test_of_none_nothing_is_known(tmp_path):
    known = KnownSources(Dataset(tmp_path).catalog, pa.array([], pa.string()))
    assert known.find(["a" * 64]) == {}
