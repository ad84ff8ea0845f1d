"""The services of one machine: confined, reached in one place, and told true things."""

import re
import shutil
import subprocess
from typing import Any
from urllib.parse import urlsplit

import pytest

from tests.docker.project import DOCKER, documents, parsed, version
from tests.docker.test_dockerfile import TARGETS

COMPOSE = documents("compose.yaml")[0]
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]
OWN = [name for name, each in SERVICES.items() if each["image"].startswith("reelmill")]
EXAMPLE = dict(
    line.split("=", 1)
    for line in (DOCKER / "example.env").read_text().splitlines()
    if line and not line.startswith("#")
)


def meant(name: str) -> dict[str, Any]:
    program = SERVICES[name].get("entrypoint", ["reelmill"])[0]
    return parsed(program, SERVICES[name]["command"])


def mounts(name: str) -> dict[str, str]:
    """Where in the container: what is there."""
    found = {}
    for text in SERVICES[name].get("volumes", []):
        what, _, where = re.sub(r"\$\{[^}]*\}", "HOST", text).partition(":")
        found[where.removesuffix(":ro") or what] = what
    return found


@pytest.mark.parametrize("name", SERVICES)
def test_every_service_is_confined_and_pinned(name):
    service = SERVICES[name]
    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert not {"privileged", "cap_add", "pid", "network_mode", "devices"} & service.keys()
    assert re.search(r":(\d+\.\d+\.\d+|RELEASE\.[\dTZ-]+)$", service["image"]), service["image"]
    writable = {each.split(":")[0] for each in service.get("tmpfs", [])} | mounts(name).keys()
    assert "/tmp" in writable


@pytest.mark.parametrize("name", OWN)
def test_own_services_run_an_image_of_the_dockerfile_with_a_command_that_exists(name):
    service = SERVICES[name]
    assert service["image"] == f"reelmill:{version()}"
    build = service["build"]
    assert (DOCKER / build["context"] / build["dockerfile"]).is_file()
    assert build["target"] in TARGETS
    assert meant(name)["command"]


def test_only_the_server_is_reached_and_only_from_this_machine():
    assert {name for name, each in SERVICES.items() if "ports" in each} == {"server"}
    port = meant("server")["port"]
    assert SERVICES["server"]["ports"] == [f"127.0.0.1:{port}:{port}"]
    assert COMPOSE["networks"]["cluster"] == {"internal": True}
    outside = {name for name, each in SERVICES.items() if each["networks"] != ["cluster"]}
    assert outside == {"server"}


def test_places_that_services_name_are_other_services():
    head = meant("head")
    jobs = urlsplit(meant("server")["ray_jobs"])
    assert (jobs.hostname, jobs.port) == ("head", head["dashboard_port"])
    assert meant("worker")["address"] == f"head:{head['port']}"
    store = urlsplit(SERVICES["server"]["environment"]["AWS_ENDPOINT_URL"])
    assert store.hostname in SERVICES
    bucket = SERVICES["bucket"]["command"][-1].split("/")[1]
    assert meant("server")["root"] == f"s3://{bucket}/outputs" == meant("key")["root"]
    for service in SERVICES.values():
        for name, how in service.get("depends_on", {}).items():
            assert name in SERVICES
            if how["condition"] == "service_healthy":
                assert SERVICES[name]["healthcheck"]["test"][0] == "CMD"


@pytest.mark.parametrize("name", ["head", "worker"])
def test_the_nodes_health_check_is_a_command_of_ray(name):
    program, *words = SERVICES[name]["healthcheck"]["test"][1:]
    assert parsed(program, words)["address"].endswith(f":{meant('head')['port']}")


def test_the_cluster_sees_the_attempts_of_jobs_and_not_the_keys():
    state = str(meant("server")["state"])
    assert mounts("server")[state] == "state" == mounts("key")[state]
    assert mounts("server")[f"{state}/jobs"] == "jobs" == mounts("head")[f"{state}/jobs"]
    assert [name for name in SERVICES if "state" in mounts(name).values()] == ["server", "key"]
    assert set(COMPOSE["volumes"]) == {"objects", "state", "jobs"}
    (source,) = meant("server")["source"]
    place = source.split("=")[1]
    assert all(mounts(name)[place] == "HOST" for name in ("head", "worker", "server"))


def test_every_node_has_the_token_and_nothing_secret_is_written_down():
    for name in OWN:
        environment = SERVICES[name]["environment"]
        assert environment["RAY_AUTH_MODE"] == "token"
        assert environment["RAY_AUTH_TOKEN"].startswith("${RAY_AUTH_TOKEN:?")
    text = (DOCKER / "compose.yaml").read_text()
    assert set(re.findall(r"\$\{(\w+)", text)) == EXAMPLE.keys()
    secret = {"RAY_AUTH_TOKEN", "AWS_SECRET_ACCESS_KEY"}
    assert {EXAMPLE[name] for name in secret} == {""}
    assert ".env" in (DOCKER.parent / ".gitignore").read_text().split()


def test_compose_itself_takes_it(tmp_path):
    for words in (["docker-compose"], ["docker", "compose"]):
        found = shutil.which(words[0]) and subprocess.run(
            [*words, "version"], capture_output=True, check=False
        )
        if found and found.returncode == 0:
            break
    else:
        pytest.skip("no docker compose here")
    filled = (f"{name}={value or '12345678'}\n" for name, value in EXAMPLE.items())
    (tmp_path / "env").write_text("".join(filled))
    command = [*words, "--env-file", tmp_path / "env", "-f", DOCKER / "compose.yaml", "config"]
    ended = subprocess.run([*command, "--quiet"], capture_output=True, text=True, check=False)
    assert (ended.returncode, ended.stderr) == (0, "")
