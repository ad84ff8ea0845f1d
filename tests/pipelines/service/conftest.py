"""A service over one curated output, asked in this process."""

import shutil
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
from fastapi.testclient import TestClient

from pipelines.service.app import create_app
from pipelines.service.service import Service
from pipelines.service.settings import Limits, Settings

FREE = Limits(rate=1e6, burst=1_000_000, running_each=100)


@dataclass(frozen=True)
class Served:
    """A service, its application, and a client of it."""

    service: Service
    client: TestClient

    def as_(self, scope: str) -> dict[str, str]:
        """Headers of a caller with this scope."""
        return {"Authorization": f"Bearer {self.service.tokens.create(scope)}"}


@pytest.fixture(scope="session")
def outputs(curated, tmp_path_factory) -> Path:
    """A root with one output, and a source beside it."""
    root = tmp_path_factory.mktemp("root")
    shutil.copytree(curated.out, root / "drive")
    return root


@pytest.fixture
def settings(outputs, curated, tmp_path) -> Settings:
    return Settings(
        root=str(outputs),
        state=tmp_path / "state",
        sources={"videos": str(curated.videos)},
        profile=str(curated.profile),
        names=("testserver",),
        limits=FREE,
    )


@pytest.fixture
def serve(settings):
    """Makes a service with other limits or settings; its supervisor stands still."""

    def made(limits: Limits = FREE, **changes) -> Served:
        service = Service.at(replace(settings, limits=limits, **changes))
        return Served(service, TestClient(create_app(service), raise_server_exceptions=False))

    return made


@pytest.fixture
def served(serve) -> Served:
    return serve()
