"""The object stores by scheme: how Arrow and the Delta library reach each."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from functools import cache
from typing import Any
from urllib.parse import urlsplit

from pyarrow import fs

SCHEMES = ("s3://", "gs://", "az://")
_SCHEME_LENGTH = 5
STORES = "s3://, gs:// and az://"
_CONNECT_S = 15.0
"""Arrow's own 3 s end a run where a store is busy."""
_AZURITE_ACCOUNT = "devstoreaccount1"
_AZURITE_KEY = (
    "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw=="
)
"""Of every Azurite, as its documentation says."""


def store_scheme(address: str) -> str:
    """The scheme of an address of an object store, such as `s3://`; empty for any other."""
    scheme = address[:_SCHEME_LENGTH]
    return scheme if scheme in SCHEMES else ""


def filesystem(scheme: str) -> fs.FileSystem:
    """The Arrow filesystem; one client per process, endpoint and user."""
    clients: dict[str, tuple[Callable[..., fs.FileSystem], tuple[str, ...]]] = {
        "s3://": (_s3, ("AWS_ENDPOINT_URL", "AWS_REGION", "AWS_DEFAULT_REGION",
                        "AWS_ACCESS_KEY_ID")),
        "gs://": (_google, ("STORAGE_EMULATOR_HOST", "GOOGLE_APPLICATION_CREDENTIALS")),
        "az://": (_azure, ("AZURITE_BLOB_STORAGE_URL", "AZURE_STORAGE_ACCOUNT_NAME",
                           "AZURE_STORAGE_ACCOUNT_KEY", "AZURE_STORAGE_SAS_TOKEN")),
    }  # fmt: skip
    connect, variables = clients[scheme]
    return connect(*(os.environ.get(name, "") for name in variables))


def delta_options(scheme: str) -> dict[str, str]:
    """Storage options of the Delta library; it reads the variables with credentials itself."""
    if scheme == "s3://":
        options = {"aws_conditional_put": "etag"}
        if os.environ.get("AWS_ENDPOINT_URL", "").startswith("http://"):
            options["aws_allow_http"] = "true"
        return options
    if scheme == "gs://" and (emulator := os.environ.get("STORAGE_EMULATOR_HOST")):
        account = {
            "gcs_base_url": emulator, "disable_oauth": True, "client_email": "", "private_key": "",
            "private_key_id": "",
        }  # fmt: skip
        return {"google_service_account_key": json.dumps(account), "allow_http": "true"}
    if scheme == "az://" and "AZURITE_BLOB_STORAGE_URL" in os.environ:
        return {"azure_storage_use_emulator": "true", "allow_http": "true"}
    return {}


@cache
def _s3(endpoint: str, region: str, default_region: str, _identity: str) -> fs.FileSystem:
    settings: dict[str, Any] = {"connect_timeout": _CONNECT_S}
    if region or default_region:
        settings["region"] = region or default_region
    if endpoint:
        scheme, _, host = endpoint.partition("://")
        settings |= {"scheme": scheme, "endpoint_override": host}
    return fs.S3FileSystem(**settings)


@cache
def _google(emulator: str, _identity: str) -> fs.FileSystem:
    if not emulator:
        return fs.GcsFileSystem()
    scheme, _, host = emulator.partition("://")
    return fs.GcsFileSystem(anonymous=True, scheme=scheme, endpoint_override=host)


@cache
def _azure(emulator: str, account: str, key: str, sas: str) -> fs.FileSystem:
    if emulator:
        url = urlsplit(emulator)
        places: dict[str, Any] = {
            f"{kind}_storage_{part}": value
            for kind in ("blob", "dfs")
            for part, value in (("authority", url.netloc), ("scheme", url.scheme))
        }
        return fs.AzureFileSystem(
            account or _AZURITE_ACCOUNT, account_key=key or _AZURITE_KEY, **places
        )
    secrets = {"account_key": key} if key else {"sas_token": sas} if sas else {}
    return fs.AzureFileSystem(account, **secrets)
