"""Sessions of cameras with signals of their own through the command line to a LeRobot data set."""

import io
import json
import tarfile

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest

from curation.sample import write_numbered_video
from curation.signals.readers.base import ReadRequest
from curation.signals.readers.lerobot import read_lerobot
from tests.curation.signals.test_journey import QUICK
from tests.outputs import run
from tokenizer.export.lerobot import _INDICES, _aligned, _merge

pytestmark = pytest.mark.slow
FRAMES = {"whole": 60, "half": 50, "later": 40, "bare": 30}
SIZES = {"left": (128, 72), "right": (136, 80)}


def signals(seconds):
    """At 50 a second: sample n is n in `count`, and half of it in `speed`."""
    rows = (f"{n / 50},{n / 2},{n}\n" for n in range(round(50 * seconds)))
    return "time_s,speed,count\n" + "".join(rows)


@pytest.fixture(scope="module")
def exported(tmp_path_factory):
    """Four sessions of two cameras; of one the right camera starts seven seconds later."""
    folder = tmp_path_factory.mktemp("sessions")
    lines = ["path,session,camera,offset_s"]
    for session, frames in FRAMES.items():
        for camera, size in SIZES.items():
            name = f"{session}_{camera}"
            write_numbered_video(folder / f"{name}.mp4", frames, fps=10, size=size)
            offset = "7" if name == "later_right" else ""
            lines.append(f"{name}.mp4,{session},{camera},{offset}")
    (folder / "list.csv").write_text("\n".join(lines) + "\n")
    (folder / "whole_right.signals.csv").write_text(signals(6.2))
    (folder / "half_left.signals.csv").write_text(signals(2.6))
    (folder / "later_left.signals.csv").write_text(signals(4.2).replace("count", "file"))
    policy = ("-s", "policy.near_duplicates=null")
    steps = (
        ("curate", str(folder / "list.csv"), "--out", str(folder / "out"), *QUICK, *policy),
        ("export", str(folder / "out"), str(folder / "set"), "--format", "lerobot"),
        ("export", str(folder / "out"), str(folder / "tar"), "--format", "webdataset"),
    )
    for step in steps:
        done = run(*step)
        assert done.returncode == 0, done.stdout + done.stderr
    return folder / "set"


def table_of(exported):
    """The columns of each session."""
    table = pq.read_table(exported / "data/chunk-000/file-000.parquet")
    episodes = pq.read_table(exported / "meta/episodes/chunk-000/file-000.parquet").to_pylist()
    found = {}
    for episode in episodes:
        rows = table.filter(pc.equal(table["episode_index"], episode["episode_index"]))
        found[episode["session"]] = {name: rows[name].to_numpy() for name in rows.column_names}
    return found


def test_cameras_at_different_times_are_no_moment(exported):
    assert {name: len(rows["index"]) for name, rows in table_of(exported).items()} == {
        name: frames for name, frames in FRAMES.items() if name != "later"
    }


def test_signals_of_any_camera_are_there_and_invalid_ones_say_so(exported):
    tables = table_of(exported)
    for session, valid in (("whole", 60), ("half", 26), ("bare", 0)):
        rows, n = tables[session], np.arange(FRAMES[session])
        assert rows["speed.valid"].tolist() == rows["count.valid"].tolist() == (n < valid).tolist()
        assert rows["speed"].tolist()[:valid] == (2.5 * n[:valid]).tolist()
        assert rows["count"].tolist() == np.where(n < valid, 5 * n, 0).tolist()
        assert np.isnan(rows["speed"][valid:]).all()


def test_what_was_invalid_is_so_when_the_set_is_read_again(exported):
    valid = {"whole": 60, "half": 26, "bare": 0}
    for session, rows in table_of(exported).items():
        index = rows["episode_index"][0]
        video = f"videos/observation.images.left/chunk-000/file-{index:03d}.mp4"
        (episode,) = read_lerobot(ReadRequest(str(exported), video)).episodes
        signals = {signal.name: signal for signal in episode.signals}
        assert {name: s.kind for name, s in signals.items()} == {"speed": "linear", "count": "hold"}
        for signal in signals.values():
            is_number = np.isfinite(signal.values[:, 0].astype(float))
            assert is_number.tolist() == (np.arange(FRAMES[session]) < valid[session]).tolist()


def test_features_and_statistics_are_those_of_the_table(exported):
    info = json.loads((exported / "meta/info.json").read_text())
    stats = json.loads((exported / "meta/stats.json").read_text())
    schema = pq.read_schema(exported / "data/chunk-000/file-000.parquet")
    types = {
        name: str(pa.from_numpy_dtype(info["features"][name]["dtype"])) for name in schema.names
    }
    assert types == {field.name: str(field.type) for field in schema}
    assert stats["speed.valid"]["mean"] == [pytest.approx(86 / 140)]


def test_tar_shards_have_the_signals_of_each_file(exported):
    (shard,) = (exported.parent / "tar").glob("*.tar")
    found = {}
    with tarfile.open(shard) as tar:
        members = {member.name: tar.extractfile(member).read() for member in tar}
    for name, content in members.items():
        if name.endswith(".signals.npz"):
            facts = json.loads(members[name.replace(".signals.npz", ".json")])
            with np.load(io.BytesIO(content), allow_pickle=False) as arrays:
                found[facts["extra"]["session"], facts["extra"]["camera"]] = dict(arrays)
    assert set(found) == {("whole", "right"), ("half", "left"), ("later", "left")}
    arrays, n = found["half", "left"], np.arange(FRAMES["half"])
    assert arrays["time_ns"].tolist() == (n * 100_000_000).tolist()
    assert arrays["speed.valid"][:, 0].tolist() == (n < 26).tolist()
    assert arrays["speed"][:26, 0].tolist() == (2.5 * n[:26]).tolist()
    assert arrays["speed.channels"].tolist() == ["value"]
    n = np.arange(FRAMES["later"])
    assert found["later", "left"]["file"][:, 0].tolist() == (5 * n).tolist()


def test_episodes_of_two_types_share_one_that_holds_both():
    features = {}
    whole = pa.FixedSizeListArray.from_arrays(pa.array([1, 2, 3, 4]), 2)
    halves = pa.FixedSizeListArray.from_arrays(pa.array([0.5, 1.5]), 2)
    tables = [pa.table({"a": column}) for column in (whole, halves)]
    for dtype in ("int64", "float64"):
        _merge(features, {"a": {"dtype": dtype, "shape": [2], "names": ["x", "y"]}})
    for table, expected in zip(tables, ([[1.0, 2.0], [3.0, 4.0]], [[0.5, 1.5]]), strict=True):
        count = {name: pa.array(np.zeros(len(table))) for name in _INDICES}
        whole_table = pa.table({"a": table["a"], **count})
        assert _aligned(whole_table, features)["a"].to_pylist() == expected
