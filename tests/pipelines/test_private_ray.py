"""A Ray that a command starts for itself is reachable from its own machine alone."""

import ipaddress
import json
import subprocess
import sys

import pytest

from tests.outputs import ROOT, environment

PROGRAM = """
import json, psutil
from pipelines.run.ray_cluster import cluster

with cluster("local", cpus=1, object_store_mb=100):
    import ray
    answer = ray.get(ray.remote(lambda: 5).remote())
    me = psutil.Process()
    found = [
        (process.name(), connection.laddr.ip)
        for process in [me, *me.children(recursive=True)]
        for connection in process.net_connections("inet")
        if connection.status == "LISTEN"
    ]
print(json.dumps([answer, found]))
"""


@pytest.mark.ray
def test_a_private_ray_listens_on_loopback_alone():
    ended = subprocess.run(
        [sys.executable, "-c", PROGRAM], env=environment(), cwd=ROOT, capture_output=True,
        text=True, timeout=300, check=True,
    )  # fmt: skip
    answer, listeners = json.loads(ended.stdout.splitlines()[-1])
    assert answer == 5
    assert {"gcs_server", "raylet"} <= {name for name, _ in listeners}
    for name, text in listeners:
        address = ipaddress.ip_address(text)
        address = getattr(address, "ipv4_mapped", None) or address
        assert address.is_loopback, (name, text)
