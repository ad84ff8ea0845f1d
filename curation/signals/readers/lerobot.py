"""LeRobot data sets, versions 2 and 3: the episodes of one video file, with their signals.

Version 3 keeps many episodes in a file of data and in a file of video; `meta/episodes` says where
each starts. Version 2 has a file an episode. Rows belong to frames one to one, so that they are
placed by number: row k of an episode is its frame k.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterator, Mapping
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from curation.signals.clock import NS, Clock
from curation.signals.readers.base import ReadRequest, make_signal, numeric
from curation.signals.recording import Episode, Recording
from curation.signals.signal import Signal, SignalError, Stamps

_INDICES = ("timestamp", "frame_index", "episode_index", "index", "task_index")
_PICTURES = ("video", "image")
VALID = ".valid"
"""Ends the name of a feature that says at which rows another one, of the name before, is valid."""
_NUMBER = re.compile(r"(\d+)$")
_ROUNDED_S = 1e-4
"""How far a stored time may be off its frame's, as float32 and the library's tolerance have it."""


def read_lerobot(request: ReadRequest) -> Recording:
    """The episodes that the video shows; raises `SignalError`."""
    root = Path(request.path)
    info = _json(root / "meta" / "info.json")
    features: Mapping[str, Any] = info.get("features") or {}
    parts = PurePosixPath(request.video).parts
    camera = next((part for part in parts if part in features), "")
    if not camera:
        raise SignalError(f"meta/info.json has no feature for the video {request.video}")
    fps = float(info.get("fps") or 0)
    if not 0 < fps < 100_000:
        raise SignalError(f"meta/info.json states {info.get('fps')!r} frames a second")
    numbers = [int(m[1]) for part in parts if (m := _NUMBER.search(PurePosixPath(part).stem))]
    if str(info.get("codebase_version", "")).startswith("v2"):
        rows = [row for row in _episodes_v2(root) if row["episode_index"] == numbers[-1]]
        rows = rows or [{"episode_index": numbers[-1]}]
    else:
        rows = list(_episodes_v3(root, camera, numbers))
    if not rows:
        raise SignalError(f"no episode of meta/episodes is in {request.video}")
    data = _data(root, [int(row["episode_index"]) for row in rows])
    identity = _identity(root)
    episodes = []
    for row in sorted(rows, key=lambda row: float(row.get("start_s") or 0)):
        index = int(row["episode_index"])
        table = data.filter(pc.equal(data["episode_index"], index)).sort_by("frame_index")
        if not table.num_rows:
            raise SignalError(f"episode {index} has no rows of data")
        stamps = _stamps(table, fps, index)
        signals = tuple(_signals(table, features, stamps, request))
        if not signals:
            raise SignalError("the data set has no signals beside its pictures")
        clock = Clock(offset_s=request.offset_s, frame_stamps=stamps)
        episodes.append(
            Episode(
                signals, clock, f"{identity}/{index}", camera, str(index),
                "; ".join(map(str, row.get("tasks") or ())), row.get("start_s"), len(stamps),
            )
        )  # fmt: skip
    return Recording(tuple(episodes), sets_shots=True)


def _episodes_v2(root: Path) -> Iterator[dict[str, Any]]:
    path = root / "meta" / "episodes.jsonl"
    if path.exists():
        for line in path.read_text(encoding="utf-8").splitlines():
            if line.strip():
                yield json.loads(line)


def _episodes_v3(root: Path, camera: str, numbers: list[int]) -> Iterator[dict[str, Any]]:
    """The rows of the episodes in the video file with these numbers of chunk and file."""
    files = sorted((root / "meta" / "episodes").glob("*/*.parquet"))
    prefix = f"videos/{camera}/"
    for path in files:
        available = pq.read_schema(path).names
        wanted = ["episode_index", "tasks", "length"]
        wanted += [name for name in available if name.startswith(prefix)]
        table = pq.read_table(path, columns=[name for name in wanted if name in available])
        for row in table.to_pylist():
            place = [row.get(f"{prefix}{name}") or 0 for name in ("chunk_index", "file_index")]
            if place == numbers[-2:]:
                yield row | {"start_s": float(row.get(f"{prefix}from_timestamp") or 0.0)}


def _data(root: Path, episodes: list[int]) -> pa.Table:
    """The rows of some episodes."""
    tables, wanted = [], pa.array(episodes, pa.int64())
    for path in sorted((root / "data").glob("*/*.parquet")):
        numbers = _NUMBER.search(path.stem)
        if path.stem.startswith("episode_") and numbers and int(numbers[1]) not in episodes:
            continue
        present = pq.read_table(path, columns=["episode_index"])["episode_index"]
        if pc.any(pc.is_in(present, wanted)).as_py():
            table = pq.read_table(path)
            tables.append(table.filter(pc.is_in(table["episode_index"], wanted)))
    if not tables:
        raise SignalError(f"no file below data/ has episode {episodes[0]}")
    return pa.concat_tables(tables, promote_options="default")


def _stamps(table: pa.Table, fps: float, episode: int) -> Stamps:
    """When each row was, from the episode's first frame: the exact time where it is the rounded."""
    frames = table["frame_index"].to_numpy().astype(np.int64)
    if not np.array_equal(frames, np.arange(len(frames))):
        raise SignalError(f"episode {episode}: its frame_index does not count 0, 1, 2 …")
    exact = frames / fps
    if "timestamp" not in table.column_names:
        return np.asarray(np.rint(exact * NS), np.int64)
    stored = numeric(table["timestamp"].to_numpy(), "timestamp")[:, 0].astype(np.float64)
    if not np.isfinite(stored).all() or (np.diff(stored) <= 0).any():
        raise SignalError(f"episode {episode}: its timestamps do not rise")
    is_rounded = bool((np.abs(stored - exact) <= _ROUNDED_S).all())
    return np.asarray(np.rint((exact if is_rounded else stored) * NS), np.int64)


def _signals(
    table: pa.Table, features: Mapping[str, Any], stamps: Stamps, request: ReadRequest
) -> Iterator[Signal]:
    for name, feature in features.items():
        is_flag = name.endswith(VALID) and name.removesuffix(VALID) in features
        if name in _INDICES or is_flag or feature.get("dtype") in (*_PICTURES, "string"):
            continue
        if name not in table.column_names:
            raise SignalError(f"its data lacks the column {name} that meta/info.json states")
        column = table[name].combine_chunks()
        if pa.types.is_nested(column.type):
            lengths = pc.unique(pc.list_value_length(column)).to_pylist()
            if len(lengths) != 1:
                raise SignalError(f"{name}: its lists have several lengths")
            while pa.types.is_nested(column.type):
                column = pc.list_flatten(column)
        flat = column.to_numpy(zero_copy_only=False)
        values = numeric(flat.reshape(len(table), -1), name)
        is_whole = values.dtype.kind != "f"
        if is_whole and name + VALID in features and name + VALID in table.column_names:
            is_valid = table[name + VALID].to_numpy()
            if not is_valid.all():
                values = np.where(is_valid[:, None], values, np.nan)
        channels = _channels(feature.get("names"), values.shape[1])
        yield make_signal(name, stamps, values, channels, request, whole=is_whole)


def _channels(names: Any, count: int) -> list[str]:
    """The names of a feature's numbers: a list, or one for each of several parts."""
    while isinstance(names, dict):
        names = [part for value in names.values() for part in _flat(value)]
    flat = _flat(names)
    return flat if len(flat) == count else [str(index) for index in range(count)]


def _flat(names: Any) -> list[str]:
    if isinstance(names, list | tuple):
        return [part for name in names for part in _flat(name)]
    return [] if names is None else [str(names)]


def _identity(root: Path) -> str:
    """Names the data set by its own description, so that a copy elsewhere has the same sessions."""
    state = hashlib.sha256((root / "meta" / "info.json").read_bytes())
    episodes = sorted((root / "meta").glob("episodes*")) + sorted(
        (root / "meta" / "episodes").glob("*/*.parquet")
    )
    for path in [path for path in episodes if path.is_file()][:1]:
        state.update(path.read_bytes())
    return f"{root.name}-{state.hexdigest()[:8]}"


def _json(path: Path) -> dict[str, Any]:
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise SignalError(f"{path.name} cannot be read: {error}") from error
    if not isinstance(data, dict):
        raise SignalError(f"{path.name} holds no JSON object")
    return data
