"""Run as a program around one attempt of a job: `python -m pipelines.service.jobs.runner F`.

F is the attempt's folder; `order.json` in it says what to run. The runner outlives the server, and
writes `ended.json`, whole, as the last thing it does. It inherits an open, locked file from the
server and hands it on to the command: as long as that lock is held, one of the two lives, and when
it is free the attempt is over, whoever was killed when.

SIGTERM ends the command, politely at first. All that the command leaves behind, whatever process
group it went to, falls to the runner (it is their subreaper) and is killed before it ends.
"""

from __future__ import annotations

import contextlib
import ctypes
import hashlib
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import psutil

_PR_SET_PDEATHSIG = 1
_PR_SET_CHILD_SUBREAPER = 36
_LIBC = ctypes.CDLL(None) if sys.platform == "linux" else None
_POLITE_S = 2.0
"""Seconds that a command has for an end of its own."""
_TIDY_S = 1.0
"""Seconds that the reaper of a private Ray has to remove its folder."""
_SWEEP_S = 10.0
_TICK_S = 0.05
NOT_SEEN = 6
"""Exit code where the attempt's folder cannot be seen from here."""


class Runner:
    """One attempt."""

    def __init__(self, folder: Path, order: dict[str, Any]) -> None:
        self._folder = folder
        self._order = order
        self._stop_at: float | None = None

    def run(self) -> None:
        """Runs the command to its end, or to that which SIGTERM asks for."""
        if _LIBC is not None:
            _LIBC.prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._stop)
        own = {"pid": os.getpid(), "created": psutil.Process().create_time()}
        write_whole(self._folder / "runner.json", own)
        ended: dict[str, Any] = {"code": None, "error": self._unseen()}
        try:
            if ended["error"] is None:
                ended["code"] = self._wait(self._start().pid)
        except OSError as error:
            ended["error"] = f"cannot start {self._order['command'][0]}: {error}"
        _sweep()
        write_whole(self._folder / "artefacts.json", _artefacts(Path(self._order["artefacts"])))
        write_whole(self._folder / "ended.json", ended)

    def _unseen(self) -> str | None:
        """Why the command would write elsewhere than the server reads; None where it would not."""
        if not self._order["mark"]:
            return None
        from curation.errors import InfrastructureError
        from pipelines.run.storage_check import StorageMark

        try:
            StorageMark.parse(self._order["mark"]).check()
        except InfrastructureError as error:
            return str(error)
        return None

    def _stop(self, *_: object) -> None:
        self._stop_at = self._stop_at or time.monotonic()

    def _start(self) -> subprocess.Popen[bytes]:
        with open(self._order["log"], "ab") as log:
            return subprocess.Popen(
                self._order["command"],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                env={**os.environ, **self._order["env"]},
                pass_fds=[int(fd) for fd in self._order["hand_on"]],
                preexec_fn=_die_with_parent,  # noqa: PLW1509  short, and looks nothing up
            )

    def _wait(self, pid: int) -> int:
        """The command's exit code; −n if signal n ended it."""
        told = False
        while True:
            with contextlib.suppress(ChildProcessError):
                while (ended := os.waitpid(-1, os.WNOHANG))[0]:
                    if ended[0] == pid:
                        return os.waitstatus_to_exitcode(ended[1])
            if self._stop_at is not None:
                late = time.monotonic() - self._stop_at > _POLITE_S
                if late or not told:
                    os.kill(pid, signal.SIGKILL if late else signal.SIGTERM)
                    told = True
            time.sleep(_TICK_S)


def _die_with_parent() -> None:
    if _LIBC is not None:
        _LIBC.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)


def _sweep() -> None:
    """Ends every descendant; the reapers of private Rays last, for they only clean up."""
    began = time.monotonic()
    while time.monotonic() - began < _SWEEP_S:
        with contextlib.suppress(ChildProcessError):
            while os.waitpid(-1, os.WNOHANG)[0]:
                pass
        left = [each for each in psutil.Process().children(recursive=True) if _lives(each)]
        if not left:
            return
        spare = time.monotonic() - began < _TIDY_S
        for each in left:
            with contextlib.suppress(psutil.Error):
                if not (spare and any(w.endswith("reaper.py") for w in each.cmdline())):
                    each.kill()
        time.sleep(_TICK_S)


def _lives(process: psutil.Process) -> bool:
    try:
        return process.status() != psutil.STATUS_ZOMBIE
    except psutil.Error:
        return False


def _artefacts(folder: Path) -> list[dict[str, Any]]:
    """The files that the command made for people to fetch, each with its digest."""
    found = []
    for path in sorted(folder.rglob("*")):
        if path.is_file() and not path.is_symlink():
            name = path.relative_to(folder).as_posix()
            state = hashlib.sha256()
            with open(path, "rb") as file:
                while chunk := file.read(1 << 20):
                    state.update(chunk)
            found.append({
                "artefact_id": hashlib.sha256(name.encode()).hexdigest()[:16],
                "name": name, "size_bytes": path.stat().st_size, "sha256": state.hexdigest(),
            })  # fmt: skip
    return found


def write_whole(path: Path, value: Any) -> None:
    """Writes JSON so that a reader sees all of it or the file before."""
    temporary = path.with_name(f".{path.name}")
    with open(temporary, "w", encoding="utf-8") as file:
        json.dump(value, file)
        file.flush()
        os.fsync(file.fileno())
    os.replace(temporary, path)


def main(folder: Path) -> int:
    """Runs the attempt whose folder this is."""
    try:
        order = json.loads((folder / "order.json").read_text(encoding="utf-8"))
    except OSError as error:
        print(f"{folder} cannot be seen from here: {error}", file=sys.stderr)
        return NOT_SEEN
    Runner(folder, order).run()
    return 0


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
