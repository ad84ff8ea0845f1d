"""LeRobot data sets, version 3: an episode for each moment of a session, with all its cameras.

    meta/info.json                        features, rate, how the files are named
    meta/stats.json                       of each signal
    meta/tasks.parquet                    the tasks, by text
    meta/episodes/chunk-000/…             of each episode its length, its files and its session
    data/chunk-000/file-000.parquet       a row for each frame: signals, times, numbers
    videos/CAMERA/chunk-000/file-000.mp4  the rendered clips, byte for byte, one for each episode

A row holds what the recorder wrote for its frame, bit for bit, unless the kind of a signal says
that it lies between two samples. Where a signal is invalid, or an episode lacks it, numbers are NaN
or 0, and `SIGNAL.valid` says so. Cameras show one moment if their clips have as many frames and
start less than half a frame apart on the session's clock; its signals are those of all of them. The
format knows one rate and one set of cameras: the most frequent ones are written, of moments of
which every camera is kept.
"""

from __future__ import annotations

import json
import tempfile
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from curation.signals.clock import NS
from curation.signals.readers.lerobot import VALID
from curation.storage import Storage
from tokenizer.export.clip_rows import ExportError, ExportRows
from tokenizer.export.frame_signals import FrameSignals

_PER_CHUNK = 1000
_NAMES = {
    "data_path": "data/chunk-{chunk_index:03d}/file-{file_index:03d}.parquet",
    "video_path": "videos/{video_key}/chunk-{chunk_index:03d}/file-{file_index:03d}.mp4",
}
_INDICES = ("timestamp", "frame_index", "episode_index", "index", "task_index")
_NO_TASK = ""
_IS_VALID: dict[str, Any] = {"dtype": "bool", "shape": [1], "names": None}
INFO = "meta/info.json"


@dataclass(frozen=True)
class _Moment:
    """Rows of the export that show one moment, by camera."""

    cameras: Mapping[str, int]
    session: str
    task: str


class LeRobotExport:
    """What is written, decided from tables alone."""

    def __init__(self, rows: ExportRows) -> None:
        """Raises `ExportError` where there is no episode to write."""
        if not rows.has_media:
            raise ExportError("a LeRobot data set needs the rendered files: leave out --clips none")
        self._rows = rows
        self.left_out: Counter[str] = Counter()
        """Clips that are not written, by reason."""
        self.fps, usable = self._one_rate()
        self.episodes = self._episodes(usable)
        if not self.episodes:
            raise ExportError(
                f"no moment has every camera: {dict(self.left_out)}; select whole sessions with"
                " policy.sessions=session"
            )
        self.cameras = sorted(self.episodes[0].cameras)

    def _one_rate(self) -> tuple[float, list[int]]:
        """The most frequent rate, and the rows that have it at every frame."""
        rates = self._rows.table["fps"].to_pylist()
        varies = self._rows.varies_in_rate()
        steady = [n for n, is_varied in enumerate(varies) if not is_varied]
        self.left_out += Counter({"of a variable rate": len(rates) - len(steady)})
        common = Counter(round(rates[n], 3) for n in steady).most_common(1)
        if not common:
            raise ExportError(
                "every clip has a variable rate, which the format has not: render with"
                " render.encoding.fps"
            )
        fps = common[0][0]
        usable = [n for n in steady if round(rates[n], 3) == fps]
        self.left_out += Counter({"of another rate": len(steady) - len(usable)})
        return fps, usable

    def _episodes(self, usable: Sequence[int]) -> list[_Moment]:
        places = self._rows.signals.places
        moments = self._moments(usable)
        sets = Counter(tuple(sorted(m)) for m in moments)
        every = max(sets, key=lambda cameras: (sets[cameras] * len(cameras), cameras), default=())
        whole = [m for m in moments if tuple(sorted(m)) == every]
        missing = sum(len(m) for m in moments) - sum(len(m) for m in whole)
        self.left_out += Counter({"of other cameras": missing})
        return [
            _Moment(m, places["session"][min(m.values())] or "",
                     places["task"][min(m.values())] or _NO_TASK)
            for m in whole
        ]  # fmt: skip

    def _moments(self, usable: Sequence[int]) -> list[dict[str, int]]:
        """Rows by camera that show one moment, in the order of their first rows."""
        places, starts_ns = self._rows.signals.places, self._rows.signals.starts_ns()
        frames = self._rows.table["frames"].to_pylist()
        timed = [n for n in usable if n in starts_ns]
        timed.sort(key=lambda n: (places["session"][n], frames[n], starts_ns[n], n))
        moments = [
            {_camera_key(places["camera"][n]): n} for n in usable if n not in starts_ns
        ]  # fmt: skip
        first: tuple[Any, ...] = ()
        for n in timed:
            kind, camera = (places["session"][n], frames[n]), _camera_key(places["camera"][n])
            is_same = first[:2] == kind and starts_ns[n] - first[2] < 0.5 * NS / self.fps
            if is_same and camera not in moments[-1]:
                moments[-1][camera] = n
            else:
                first = (*kind, starts_ns[n])
                moments.append({camera: n})
        return sorted(moments, key=lambda moment: min(moment.values()))

    def write(self, storage: Storage, progress: Callable[[int, int], None]) -> list[int]:
        """Writes what is missing, `meta/info.json` last; returns the bytes of each file."""
        done = first = 0
        names: list[str] = []
        lacking: set[str] = set()
        tasks = list(dict.fromkeys(episode.task for episode in self.episodes))
        features: dict[str, dict[str, Any]] = {}
        with tempfile.TemporaryDirectory() as folder:
            chunks: dict[str, Path] = {}
            for chunk, start in enumerate(range(0, len(self.episodes), _PER_CHUNK)):
                tables: list[pa.Table] = []
                chunk_records: list[dict[str, Any]] = []
                for number, episode in enumerate(self.episodes[start : start + _PER_CHUNK], start):
                    table, found = self._frames(episode, number, first, tasks.index(episode.task))
                    if number:
                        differing = features.keys() ^ found.keys()
                        lacking |= {n for n in differing if not n.endswith(VALID)}
                    _merge(features, found)
                    tables.append(table)
                    for camera, row in episode.cameras.items():
                        name = _NAMES["video_path"].format(
                            video_key=camera, chunk_index=chunk, file_index=number - start
                        )
                        self._copy(storage, name, row)
                        names.append(name)
                    chunk_records.append(
                        self._record(episode, number, chunk, first, table.num_rows)
                    )
                    first += table.num_rows
                    done += len(episode.cameras)
                    progress(done, sum(len(e.cameras) for e in self.episodes))
                place = f"chunk-{chunk:03d}/file-000.parquet"
                chunks[f"data/{place}"] = Path(folder) / f"{chunk}.parquet"
                for name in sorted(lacking):
                    features.setdefault(name + VALID, _IS_VALID)
                together = pa.concat_tables(_aligned(table, features) for table in tables)
                pq.write_table(together, chunks[f"data/{place}"])
                episodes = pa.Table.from_pylist(chunk_records)
                _write_table(storage, f"meta/episodes/{place}", episodes)
                names.append(f"meta/episodes/{place}")
            stats = _Stats()
            for name, path in chunks.items():
                table = _aligned(pq.read_table(path), features)
                stats.add(table)
                _write_table(storage, name, table)
                names.append(name)
        _write_table(storage, "meta/tasks.parquet", _tasks(tasks))
        _write_json(storage, "meta/stats.json", stats.summary())
        _write_json(storage, INFO, self._info(features, first, len(tasks)))
        names += ["meta/tasks.parquet", "meta/stats.json", INFO]
        return [storage.size(name) or 0 for name in names]

    def _copy(self, storage: Storage, name: str, row: int) -> None:
        if storage.size(name) is None:
            with storage.atomic_write(name) as temporary, open(temporary, "wb") as file:
                file.write(self._rows.read_media(row))

    def _frames(
        self, episode: _Moment, number: int, first: int, task: int
    ) -> tuple[pa.Table, dict[str, dict[str, Any]]]:
        """A row for each frame of an episode, and the features of its signals."""
        rows = sorted(episode.cameras.values())
        count = int(self._rows.table["frames"][rows[0]].as_py())
        columns: dict[str, Any] = {}
        features: dict[str, dict[str, Any]] = {}
        for row in rows:
            if self._rows.signals.names[row] <= columns.keys():
                continue
            for name, (values, valid, channels) in _signal_columns(
                self._rows.frame_signals(row)
            ).items():
                if name in columns:
                    continue
                columns[name], features[name] = _feature(values, channels)
                if not valid.all():
                    columns[name + VALID] = pa.array(valid.all(axis=1))
                    features[name + VALID] = _IS_VALID
        frames = np.arange(count)
        columns["timestamp"] = pa.array((frames / self.fps).astype(np.float32))
        columns["frame_index"] = pa.array(frames)
        columns["episode_index"] = pa.array(np.full(count, number))
        columns["index"] = pa.array(first + frames)
        columns["task_index"] = pa.array(np.full(count, task))
        return pa.table(columns), features

    def _record(
        self, episode: _Moment, number: int, chunk: int, first: int, frames: int
    ) -> dict[str, Any]:
        place = {"chunk_index": chunk, "file_index": number % _PER_CHUNK}
        record: dict[str, Any] = {
            "episode_index": number, "tasks": [episode.task], "length": frames,
            "data/chunk_index": chunk, "data/file_index": 0,
            "dataset_from_index": first, "dataset_to_index": first + frames,
            "meta/episodes/chunk_index": chunk, "meta/episodes/file_index": 0,
            "session": episode.session,
        }  # fmt: skip
        for camera, row in episode.cameras.items():
            record |= {f"videos/{camera}/{name}": value for name, value in place.items()}
            record[f"videos/{camera}/from_timestamp"] = 0.0
            record[f"videos/{camera}/to_timestamp"] = frames / self.fps
            record[f"clip/{camera}"] = self._rows.table["clip_id"][row].as_py()
        return record

    def _info(self, signals: Mapping[str, Any], frames: int, tasks: int) -> dict[str, Any]:
        features = dict(signals)
        for camera in self.cameras:
            row = self.episodes[0].cameras[camera]
            facts = {n: self._rows.table[n][row].as_py() for n in ("width", "height", "codec")}
            features[camera] = {
                "dtype": "video",
                "shape": [facts["height"], facts["width"], 3],
                "names": ["height", "width", "channels"],
                "info": {
                    "video.height": facts["height"], "video.width": facts["width"],
                    "video.codec": facts["codec"], "video.pix_fmt": "yuv420p",
                    "video.is_depth_map": False, "video.fps": self.fps, "video.channels": 3,
                    "has_audio": False,
                },
            }  # fmt: skip
        for name in _INDICES:
            dtype = "float32" if name == "timestamp" else "int64"
            features[name] = {"dtype": dtype, "shape": [1], "names": None}
        episodes = len(self.episodes)
        whole = round(self.fps) if abs(self.fps - round(self.fps)) < 1e-6 else self.fps
        return {
            "codebase_version": "v3.0", "robot_type": None, "total_episodes": episodes,
            "total_frames": frames, "total_tasks": tasks, "chunks_size": _PER_CHUNK, "fps": whole,
            "splits": {"train": f"0:{episodes}"}, **_NAMES, "features": features,
        }  # fmt: skip


def _camera_key(camera: str | None) -> str:
    name = camera or "main"
    return name if name.startswith("observation.") else f"observation.images.{name}"


def _signal_columns(
    signals: FrameSignals | None,
) -> dict[str, tuple[npt.NDArray[Any], npt.NDArray[np.bool_], Sequence[str]]]:
    if signals is None:
        return {}
    columns: dict[str, tuple[npt.NDArray[Any], npt.NDArray[np.bool_], Sequence[str]]] = {}
    for name, (signal, sampled) in signals.sampled.items():
        values = sampled.values
        absent = np.nan if values.dtype.kind == "f" else 0
        columns[name] = (
            np.where(sampled.valid, values, np.array(absent, values.dtype)),
            sampled.valid,
            signal.channels,
        )
    return columns


def _feature(values: npt.NDArray[Any], channels: Sequence[str]) -> tuple[Any, dict[str, Any]]:
    """A column of fixed lists, or of numbers where there is one, and its feature."""
    width = values.shape[1]
    flat = pa.array(np.ascontiguousarray(values).ravel())
    column = flat if width == 1 else pa.FixedSizeListArray.from_arrays(flat, width)
    return column, {"dtype": values.dtype.name, "shape": [width], "names": list(channels)}


def _merge(features: dict[str, dict[str, Any]], found: Mapping[str, dict[str, Any]]) -> None:
    """Adds the features of an episode; of two types of numbers the one that holds both."""
    for name, feature in found.items():
        known = features.setdefault(name, feature)
        if known["shape"] != feature["shape"]:
            raise ExportError(
                f"the episodes' signals do not fit one table ({name} has {known['shape'][0]} and"
                f" {feature['shape'][0]} numbers): export a subset of one robot"
            )
        if known["dtype"] != feature["dtype"]:
            dtype = np.result_type(known["dtype"], feature["dtype"])
            features[name] = {**known, "dtype": str(dtype)}


def _aligned(table: pa.Table, features: Mapping[str, dict[str, Any]]) -> pa.Table:
    """The table with every feature: without a value, numbers are NaN or 0, and not valid."""
    columns = {}
    for name, feature in features.items():
        width, dtype = feature["shape"][0], np.dtype(feature["dtype"])
        kind = pa.from_numpy_dtype(dtype)
        if name.endswith(VALID) and (signal := name.removesuffix(VALID)) in features:
            has_value = pc.is_valid(_column(table, signal, None))
            columns[name] = pc.coalesce(_column(table, name, kind), has_value)
            continue
        column = _column(table, name, kind if width == 1 else pa.list_(kind, width))
        if column.null_count:
            values = np.full((len(column), width), np.nan if dtype.kind == "f" else 0, dtype)
            flat = column.flatten() if width > 1 else column.drop_null()
            is_there = pc.is_valid(column).to_numpy(zero_copy_only=False)
            values[is_there] = flat.to_numpy(zero_copy_only=False).reshape(-1, width)
            column, _ = _feature(values, ())
        columns[name] = column
    return pa.table(columns | {name: table[name] for name in _INDICES})


def _column(table: pa.Table, name: str, kind: pa.DataType | None) -> pa.Array:
    """A column as one array, of a type if one is given; of nulls where the table lacks it."""
    if name not in table.column_names:
        return pa.nulls(len(table), kind)
    column = table[name].combine_chunks()
    return column if kind is None else column.cast(kind)


def _tasks(tasks: Sequence[str]) -> pa.Table:
    """The tasks by number, with their text as the index that pandas reads."""
    index = "__index_level_0__"
    table = pa.table({"task_index": pa.array(range(len(tasks))), index: pa.array(tasks)})
    columns = [
        {"name": n, "field_name": f, "pandas_type": p, "numpy_type": t, "metadata": None}
        for n, f, p, t in (
            ("task_index", "task_index", "int64", "int64"),
            (None, index, "unicode", "object"),
        )
    ]
    pandas = {
        "index_columns": [index], "column_indexes": [], "columns": columns,
        "pandas_version": "2.0.0",
    }  # fmt: skip
    return table.replace_schema_metadata({"pandas": json.dumps(pandas)})


class _Stats:
    """Least, largest, mean and deviation of every number, over all frames."""

    def __init__(self) -> None:
        self._sums: dict[str, list[npt.NDArray[np.float64]]] = {}

    def add(self, table: pa.Table) -> None:
        for name in table.column_names:
            column = table[name].combine_chunks()
            width = column.type.list_size if pa.types.is_fixed_size_list(column.type) else 1
            flat = column.flatten() if width > 1 else column
            values = flat.to_numpy(zero_copy_only=False).astype(np.float64).reshape(-1, width)
            is_number = np.isfinite(values)
            zero = np.where(is_number, values, 0.0)
            low = np.where(is_number, values, np.inf).min(axis=0)
            high = np.where(is_number, values, -np.inf).max(axis=0)
            new = [low, high, zero.sum(axis=0), (zero**2).sum(axis=0), is_number.sum(axis=0)]
            old = self._sums.get(name)
            if old is not None:
                merge = (np.minimum, np.maximum, np.add, np.add, np.add)
                new = [f(a, b) for f, a, b in zip(merge, old, new, strict=True)]
            self._sums[name] = [np.asarray(part, np.float64) for part in new]

    def summary(self) -> dict[str, dict[str, list[float]]]:
        """By feature; zero for numbers that are never valid."""
        result = {}
        for name, (low, high, total, squares, count) in self._sums.items():
            n = np.maximum(count, 1)
            mean = total / n
            std = np.sqrt(np.maximum(squares / n - mean**2, 0))
            parts = {"min": low, "max": high, "mean": mean, "std": std}
            finite = {n: np.nan_to_num(v, posinf=0, neginf=0) for n, v in parts.items()}
            result[name] = {n: values.tolist() for n, values in finite.items()}
            result[name]["count"] = [int(count.max())]
        return result


def _write_table(storage: Storage, name: str, table: pa.Table) -> None:
    if storage.size(name) is None:
        with storage.atomic_write(name) as temporary:
            pq.write_table(table, temporary)


def _write_json(storage: Storage, name: str, value: Any) -> None:
    if storage.size(name) is None:
        with storage.atomic_write(name) as temporary, open(temporary, "w") as file:
            json.dump(value, file, indent=4)
