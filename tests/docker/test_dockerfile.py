"""The images: what they are built from, who runs in them, and whether they say how they are."""

import http.server
import json
import re
import shlex
import shutil
import subprocess
import sys
import threading
from pathlib import Path

import dockerfile
import pytest

from tests.docker.project import DOCKER, ROOT, USER, parsed, pinned, pyproject

FILE = DOCKER / "Dockerfile"
TARGETS = ("cpu", "cuda")
TORCH = {"cpu": "cpu", "cuda": "cu130"}


def stages() -> dict[str, tuple[str, list[dockerfile.Command]]]:
    """By name: what a stage is built on, and its instructions."""
    found: dict[str, tuple[str, list[dockerfile.Command]]] = {}
    for each in dockerfile.parse_file(str(FILE)):
        if each.cmd.upper() == "FROM":
            base, _, name = each.value
            found[name] = (base, [])
        else:
            found[name][1].append(each)
    return found


def layers(target: str) -> list[dockerfile.Command]:
    """All instructions of an image, those of the stages below it first."""
    if target not in stages():
        return []
    base, own = stages()[target]
    return [*layers(base), *own]


def last(target: str, kind: str) -> dockerfile.Command:
    return [each for each in layers(target) if each.cmd.upper() == kind][-1]


def pip_lines(target: str) -> list[list[str]]:
    """The install lines of the stages whose files the image takes over."""
    sources = [f.removeprefix("--from=") for e in layers(target) for f in e.flags if "--from" in f]
    runs = [each for source in sources for each in layers(source) if each.cmd.upper() == "RUN"]
    return [shlex.split(run.value[0]) for run in runs if run.value[0].startswith("pip ")]


def context() -> set[str]:
    """Names at the root that reach the build."""
    lines = (ROOT / ".dockerignore").read_text().splitlines()
    assert "*" in lines
    return {line[1:] for line in lines if line.startswith("!")}


def test_hadolint_finds_nothing():
    program = shutil.which("hadolint", path=str(Path(sys.executable).parent))
    assert program is not None, "install reelmill[test]"
    ended = subprocess.run([program, FILE], capture_output=True, text=True, check=False)
    assert (ended.returncode, ended.stdout) == (0, "")


def test_every_base_is_a_stage_or_pinned_to_the_patch():
    names = stages()
    for base, _ in names.values():
        assert base in names or re.fullmatch(r"[a-z]+:\d+\.\d+\.\d+[\w.-]*", base), base
    minor = ".".join(next(iter(names.values()))[0].split(":")[1].split(".")[:2])
    below, above = re.findall(r"\d+\.(\d+)", pyproject()["project"]["requires-python"])
    assert int(below) <= int(minor.split(".")[1]) < int(above)


@pytest.mark.parametrize("target", TARGETS)
def test_it_runs_as_an_ordinary_user_who_owns_what_is_written(target):
    assert last(target, "USER").value == (f"{USER}:{USER}",)
    made = " ".join(e.value[0] for e in layers(target) if e.cmd.upper() == "RUN")
    assert f"useradd --uid {USER}" in made
    state = parsed("reelmill", list(last(target, "CMD").value))["state"]
    assert re.search(rf"install -d -o {USER} -g {USER} -m 0700 {state}\b", made)


@pytest.mark.parametrize("target", TARGETS)
def test_its_command_is_one_that_the_program_takes_on_the_port_that_it_shows(target):
    assert last(target, "ENTRYPOINT").value == ("reelmill",)
    meant = parsed("reelmill", list(last(target, "CMD").value))
    assert (meant["command"], meant["host"]) == ("serve", "0.0.0.0")
    assert last(target, "EXPOSE").value == (str(meant["port"]),)


@pytest.mark.parametrize(("status", "code"), [(200, 0), (503, 1)])
@pytest.mark.parametrize("target", TARGETS)
def test_the_health_check_tells_a_server_that_answers_from_one_that_does_not(target, status, code):
    asked = []

    class Server(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            asked.append((self.path, self.headers["Host"].split(":")[0]))
            self.send_response(status)
            self.end_headers()

        def log_message(self, *_):
            pass

    check, port = last(target, "HEALTHCHECK"), last(target, "EXPOSE").value[0]
    words = json.loads(check.original.split("CMD", 1)[1])
    assert words[0] == "python"
    with http.server.HTTPServer(("127.0.0.1", 0), Server) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        code_ = words[2].replace(f":{port}/", f":{server.server_port}/")
        ended = subprocess.run([sys.executable, "-c", code_], capture_output=True, check=False)
        server.shutdown()
    assert ended.returncode == code
    assert asked == [("/healthz", "127.0.0.1")]


@pytest.mark.parametrize("target", TARGETS)
def test_what_it_installs_is_named_by_the_project(target):
    torch, project = pip_lines(target)
    for line in (torch, project):
        constraints = Path(line[line.index("-c") + 1])
        assert (ROOT / constraints.relative_to("/src")).is_file()
    assert torch[torch.index("--index-url") + 1] == (
        f"https://download.pytorch.org/whl/{TORCH[target]}"
    )
    assert torch[-2:] == ["torch", "torchvision"]
    assert all(len(pinned()[name]) == 1 for name in torch[-2:])
    place, extras = re.fullmatch(r"(.*)\[(.*)\]", project[-1]).groups()
    assert place == "/src"
    known = pyproject()["project"]["optional-dependencies"]
    assert set(extras.split(",")) <= known.keys() - {"test"}
    assert {"cluster", "service"} <= set(extras.split(","))


def test_there_is_one_ffmpeg_and_it_is_the_tested_one():
    runs = [e.value[0] for t in TARGETS for e in layers(t) if e.cmd.upper() == "RUN"]
    installed = {w for run in runs for w in re.findall(r"recommends ([\w. -]+)", run)}
    assert {word for line in installed for word in line.split()} == {"wget"}
    assert "imageio-ffmpeg" in pyproject()["project"]["dependencies"]


def test_what_is_copied_reaches_the_build_and_holds_every_package():
    setuptools = pyproject()["tool"]["setuptools"]
    folders = [setuptools["package-dir"].get(p, p.split(".")[0]) for p in setuptools["packages"]]
    needed = {folder.split("/")[0] for folder in folders}
    needed |= {"pyproject.toml", "constraints.txt", pyproject()["project"]["readme"]}
    needed |= set(pyproject()["project"]["license-files"])
    assert context() == needed
    assert all((ROOT / name).exists() for name in needed)
    for _, own in stages().values():
        for each in own:
            if each.cmd.upper() == "COPY" and not each.flags:
                assert each.value[0] == "." or each.value[0] in context()
