"""The wheel that a release would publish: whole, and it runs where there is no working copy."""

import importlib.metadata
import os
import shutil
import subprocess
import sys
import sysconfig
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGES = {"curation": "curation", "tokenizer": "tokenizer", "pipelines": "pipelines",
            "configs": "pipelines/profiles"}  # fmt: skip
MIN_SETUPTOOLS = 77


def is_current(package: str) -> bool:
    return int(importlib.metadata.version(package).partition(".")[0]) >= MIN_SETUPTOOLS


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    if not is_current("setuptools"):
        pytest.skip(f"needs setuptools {MIN_SETUPTOOLS} or newer, as building does")
    tree = tmp_path_factory.mktemp("wheel") / "tree"
    ignore = shutil.ignore_patterns("__pycache__")
    for name in PACKAGES:
        shutil.copytree(ROOT / name, tree / name, ignore=ignore)
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, tree)
    pip = [sys.executable, "-m", "pip", "wheel", "--no-deps", "--no-build-isolation", "-q"]
    subprocess.run([*pip, "-w", tree.parent, tree], check=True)
    (built,) = tree.parent.glob("reelmill-*.whl")
    return built


@pytest.mark.slow
def test_the_wheel_holds_every_file_of_the_packages(wheel):
    held = set(zipfile.ZipFile(wheel).namelist())
    expected = {
        f"{target}/{path.relative_to(ROOT / name)}"
        for name, target in PACKAGES.items()
        for path in (ROOT / name).rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    moved = {path.replace("pipelines/reelmill/", "reelmill/") for path in expected}
    assert {path for path in expected if path not in held} <= {"pipelines/profiles/__init__.py"}
    assert {p for p in moved if p.startswith("reelmill/")} <= held


@pytest.mark.slow
def test_it_runs_in_an_empty_environment(wheel, tmp_path):
    """Of packages that it needs the ones of this environment are lent, but not the working copy."""
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", tmp_path / "env"], check=True)
    python = tmp_path / "env/bin/python"
    install = [sys.executable, "-m", "pip", "--python", python, "install", "-q", "--no-index"]
    subprocess.run([*install, "--no-deps", wheel], check=True)
    paths = {"base": str(tmp_path / "env"), "platbase": str(tmp_path / "env")}
    site = Path(sysconfig.get_path("purelib", vars=paths))
    (site / "lent.pth").write_text(f"{sysconfig.get_path('purelib')}\n")

    def run(*arguments: str) -> str:
        return subprocess.run(
            [tmp_path / "env/bin/reelmill", *arguments],
            cwd=tmp_path, env={"PATH": os.environ["PATH"]}, capture_output=True, text=True,
            check=True,
        ).stdout  # fmt: skip

    assert run("--version") == f"reelmill {importlib.metadata.version('reelmill')}\n"
    assert "render.encoding.crf" in run("config", "show", "render")
    where = "import reelmill, curation; print(reelmill.__file__, curation.__file__)"
    located = subprocess.run(
        [python, "-c", where], cwd=tmp_path, capture_output=True, text=True, check=True
    ).stdout.split()
    assert all(str(site) in path for path in located)
    hint = "from curation.extras import install_command; print(install_command('clip'))"
    shown = subprocess.run(
        [python, "-c", hint], cwd=tmp_path, capture_output=True, text=True, check=True
    ).stdout
    assert shown == "pip install 'reelmill[clip]'\n"
