"""The program around one attempt of a job: `python -m pipelines.service.jobs.runner FOLDER`.

FOLDER is the attempt's; `attempt.json` in it says what to run. The runner outlives the server, and
writes `result.json` atomically as its last act. It inherits an open, locked file from the server
and passes it to the command: while that lock is held, one of the two is alive, and once it is free
the attempt is over, whichever was killed first.

SIGTERM terminates the command, and kills it two seconds later. Every process that the command
leaves behind, in any process group, is reparented to the runner (it is their subreaper) and
killed before it ends.
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

from curation.process_identity import machine_id, start_time

_PR_SET_PDEATHSIG = 1
_PR_SET_CHILD_SUBREAPER = 36
_LIBC = ctypes.CDLL(None) if sys.platform == "linux" else None
_TERM_TIMEOUT_S = 2.0
"""Seconds that a command has after SIGTERM."""
_REAPER_TIMEOUT_S = 1.0
"""Seconds that the reaper of a private Ray has to remove its folder."""
_KILL_TIMEOUT_S = 10.0
_TICK_S = 0.05
_OOM_SCORE = "500"
"""Of a command and all below it, where a server has 0 and what is never killed −1000."""
EXIT_FOLDER_NOT_VISIBLE = 6
"""Exit code where the attempt's folder does not exist on this machine."""


class Runner:
    """One attempt."""

    def __init__(self, folder: Path, spec: dict[str, Any]) -> None:
        self._folder = folder
        self._spec = spec
        self._stop_requested_at: float | None = None

    def run(self) -> None:
        """Runs the command to its end, or until SIGTERM stops it."""
        if _LIBC is not None:
            _LIBC.prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._request_stop)
        pid = os.getpid()
        identity = {"pid": pid, "machine": machine_id(), "start": start_time(pid)}
        write_json(self._folder / "runner.json", identity)
        result: dict[str, Any] = {"exit_code": None, "error": self._storage_error()}
        try:
            if result["error"] is None:
                result["exit_code"] = self._wait(self._start().pid)
        except OSError as error:
            result["error"] = f"cannot start {self._spec['command'][0]}: {error}"
        _kill_descendants()
        write_json(self._folder / "artefacts.json", _artefacts(Path(self._spec["artefacts"])))
        write_json(self._folder / "result.json", result)

    def _storage_error(self) -> str | None:
        """Why the command would write to other storage than the server reads, or None."""
        if not self._spec["storage_mark"]:
            return None
        from curation.errors import InfrastructureError
        from pipelines.run.storage_check import StorageMark

        try:
            StorageMark.parse(self._spec["storage_mark"]).check()
        except InfrastructureError as error:
            return str(error)
        return None

    def _request_stop(self, *_: object) -> None:
        self._stop_requested_at = self._stop_requested_at or time.monotonic()

    def _start(self) -> subprocess.Popen[bytes]:
        with open(self._spec["log"], "ab") as log:
            return subprocess.Popen(
                self._spec["command"],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                env={**os.environ, **self._spec["env"]},
                pass_fds=[int(fd) for fd in self._spec["pass_fds"]],
                preexec_fn=_enter_command,  # noqa: PLW1509  short, and looks nothing up
            )

    def _wait(self, pid: int) -> int:
        """The command's exit code; −n if signal n ended it."""
        is_terminated = False
        while True:
            with contextlib.suppress(ChildProcessError):
                while (status := os.waitpid(-1, os.WNOHANG))[0]:
                    if status[0] == pid:
                        return os.waitstatus_to_exitcode(status[1])
            if self._stop_requested_at is not None:
                is_late = time.monotonic() - self._stop_requested_at > _TERM_TIMEOUT_S
                if is_late or not is_terminated:
                    os.kill(pid, signal.SIGKILL if is_late else signal.SIGTERM)
                    is_terminated = True
            time.sleep(_TICK_S)


def _enter_command() -> None:
    """The command dies with the runner, and is what the kernel kills where memory runs out."""
    if _LIBC is not None:
        _LIBC.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
        with contextlib.suppress(OSError), open("/proc/self/oom_score_adj", "w") as file:
            file.write(_OOM_SCORE)


def _kill_descendants() -> None:
    """Kills every descendant; the reapers of private Rays last, which only clean up."""
    started = time.monotonic()
    while time.monotonic() - started < _KILL_TIMEOUT_S:
        with contextlib.suppress(ChildProcessError):
            while os.waitpid(-1, os.WNOHANG)[0]:
                pass
        descendants = psutil.Process().children(recursive=True)
        descendants = [process for process in descendants if _is_alive(process)]
        if not descendants:
            return
        spare_reapers = time.monotonic() - started < _REAPER_TIMEOUT_S
        for process in descendants:
            with contextlib.suppress(psutil.Error):
                is_reaper = any(word.endswith("reaper.py") for word in process.cmdline())
                if not (spare_reapers and is_reaper):
                    process.kill()
        time.sleep(_TICK_S)


def _is_alive(process: psutil.Process) -> bool:
    try:
        return process.status() != psutil.STATUS_ZOMBIE
    except psutil.Error:
        return False


def _artefacts(folder: Path) -> list[dict[str, Any]]:
    """The files that the command made for download, with their digests."""
    artefacts = []
    for path in sorted(folder.rglob("*")):
        if path.is_file() and not path.is_symlink():
            name = path.relative_to(folder).as_posix()
            digest = hashlib.sha256()
            with open(path, "rb") as file:
                while chunk := file.read(1 << 20):
                    digest.update(chunk)
            artefacts.append({
                "artefact_id": hashlib.sha256(name.encode()).hexdigest()[:16],
                "name": name, "size_bytes": path.stat().st_size, "sha256": digest.hexdigest(),
            })  # fmt: skip
    return artefacts


def write_json(path: Path, value: Any) -> None:
    """Replaces a JSON file atomically: a reader sees the old content or the new."""
    temporary = path.with_name(f".{path.name}")
    with open(temporary, "w", encoding="utf-8") as file:
        json.dump(value, file)
        file.flush()
        os.fsync(file.fileno())
    os.replace(temporary, path)


def main(folder: Path) -> int:
    """Runs the attempt of a folder."""
    try:
        spec = json.loads((folder / "attempt.json").read_text(encoding="utf-8"))
    except OSError as error:
        print(f"{folder} is not visible on this machine: {error}", file=sys.stderr)
        return EXIT_FOLDER_NOT_VISIBLE
    Runner(folder, spec).run()
    return 0


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
