"""A local S3 server, started when the first test asks for a bucket."""

import atexit
import itertools
import logging
from functools import cache

import boto3
import pytest
from moto.server import ThreadedMotoServer

_NUMBERS = itertools.count(1)


@cache
def _server() -> str:
    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    atexit.register(server.stop)
    host, port = server.get_host_and_port()
    return f"http://{host}:{port}"


def bucket(monkeypatch: pytest.MonkeyPatch) -> str:
    """An `s3://` address of an empty bucket; the environment says how to reach it."""
    settings = {
        "AWS_ENDPOINT_URL": _server(),
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "test",
        "AWS_REGION": "us-east-1",
        "AWS_EC2_METADATA_DISABLED": "true",
    }
    for name, value in settings.items():
        monkeypatch.setenv(name, value)
    name = f"bucket-{next(_NUMBERS)}"
    boto3.client("s3", region_name="us-east-1").create_bucket(Bucket=name)
    return f"s3://{name}"
