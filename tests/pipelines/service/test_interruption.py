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
from curation import sql_filter
from curation.search.index import Index

rows = Index.__dict__["metadata_with_verdicts"].func
large = cached_property(
    lambda index: pa.concat_tables([pa.concat_tables([rows(index)] * 1000).combine_chunks()] * 3000)
)
large.__set_name__(Index, "metadata_with_verdicts")
Index.metadata_with_verdicts = large
sql_filter._DEADLINE_S = 600
"""
"""Makes the metadata of an index 15 million rows long: `HEAVY` takes 40 s of CPU time and more."""
HEAVY = " or ".join(f"regexp_matches(lower(uri), '{n}.*{n}.*x$')" for n in range(40))


@pytest.fixture
def server(outputs, tmp_path):
    with live_server(outputs, tmp_path / "state", ServerLimits(), preamble=LARGE) as running:
        yield running


def test_a_client_that_hangs_up_ends_its_computation(server):
    body = json.dumps({"where": HEAVY}).encode()
    head = (
        f"POST /v1/collections/drive/search HTTP/1.1\r\nHost: 127.0.0.1\r\n"
        f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    before_s = _cpu_s(server)
    with server.connect() as client:
        client.sendall(head.encode() + body)
        _wait(lambda: _cpu_s(server) > before_s + 2, "it computes")
    hung_up_s = _cpu_s(server)
    _wait(lambda: _is_idle(server) and _is_idle(server) and _is_idle(server), "it ends")
    assert _cpu_s(server) < hung_up_s + 10
    assert server.health()


def _cpu_s(server) -> float:
    """CPU time of the server so far."""
    return sum(server.process.cpu_times()[:2])


def _is_idle(server) -> bool:
    before_s = _cpu_s(server)
    time.sleep(1)
    return _cpu_s(server) < before_s + 0.1


def _wait(condition, what: str) -> None:
    ends = time.monotonic() + 120
    while not condition():
        assert time.monotonic() < ends, what
        time.sleep(0.1)
