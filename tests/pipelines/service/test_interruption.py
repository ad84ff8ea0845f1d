"""A condition stops being computed when its client hangs up, over a real server and socket."""

import json
import time

import pytest

from pipelines.service.settings import ServerLimits
from tests.pipelines.service.live_server import live_server

pytestmark = pytest.mark.slow
LARGE = """
import pyarrow as pa
from functools import cached_property
from curation.search.index import Index

rows = Index.__dict__["metadata_with_verdicts"].func
large = cached_property(lambda index: pa.concat_tables([rows(index)] * 200_000))
large.__set_name__(Index, "metadata_with_verdicts")
Index.metadata_with_verdicts = large
"""
"""Makes the metadata of an index a million rows long, for which a condition takes a while."""
HEAVY = " or ".join(f"regexp_matches(lower(uri), '{n}.*{n}.*x$')" for n in range(150))


@pytest.fixture
def server(outputs, tmp_path):
    with live_server(outputs, tmp_path / "state", ServerLimits(), preamble=LARGE) as running:
        yield running


def test_a_client_that_hangs_up_ends_its_computation(server):
    body = json.dumps({"where": HEAVY}).encode()
    head = (
        f"POST /v1/collections/drive/facets HTTP/1.1\r\nHost: 127.0.0.1\r\n"
        f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    with server.connect() as client:
        client.sendall(head.encode() + body)
        assert _used_s(server, 4.0) > 1.0, "it computes"
    _used_s(server, 1.0)
    assert _used_s(server, 2.0) < 0.5, "it has ended"
    assert server.health()


def _used_s(server, seconds: float) -> float:
    """CPU time of the server in the next seconds."""
    before = sum(server.process.cpu_times()[:2])
    time.sleep(seconds)
    return sum(server.process.cpu_times()[:2]) - before
