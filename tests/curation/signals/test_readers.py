"""Every reader on files that the format's own library wrote, and on files that are wrong."""

import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from curation.listing import Entry, list_videos
from curation.media.sandbox import Limits
from curation.signals.clock import NS
from curation.signals.read import SignalSettings, assign_signals, find_signals, read_signals
from curation.signals.readers.base import ReadRequest, default_kind, group_columns
from curation.signals.readers.gpx import read_gpx
from curation.signals.readers.lerobot import read_lerobot
from curation.signals.readers.mcap import read_mcap
from curation.signals.readers.rosbag import read_rosbag
from curation.signals.readers.table import read_table
from curation.signals.recording import from_bytes, to_bytes
from curation.signals.signal import SignalError

REAL = Path(__file__).parents[4] / "shared" / "signals"


def write(path, text):
    path.write_text(text)
    return ReadRequest(str(path), "v.mp4")


def only(recording):
    (episode,) = recording.episodes
    return {signal.name: signal for signal in episode.signals}


def test_columns_become_signals_with_channels_and_units(tmp_path):
    text = "time_s,speed [m/s],imu.gyro.x,imu.gyro.y,gear,q_x,q_y,q_z,q_w,note\n"
    rows = [f"{n / 10},{n * 0.5},{n}.5,{-n}.5,{n % 3},0.0,0.0,0.0,1.0,go\n" for n in range(5)]
    recording = read_table(write(tmp_path / "s.csv", text + "".join(rows)))
    signals = only(recording)
    assert {n: (s.kind, s.channels, s.units) for n, s in signals.items()} == {
        "speed": ("linear", ("value",), "m/s"),
        "imu.gyro": ("linear", ("x", "y"), ""),
        "gear": ("hold", ("value",), ""),
        "q": ("rotation", ("x", "y", "z", "w"), ""),
    }
    assert signals["gear"].stamps.tolist() == [0, NS // 10, NS // 5, 3 * NS // 10, 2 * NS // 5]
    assert recording.notes == ("column note holds no numbers",)


def test_whole_numbers_with_an_empty_cell_are_held(tmp_path):
    text = "time_s,gear,brake\n0,3,true\n1,,\n2,4,false\n3,4,true\n"
    signals = only(read_table(write(tmp_path / "s.csv", text)))
    assert {n: s.kind for n, s in signals.items()} == {"gear": "hold", "brake": "hold"}
    assert np.isnan(signals["gear"].values[:, 0]).tolist() == [False, True, False, False]


@pytest.mark.parametrize("stamp", ["1700000000000000000", "1700000000000", "1.7e18"])
def test_a_time_beyond_its_unit_is_refused_and_never_wraps(tmp_path, stamp):
    with pytest.raises(SignalError, match="rename it, such as time_ns"):
        read_table(write(tmp_path / "s.csv", f"timestamp,a\n0,1\n{stamp},1\n"))


def test_whole_numbers_beyond_63_bits_are_refused_and_never_wrap(tmp_path):
    values = pa.array([1, 2**64 - 1], pa.uint64())
    pq.write_table(pa.table({"time_s": [0, 1], "a": values}), tmp_path / "s.parquet")
    with pytest.raises(SignalError, match="beyond 63 bits"):
        read_table(ReadRequest(str(tmp_path / "s.parquet"), "v"))


def test_a_parquet_keeps_types_and_lists(tmp_path):
    values = np.random.default_rng(0).normal(size=(6, 7)).astype(np.float32)
    lists = pa.FixedSizeListArray.from_arrays(pa.array(values.ravel()), 7)
    received = pa.array(np.arange(6) * 1000 + 250)
    table = {
        "timestamp_ns": pa.array(np.arange(6) * 1000),
        "action": lists,
        "received_ns": received,
    }
    pq.write_table(pa.table(table), tmp_path / "s.parquet")
    action = only(read_table(ReadRequest(str(tmp_path / "s.parquet"), "v")))["action"]
    assert action.kind == "hold"
    assert action.values.tobytes() == values.tobytes()
    assert (action.received - action.stamps).tolist() == [250] * 6


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a,b\n1,2\n", "needs a column of times"),
        ("time_s,a\n", "no rows"),
        ("time_s,a\n0,1\n2,1\n1,1\n", "go back at sample 2"),
        ("time_s,a\n0,1\nx,1\n", "row 2 is 'x'"),
        ("time_s,a\n0,1\n,1\n", "row 2 has no time"),
        ("time_s,a\n0,1\n1,2\n2,oops\n", "row 3 is no number: 'oops'"),
        ("time_s,a\n0,text\n1,words\n", "no column of numbers"),
        ("time_s,a\n0,1,2\n", "cannot be read"),
        ("frame,a\n0,1\n1.5,2\n", "whole numbers"),
    ],
)
def test_a_wrong_table_says_what_and_where(tmp_path, text, message):
    with pytest.raises(SignalError, match=message):
        read_table(write(tmp_path / "s.csv", text))


def test_declared_kinds_win_and_the_longest_pattern(tmp_path):
    write(tmp_path / "s.csv", "time_s,action.x,pose\n0,1.0,1.0\n1,2.0,2.0\n")
    kinds = {"*": "nearest", "action*": "delta"}
    signals = only(read_table(ReadRequest(str(tmp_path / "s.csv"), "v", kinds)))
    assert {n: s.kind for n, s in signals.items()} == {"action": "delta", "pose": "nearest"}


def test_kinds_that_names_and_types_suggest():
    real = np.dtype(np.float32)
    assert default_kind("observation.state", real, ["0", "1"]) == "linear"
    assert default_kind("actions.joint_position", real, ["0"]) == "hold"
    assert default_kind("camera_pose.rotation", real, ["0", "1", "2", "3"]) == "rotation"
    assert default_kind("hand", real, ["a_qx", "a_qy", "a_qz", "a_qw"] * 2) == "rotation"
    assert default_kind("xyzw", real, ["x", "y", "z", "grip"]) == "linear"
    assert group_columns(["a.b.c", "v (km/h)"])["v"].units == "km/h"


GPX = """<?xml version="1.0"?><gpx xmlns="http://www.topografix.com/GPX/1/1"><trk><trkseg>
<trkpt lat="52.5" lon="13.4"><ele>34.5</ele><time>2024-05-01T10:00:00.250Z</time></trkpt>
<trkpt lat="52.6" lon="13.5"><time>2024-05-01T10:00:01Z</time></trkpt></trkseg></trk></gpx>"""


def test_gpx(tmp_path):
    recording = read_gpx(write(tmp_path / "s.gpx", GPX))
    signals = only(recording)
    assert signals["gps.position"].values.tolist() == [[52.5, 13.4], [52.6, 13.5]]
    assert np.diff(signals["gps.position"].stamps).tolist() == [750_000_000]
    assert recording.episodes[0].clock.start_ns == 1_714_557_600_250_000_000
    with pytest.raises(SignalError, match="no GPX track"):
        read_gpx(write(tmp_path / "bad.gpx", GPX[:150]))


def write_mcap(path, messages):
    """Messages of (topic, publish time, log time, content) as JSON."""
    writer_module = pytest.importorskip("mcap.writer")
    with open(path, "wb") as stream:
        writer = writer_module.Writer(stream)
        writer.start()
        channels = {}
        for topic, published, logged, content in messages:
            if topic not in channels:
                schema = writer.register_schema(topic, "jsonschema", b"{}")
                channels[topic] = writer.register_channel(topic, "json", schema)
            writer.add_message(channels[topic], logged, json.dumps(content).encode(), published)
        writer.finish()
    return ReadRequest(str(path), "rig/front.mp4")


def test_mcap_of_json(tmp_path):
    start = 1_700_000_000 * NS
    messages = []
    for n in range(20):
        stamp = start + n * NS // 10
        messages.append(("/cmd", stamp, stamp + 3_000_000, {"steer": n * 0.1, "gear": 1}))
        messages.append(("/keys", stamp, stamp, {"down": [65, 83][: n % 3]}))
        pose = {
            "position": {"x": n, "y": 0.5},
            "orientation": {"x": 0.0, "y": 0.0, "z": 0.0, "w": 1.0},
        }
        messages.append(("/pose", stamp, stamp, pose))
        shown = {"media_ref": {"uri": "videos/front.mp4", "pts_ns": n * NS // 10}}
        messages.append(("/screen", stamp + 20_000_000, stamp, shown))
    recording = read_mcap(write_mcap(tmp_path / "s.mcap", messages))
    signals = only(recording)
    assert {n: (s.kind, s.channels) for n, s in signals.items()} == {
        "cmd": ("hold", ("steer", "gear")),
        "keys.down": ("hold", ("65", "83")),
        "pose.position": ("linear", ("x", "y")),
        "pose.orientation": ("rotation", ("x", "y", "z", "w")),
    }
    assert signals["keys.down"].values[:3].tolist() == [[0, 0], [1, 0], [1, 1]]
    assert set((signals["cmd"].received - signals["cmd"].stamps).tolist()) == {3_000_000}
    clock = recording.episodes[0].clock
    placed = clock.place(np.array([0, NS // 10, 3 * NS // 20, 2 * NS // 10]))
    assert ((placed - start) // 1_000_000).tolist() == [20, 120, 170, 220]


def test_a_cut_mcap_has_a_reason(tmp_path):
    request = write_mcap(tmp_path / "s.mcap", [("/a", NS, NS, {"x": 1.0})] * 50)
    data = Path(request.path).read_bytes()
    Path(request.path).write_bytes(data[: len(data) // 2])
    with pytest.raises(SignalError, match="no complete MCAP file"):
        read_mcap(request)


@pytest.mark.parametrize("storage", ["SQLITE3", "MCAP"])
def test_bags_of_ros_2(tmp_path, storage):
    """An IMU with its own stamps, and a camera whose stamps place the frames."""
    rosbag2 = pytest.importorskip("rosbags.rosbag2")
    from rosbags.typesys import Stores, get_typestore

    store = get_typestore(Stores.ROS2_HUMBLE)
    types = store.types
    folder, start = tmp_path / "bag", 1_700_000_000 * NS

    def header(stamp):
        time = types["builtin_interfaces/msg/Time"](sec=stamp // NS, nanosec=stamp % NS)
        return types["std_msgs/msg/Header"](stamp=time, frame_id="base_link")

    def vector(x):
        return types["geometry_msgs/msg/Vector3"](x=x, y=0.0, z=9.81)

    imu_type, image_type = "sensor_msgs/msg/Imu", "sensor_msgs/msg/CompressedImage"
    with rosbag2.Writer(folder, version=9, storage_plugin=rosbag2.StoragePlugin[storage]) as bag:
        imu = bag.add_connection("/imu", imu_type, typestore=store)
        camera = bag.add_connection("/camera", image_type, typestore=store)
        for n in range(12):
            stamp = start + n * NS // 20
            turned = types["geometry_msgs/msg/Quaternion"](x=0.0, y=0.0, z=0.0, w=1.0)
            none = np.zeros(9)
            message = types[imu_type](
                header(stamp), turned, none, vector(n * 1.0), none, vector(0.5), none
            )
            bag.write(imu, stamp + 7_000_000, store.serialize_cdr(message, imu_type))
            picture = types[image_type](header(stamp + 1), "jpeg", np.zeros(4, np.uint8))
            bag.write(camera, stamp + 9_000_000, store.serialize_cdr(picture, image_type))
    recording = read_rosbag(ReadRequest(str(folder), "v.mp4"))
    signals = only(recording)
    assert signals["imu.angular_velocity"].values[:3].tolist() == [[n, 0, 9.81] for n in range(3)]
    assert signals["imu.orientation"].kind == "rotation"
    assert signals["imu.angular_velocity"].frame == "base_link"
    assert signals["imu.orientation"].stamps.tolist() == [start + n * NS // 20 for n in range(12)]
    assert (signals["imu.orientation"].received - signals["imu.orientation"].stamps).tolist() == [
        7_000_000
    ] * 12
    stamps = recording.episodes[0].clock.frame_stamps
    assert (stamps - start).tolist() == [n * NS // 20 + 1 for n in range(12)]


def write_lerobot(root, version, episodes, *, fps=10, width=3):
    """Episodes of some lengths; number k of row n of episode e is 100 e + n + k / 10."""
    v3 = version == "v3.0"
    feature = {"dtype": "float32", "shape": [width], "names": {"axes": list("xyz")[:width]}}
    video = {"dtype": "video", "shape": [8, 8, 3], "names": ["height", "width", "channels"]}
    features = {"action": feature, "observation.images.top": video}
    info = {"codebase_version": version, "fps": fps, "features": features}
    (root / "meta" / "episodes" / "chunk-000").mkdir(parents=True)
    (root / "data" / "chunk-000").mkdir(parents=True)
    (root / "meta" / "info.json").write_text(json.dumps(info))
    tables, rows, first = [], [], 0.0
    for number, length in enumerate(episodes):
        n = np.arange(length)
        values = (100 * number + n[:, None] + np.arange(width) / 10).astype(np.float32)
        action = pa.FixedSizeListArray.from_arrays(pa.array(values.ravel()), width)
        tables.append(pa.table({
            "action": action, "timestamp": pa.array((n / fps).astype(np.float32)),
            "frame_index": pa.array(n), "episode_index": pa.array(np.full(length, number)),
        }))  # fmt: skip
        prefix = "videos/observation.images.top/"
        rows.append({
            "episode_index": number, "tasks": [f"task {number}"], "length": length,
            f"{prefix}chunk_index": 0, f"{prefix}file_index": 0, f"{prefix}from_timestamp": first,
        })  # fmt: skip
        first += length / fps
    if v3:
        pq.write_table(pa.concat_tables(tables), root / "data/chunk-000/file-000.parquet")
        table = pa.Table.from_pylist(rows)
        pq.write_table(table, root / "meta/episodes/chunk-000/file-000.parquet")
        return [root / "videos/observation.images.top/chunk-000/file-000.mp4"]
    lines = [json.dumps({k: v for k, v in row.items() if "/" not in k}) for row in rows]
    (root / "meta" / "episodes.jsonl").write_text("\n".join(lines))
    for number, table in enumerate(tables):
        pq.write_table(table, root / f"data/chunk-000/episode_{number:06d}.parquet")
    folder = root / "videos/chunk-000/observation.images.top"
    return [folder / f"episode_{number:06d}.mp4" for number in range(len(episodes))]


@pytest.mark.parametrize("version", ["v2.1", "v3.0"])
def test_lerobot_of_both_versions(tmp_path, version):
    videos = write_lerobot(tmp_path, version, [5, 8, 4])
    recordings = [
        read_lerobot(ReadRequest(str(tmp_path), str(v.relative_to(tmp_path)))) for v in videos
    ]
    episodes = [episode for recording in recordings for episode in recording.episodes]
    assert [(e.name, e.task, e.frames) for e in episodes] == [
        ("0", "task 0", 5), ("1", "task 1", 8), ("2", "task 2", 4),
    ]  # fmt: skip
    assert all(recording.sets_shots for recording in recordings)
    if version == "v3.0":
        assert [e.start_s for e in episodes] == [0.0, 0.5, 1.3]
    (action,) = episodes[1].signals
    assert (action.kind, action.channels) == ("hold", ("x", "y", "z"))
    assert action.values[:, 0].tolist() == [100.0 + n for n in range(8)]
    assert episodes[1].clock.frame_stamps.tolist() == [n * NS // 10 for n in range(8)]
    assert len({e.session for e in episodes}) == 3


def test_lerobot_without_a_stated_column(tmp_path):
    (video,) = write_lerobot(tmp_path, "v3.0", [5])
    path = tmp_path / "data/chunk-000/file-000.parquet"
    pq.write_table(pq.read_table(path).drop_columns(["action"]), path)
    with pytest.raises(SignalError, match="lacks the column action"):
        read_lerobot(ReadRequest(str(tmp_path), str(video.relative_to(tmp_path))))


def test_where_signals_are_found(tmp_path):
    entry = Entry(str(tmp_path / "drive.mp4"), root=str(tmp_path))
    assert find_signals(entry) is None
    (tmp_path / "drive.gpx").touch()
    (tmp_path / "drive.signals.csv").touch()
    assert find_signals(entry) == str(tmp_path / "drive.signals.csv")
    listed = Entry(entry.uri, extra={"signals": "other.csv"}, root=str(tmp_path))
    assert find_signals(listed) == str(tmp_path / "other.csv")
    (lerobot,) = write_lerobot(tmp_path / "set", "v3.0", [5])
    assert find_signals(Entry(str(lerobot), root=str(tmp_path))) == str(tmp_path / "set")


def test_neither_a_list_nor_a_link_chooses_a_file_outside(tmp_path):
    inside, secret = tmp_path / "in", tmp_path / "secret.csv"
    inside.mkdir()
    secret.touch()
    (inside / "a.signals.csv").symlink_to(secret)
    for extra in ({}, {"signals": str(secret)}, {"signals": "../secret.csv"}):
        entry = Entry(str(inside / "a.mp4"), extra=extra, root=str(inside))
        with pytest.raises(SignalError, match="lies outside"):
            find_signals(entry)
    named = Entry(str(inside / "a.mp4"), root=str(inside), signals=str(secret))
    assert find_signals(named) == str(secret)


def test_a_path_of_signals_is_relative_to_its_list_as_the_videos_are(tmp_path):
    for name in ("videos", "signals"):
        (tmp_path / name).mkdir()
    (tmp_path / "videos" / "a.mp4").touch()
    place = str(tmp_path / "signals" / "a.csv")
    for name, column in (("list.csv", "path"), ("metadata.csv", "file_name")):
        (tmp_path / name).write_text(f"{column},signals\nvideos/a.mp4,signals/a.csv\n")
    for root in (tmp_path / "list.csv", tmp_path):
        (entry,) = list_videos([str(root)]).entries
        assert find_signals(entry) == place


def test_a_list_in_a_store_names_signals_below_its_folder():
    listed = {"root": "s3://b/v/list.csv", "columns_from": "s3://b/v"}
    for stated in ("s/a.csv", "s3://b/v/s/a.csv", "x/../s/a.csv"):
        entry = Entry("s3://b/v/clips/a.mp4", extra={"signals": stated}, **listed)
        assert find_signals(entry) == "s3://b/v/s/a.csv"
    for stated in ("../a.csv", "s3://b/v/../w/a.csv", "s3://c/v/a.csv", "/etc/passwd"):
        entry = Entry("s3://b/v/clips/a.mp4", extra={"signals": stated}, **listed)
        with pytest.raises(SignalError, match="lies outside"):
            find_signals(entry)


def test_signals_of_a_folder_go_to_the_videos_of_the_same_name(tmp_path):
    (tmp_path / "a.csv").touch()
    entries = [Entry("/v/a.mp4"), Entry("/v/b.mp4")]
    first, second = assign_signals(entries, str(tmp_path))
    assert first.signals == str(tmp_path / "a.csv")
    assert second.signals == ""
    with pytest.raises(SignalError, match="one recording for 2 videos"):
        assign_signals(entries, str(tmp_path / "a.csv"))


def test_the_confined_reader_gives_what_the_reader_gives(tmp_path):
    request = write(tmp_path / "s.signals.csv", "time_s,a,b\n0,1,0.5\n1,2,1.5\n")
    direct = from_bytes(to_bytes(read_table(request)))
    confined = read_signals(request.path, "/v/s.mp4", {}, SignalSettings(), Limits())
    for one, other in zip(direct.episodes[0].signals, confined.episodes[0].signals, strict=True):
        assert (one.name, one.kind, one.values.dtype) == (
            other.name,
            other.kind,
            other.values.dtype,
        )
        assert one.values.tobytes() == other.values.tobytes()
        assert one.stamps.tolist() == other.stamps.tolist()


def test_the_confined_reader_hands_on_the_reason(tmp_path):
    write(tmp_path / "s.csv", "a,b\n1,2\n")
    with pytest.raises(SignalError, match="needs a column of times"):
        read_signals(str(tmp_path / "s.csv"), "/v/s.mp4", {}, SignalSettings(), Limits())
    with pytest.raises(SignalError, match="no such file"):
        read_signals(str(tmp_path / "none.csv"), "/v/s.mp4", {}, SignalSettings(), Limits())
    with pytest.raises(SignalError, match="offset_s 'soon'"):
        read_signals(
            str(tmp_path / "s.csv"), "/v", {"offset_s": "soon"}, SignalSettings(), Limits()
        )


@pytest.mark.skipif(not REAL.is_dir(), reason="real recordings are not here")
def test_real_recordings():
    cameras = {}
    for video in sorted(REAL.glob("lerobot_*/videos/*/*/*.mp4")):
        place = str(video.parents[3])
        assert find_signals(Entry(str(video), root=str(REAL))) == place
        recording = read_lerobot(ReadRequest(place, str(video.relative_to(place))))
        (episode,) = recording.episodes
        cameras.setdefault(episode.session, []).append((episode.camera, episode.frames))
    assert sorted(len(several) for several in cameras.values()) == [1, 1, 3]
    assert {frames for several in cameras.values() for _, frames in several} == {29, 90, 1440}
    desktop = read_mcap(ReadRequest(str(REAL / "owa_example.mcap"), "example.mkv"))
    assert only(desktop)["mouse.state"].values.shape == (11, 2)
    assert len(desktop.episodes[0].clock.anchors) == 590
