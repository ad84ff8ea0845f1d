"""`reelmill doctor`: what this machine offers, and what it lacks."""

from __future__ import annotations

import importlib.metadata
import os
import platform
import re
import shutil
import tempfile
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated

import typer

from curation.media import sandbox
from curation.media.confinement import FileAccess
from curation.media.ffmpeg_command import ffmpeg_path
from curation.output_location import check_address, check_writable, existing_folder
from curation.storage import Storage
from pipelines.cli.rows import Column, print_line, print_rows
from pipelines.cli.terminal import escape

_PACKAGES = ("torch", "ray", "deltalake", "pyarrow", "numpy", "av", "decord", "duckdb", "faiss-cpu")
_MIN_FREE_GIB = 2.0
"""Of memory and of disk below which a first curation fails."""
_GIB = 1 << 30
_REQUIREMENT = re.compile(r"([A-Za-z0-9._-]+).*extra == ['\"]([\w-]+)['\"]")


@dataclass(frozen=True)
class _Finding:
    """One line of the screen."""

    text: str
    problem: str = ""
    """What to do about it, if it keeps Reelmill from working."""


def doctor(
    out: Annotated[
        str | None, typer.Argument(help="An output folder or address in a store to check as well.")
    ] = None,
) -> None:
    """Prints one line for each check, and then what to do."""
    checks: dict[str, Callable[[], _Finding]] = {
        "versions": _versions,
        "ffmpeg": _ffmpeg,
        "confinement": _confinement,
        "processors": lambda: _Finding(f"{len(os.sched_getaffinity(0))} of {os.cpu_count()}"),
        "memory": _memory,
        "temporary files": lambda: _disk(tempfile.gettempdir()),
        **({"output": lambda: _output(out)} if out is not None else {}),
        "GPU": _gpu,
        "weights": _weights,
        "extras": _extras,
    }
    rows = []
    for name, check in checks.items():
        try:
            finding = check()
        except Exception as error:  # such as what a library raises for a damaged file
            text = str(error) or type(error).__name__
            finding = _Finding(text, text)
        rows.append({"ok": not finding.problem, "check": name, "found": finding.text,
                     "problem": finding.problem or None})  # fmt: skip
    print_rows(rows, _COLUMNS, header=False)
    problems = [row for row in rows if not row["ok"]]
    for row in problems:
        print_line(f"[red]to do[/]: {row['check']}: {escape(str(row['problem']))}")
    if problems:
        raise typer.Exit(1)


_COLUMNS = (
    Column("ok", show=lambda ok: "✓" if ok else "✗", style=lambda r: "green" if r["ok"] else "red"),
    Column("check"),
    Column("found"),
)


def _versions() -> _Finding:
    system = f"Python {platform.python_version()}, {platform.system()} {platform.release()}"
    versions = [f"reelmill {_version('reelmill')}", f"{system} {platform.machine()}"]
    missing = [name for name in _PACKAGES if _version(name) is None]
    versions += [f"{name} {_version(name)}" for name in _PACKAGES if name not in missing]
    problem = f"pip install {' '.join(missing)}" if missing else ""
    return _Finding(", ".join(versions), problem)


def _version(package: str) -> str | None:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None


def _ffmpeg() -> _Finding:
    path = ffmpeg_path()
    out, _ = sandbox.run([path, "-version"], sandbox.Limits(wall_s=60), files=FileAccess())
    first = out.decode("utf-8", "replace").partition("\n")[0].partition(" Copyright")[0]
    return _Finding(f"{first}: {path}")


def _confinement() -> _Finding:
    """Missing guards are shown, not a problem: `sandbox.require` decides whether they are."""
    confinement = sandbox.confinement()
    hint = "; sandbox.require=strict would refuse to run" if confinement.missing else ""
    return _Finding(f"{confinement}{hint}")


def _memory() -> _Finding:
    available = os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") / _GIB
    total = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") / _GIB
    problem = "" if total >= _MIN_FREE_GIB else f"use a machine with {_MIN_FREE_GIB:g} GiB or more"
    return _Finding(f"{total:.1f} GiB, {available:.1f} free", problem)


def _disk(folder: str) -> _Finding:
    free = shutil.disk_usage(folder).free / _GIB
    problem = "" if free >= _MIN_FREE_GIB else f"free {_MIN_FREE_GIB:g} GiB, or set TMPDIR"
    return _Finding(f"{free:.1f} GiB free in {folder}", problem)


def _output(out: str) -> _Finding:
    storage = Storage.at(out)
    check_address(storage)
    check_writable(storage)
    if storage.is_remote:
        return _Finding(f"{storage.root} can be written")
    return _Finding(f"{storage.root} can be written, {_disk(existing_folder(storage.root)).text}")


def _gpu() -> _Finding:
    import torch

    if not torch.cuda.is_available():
        return _Finding("none that torch can use; everything runs on the CPU")
    devices = [torch.cuda.get_device_properties(n) for n in range(torch.cuda.device_count())]
    return _Finding(", ".join(f"{d.name} ({d.total_memory / _GIB:.0f} GiB)" for d in devices))


def _weights() -> _Finding:
    """Each is loaded, so that one which was altered shows."""
    from curation.embed.minilm import encode_sentences
    from curation.embed.things import Things
    from curation.scan.shots import TransNetV2
    from tokenizer.models.load import load, shipped

    for name in shipped():
        load(name)
    TransNetV2().load()
    Things().load()
    encode_sentences(["a clip"])
    return _Finding(f"TransNetV2, EfficientNet-Lite0, MiniLM, {', '.join(shipped())}")


def _extras() -> _Finding:
    """Which optional sets of packages are installed; none of them is required."""
    needs: dict[str, list[str]] = defaultdict(list)
    for requirement in importlib.metadata.requires("reelmill") or ():
        if match := _REQUIREMENT.match(requirement):
            needs[match[2]].append(match[1])
    lines = []
    for extra, packages in needs.items():
        missing = [package for package in packages if _version(package) is None]
        if extra != "test":
            lines.append(f"{extra} (lacks {', '.join(missing)})" if missing else extra)
    return _Finding(", ".join(lines) or "none")
