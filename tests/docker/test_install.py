"""The install lines of the images, run for real in a scratch environment; minutes, so on request.

`REELMILL_INSTALL=cpu python -m pytest tests/docker/test_install.py` takes torch from the index that
the Dockerfile names; `REELMILL_TORCH_INDEX=URL` from another, and if that is empty from pip's own.
"""

import os
import subprocess
import sys
import time
from pathlib import Path
from shutil import copytree, ignore_patterns
from urllib.request import urlopen

import pytest

from tests.docker.project import ROOT, documents
from tests.docker.test_dockerfile import context, last, pip_lines

TARGET = os.environ.get("REELMILL_INSTALL", "")
pytestmark = pytest.mark.skipif(not TARGET, reason="set REELMILL_INSTALL to cpu or cuda")


@pytest.fixture(scope="module")
def environment(tmp_path_factory) -> Path:
    """What the image has in /usr/local, from nothing but what reaches its build."""
    folder = tmp_path_factory.mktemp("image")
    source, made = folder / "src", folder / "made"
    source.mkdir()
    for name in context():
        if (ROOT / name).is_dir():
            copytree(ROOT / name, source / name, ignore=ignore_patterns("__pycache__"))
        else:
            (source / name).write_bytes((ROOT / name).read_bytes())
    subprocess.run([sys.executable, "-m", "venv", made], check=True)
    for line in pip_lines(TARGET):
        words = [word.replace("/src", str(source)) for word in line]
        if "--index-url" in words and (index := os.environ.get("REELMILL_TORCH_INDEX")) is not None:
            at = words.index("--index-url")
            words[at : at + 2] = ["--index-url", index] if index else []
        subprocess.run([made / "bin/python", "-m", *words], check=True, cwd=folder)
    return made


def run(environment: Path, *words: str, timeout: float = 300) -> subprocess.CompletedProcess[str]:
    clean = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    return subprocess.run(
        [environment / "bin" / words[0], *words[1:]], capture_output=True, text=True, check=False,
        cwd=environment, env=clean, timeout=timeout,
    )  # fmt: skip


def test_what_is_installed_agrees_with_itself_and_with_the_manifests(environment):
    assert run(environment, "python", "-m", "pip", "check").returncode == 0
    cluster = documents("kubernetes/raycluster.yaml")[0]["spec"]["rayVersion"]
    assert run(environment, "ray", "--version").stdout.split()[-1] == cluster


def test_it_curates_from_the_installed_files_alone(environment, tmp_path):
    videos, out = str(tmp_path / "videos"), str(tmp_path / "out")
    assert run(environment, "reelmill", "sample", videos).returncode == 0
    changes = ("tokenizer=pca-8x8x8", "execution.executor=in_process")
    words = [word for change in changes for word in ("--set", change)]
    ended = run(environment, "reelmill", "curate", videos, "--out", out, *words, timeout=900)
    assert ended.returncode == 3, ended
    for command in ("verify", "report"):
        ended = run(environment, "reelmill", command, out)
        assert ended.returncode == 0, ended


def test_its_own_command_serves_and_is_healthy(environment, tmp_path):
    root, state = str(tmp_path / "data"), str(tmp_path / "state")
    meant = {"/data": root, "/state": state, "0.0.0.0": "127.0.0.1"}
    words = [meant.get(word, word) for word in last(TARGET, "CMD").value]
    port = last(TARGET, "EXPOSE").value[0]
    process = subprocess.Popen([environment / "bin/reelmill", *words], cwd=environment)
    try:
        ends = time.monotonic() + 120
        while True:
            try:
                assert urlopen(f"http://127.0.0.1:{port}/healthz").status == 200
                break
            except OSError:
                assert process.poll() is None
                assert time.monotonic() < ends
                time.sleep(0.3)
        page = urlopen(f"http://127.0.0.1:{port}/").read()
        assert b"<html" in page
    finally:
        process.terminate()
        process.wait()
