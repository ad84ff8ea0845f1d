"""A service over one curated output, asked in this process."""

import shutil
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
from fastapi.testclient import TestClient

from pipelines.service.app import create_app
from pipelines.service.service import Service
from pipelines.service.settings import ServerLimits, ServerSettings

FREE = ServerLimits(rate=1e6, burst=1_000_000, running_per_caller=100)


@dataclass(frozen=True)
class Served:
    """A service, its application, and a client of it."""

    service: Service
    client: TestClient

    def headers(self, scope: str) -> dict[str, str]:
        """Headers of a caller with this scope."""
        return {"Authorization": f"Bearer {self.service.api_keys.create(scope)}"}


@pytest.fixture(scope="session")
def outputs(curated, tmp_path_factory) -> Path:
    """A root with one output, and its sources."""
    root = tmp_path_factory.mktemp("root")
    shutil.copytree(curated.out, root / "drive")
    return root


@pytest.fixture
def settings(outputs, curated, tmp_path) -> ServerSettings:
    return ServerSettings(
        root=str(outputs),
        state=tmp_path / "state",
        sources={"videos": str(curated.videos)},
        profile=str(curated.profile),
        host_names=("testserver",),
        limits=FREE,
    )


@pytest.fixture
def serve(settings):
    """Makes a service with other limits or settings; its supervisor is not started."""

    def build(limits: ServerLimits = FREE, **changes) -> Served:
        service = Service.at(replace(settings, limits=limits, **changes))
        return Served(service, TestClient(create_app(service), raise_server_exceptions=False))

    return build


@pytest.fixture
def served(serve) -> Served:
    return serve()
