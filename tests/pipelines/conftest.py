"""The command line in this process, and one small output that it made."""

import contextlib
import io
import json
import shutil
import signal
import sys
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from curation.sample import Coding, write_numbered_video
from curation.select.policy import LIMITS
from pipelines.cli.app import main
from tests.run_folder import made_once

PROFILE = """
scan:
  shots: ContentChange
policy:
  limits: {LIMITS}
tokenize:
  tokenizer: pca-8x8x8
  short_side: 64
  max_frames: 17
execution:
  executor: in_process
"""


def profile() -> str:
    """The profile: of all limits only that of the duration, and another one."""
    limits = {**dict.fromkeys(LIMITS), "duration_s": {"min": 0.9}}
    return PROFILE.replace("{LIMITS}", json.dumps(limits))


@dataclass(frozen=True)
class Ended:
    """How a command ended."""

    code: int
    out: str
    err: str


@dataclass(frozen=True)
class Made:
    """Sources, the profile that curates them, and the output."""

    videos: Path
    profile: Path
    out: Path
    ended: Ended
    """How the command that made it ended."""

    @property
    def options(self) -> tuple[str, ...]:
        """What each command is given, so that it stays in this process."""
        return ("--config", str(self.profile))


def command(*arguments: object) -> Ended:
    out, err, before = io.StringIO(), io.StringIO(), sys.argv
    handlers = {s: signal.getsignal(s) for s in (signal.SIGINT, signal.SIGTERM)}
    sys.argv = ["reelmill", *map(str, arguments)]
    try:
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            code = main()
    finally:
        sys.argv = before
        for number, handler in handlers.items():
            signal.signal(number, handler)
    return Ended(code, out.getvalue(), err.getvalue())


@pytest.fixture(scope="session")
def reelmill() -> Callable[..., Ended]:
    """Runs the command line."""
    return command


def curate_small_videos(folder: Path) -> tuple[int, str, str]:
    videos, file = folder / "videos", folder / "profile.yaml"
    file.write_text(profile())
    write_numbered_video(videos / "a.mp4", 48, cuts=[24], size=(160, 96))
    write_numbered_video(videos / "copy.mkv", 48, cuts=[24], size=(160, 96), coding=Coding(crf=26))
    write_numbered_video(videos / "short.mp4", 12, size=(160, 96), first=3000)
    (videos / "notes.mp4").write_text("no video\n")
    ended = command("curate", videos, "--out", folder / "out", "--config", file)
    assert ended.code == 3, ended
    return ended.code, ended.out, ended.err


@pytest.fixture(scope="session")
def curated(tmp_path_factory) -> Made:
    """Two good clips, a copy of each, one clip that is too short, and an input that is text."""
    folder, ended = made_once(tmp_path_factory, "curated", curate_small_videos)
    return Made(folder / "videos", folder / "profile.yaml", folder / "out", Ended(*ended))


@pytest.fixture
def copied(curated, tmp_path) -> Made:
    """The same output, to break."""
    shutil.copytree(curated.out, tmp_path / "out")
    return replace(curated, out=tmp_path / "out")
