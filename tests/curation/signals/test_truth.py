"""A counter in the picture and the same number in the signal agree, frame by frame, whatever is
done to the video between: rates, starts, gaps, trims, render modes, clocks, dropped samples."""

import csv
from dataclasses import replace
from fractions import Fraction

import av
import numpy as np
import pytest

from curation import records
from curation.listing import entry_at
from curation.media.encode import Encoding
from curation.media.sandbox import Limits
from curation.records import Clip
from curation.render.rendered_clip import frame_reader, open_rendered_clip, rendered_clip
from curation.render.stage import RenderBatch, RenderClips
from curation.sample import Coding, read_number
from curation.scan.stage import Scan, ScanItem
from curation.signals.blocks import (
    RECORDINGS,
    SAMPLES,
    ClipSignals,
    SignalBlock,
    joined,
)
from curation.signals.clock import NS, Clock
from curation.signals.read import SignalSettings
from curation.signals.resample import pool, resample
from curation.signals.signal import Signal
from curation.storage import Storage
from tests.curation.conftest import GivenShots
from tokenizer.tokenize.actions import latent_groups, source_frames

FRAMES = 96


def container_ns(path):
    """When the container shows each frame, in nanoseconds, as PyAV says."""
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        pts = sorted(packet.pts for packet in container.demux(stream) if packet.pts is not None)
        return [round(Fraction(p) * stream.time_base * NS) for p in pts]


def write_counter(path, stamps_ns, dropped=()):
    """Frame n is stamped with its number and with its number as a step of one."""
    with open(path, "w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["timestamp_ns", "counter", "step", "ramp"])
        for number, stamp in enumerate(stamps_ns):
            if number not in dropped:
                writer.writerow([stamp, number, 1, float(number)])


KINDS = {"counter": "hold", "step": "delta", "ramp": "linear"}


def scanned(path, span, signals, **extra):
    """The source, its clip and the clip's signals, as scan's tables have them."""
    stage = Scan(
        shots=GivenShots((span,)), scores=(), embedders=(),
        signals=SignalSettings(kinds=KINDS),
    )  # fmt: skip
    entry = replace(entry_at(str(path), extra), signals=str(signals))
    result = stage.setup()(ScanItem(entry))
    assert (result.source.outcome, result.source.remarks) == ("scanned", None) or extra.get("any")
    (clip,) = records.from_table(Clip, result.clips)
    (row,) = result.side_rows[RECORDINGS].to_pylist()
    assert row["problem"] is None
    blocks = {}
    for block in records.from_table(SignalBlock, result.side_rows[SAMPLES]):
        blocks.setdefault(block.signal, []).append(block)
    parts = [joined(several) for several in blocks.values()]
    periods = tuple(several[0].period_ns for several in blocks.values())
    times = np.frombuffer(row["frame_ns"], "<i8").astype(np.int64)
    return result.source, clip, ClipSignals(times, tuple(parts), periods)


def render(folder, source, clip, mode="encode", fps=None):
    stage = RenderClips(str(folder), mode, Encoding(fps=fps, preset="ultrafast"))
    (row,) = stage.setup()(RenderBatch(source, (clip,)))
    assert row.outcome == "rendered", row.detail
    return rendered_clip(row, clip, source, Storage.at(folder))


def numbers_shown(file):
    with open_rendered_clip(file) as path:
        read, _ = frame_reader(path, file, file.width, file.height, Limits())
        return [read_number(frame) for frame in read(range(file.frames))]


def recovered(file, signals, name):
    """The values of a signal at the frames of a render; None where invalid."""
    (signal,) = [s for s in signals.signals if s.name == name]
    shown = source_frames(file)
    sampled = signals.at(signal, shown[:-1], int(shown[-1]))
    pairs = zip(sampled.values[:, 0].tolist(), sampled.valid[:, 0].tolist(), strict=True)
    return [value if is_valid else None for value, is_valid in pairs]


def assert_agree(file, signals):
    numbers = numbers_shown(file)
    assert recovered(file, signals, "counter") == numbers
    assert recovered(file, signals, "ramp") == numbers
    steps = recovered(file, signals, "step")
    assert steps[:-1] == np.diff(numbers).tolist()


@pytest.fixture(scope="module")
def sources(made, ffmpeg, tmp_path_factory):
    """Numbered sources of every kind of time."""
    folder = tmp_path_factory.mktemp("truth")
    plain = made("t.mp4", FRAMES)
    paths = {"plain": plain, "variable": made("t_vfr.mkv", FRAMES, Coding(slow_from=40))}
    paths["late start"] = folder / "late.mkv"
    ffmpeg("-i", plain, "-c", "copy", "-output_ts_offset", "12.345", paths["late start"])
    paths["transport stream"] = folder / "late.ts"
    ffmpeg("-i", plain, "-c", "copy", "-output_ts_offset", "3.21", paths["transport stream"])
    paths["b-frames"] = made("t_b.mp4", FRAMES, Coding(b_frames=2))
    return paths


@pytest.mark.media
@pytest.mark.parametrize(
    "kind", ["plain", "variable", "late start", "transport stream", "b-frames"]
)
@pytest.mark.parametrize("span", [(0, None), (17, 71)])
def test_times_of_every_kind(tmp_path, sources, kind, span):
    shown = container_ns(sources[kind])
    write_counter(tmp_path / "s.csv", [t - shown[0] for t in shown])
    source, clip, signals = scanned(sources[kind], span, tmp_path / "s.csv")
    file = render(tmp_path, source, clip)
    assert file.frames == clip.end_frame - clip.start_frame
    assert_agree(file, signals)


@pytest.mark.media
@pytest.mark.parametrize(
    ("kind", "fps"), [("plain", 10), ("plain", 23.976), ("plain", 60), ("variable", 15)]
)
def test_target_rates(tmp_path, sources, kind, fps):
    shown = container_ns(sources[kind])
    write_counter(tmp_path / "s.csv", [t - shown[0] for t in shown])
    source, clip, signals = scanned(sources[kind], (5, 90), tmp_path / "s.csv")
    assert_agree(render(tmp_path, source, clip, fps=fps), signals)


@pytest.mark.media
@pytest.mark.parametrize(("mode", "span"), [("span", (11, 60)), ("copy", (48, None))])
def test_renders_of_every_mode(tmp_path, sources, mode, span):
    shown = container_ns(sources["plain"])
    write_counter(tmp_path / "s.csv", [t - shown[0] for t in shown])
    source, clip, signals = scanned(sources["plain"], span, tmp_path / "s.csv")
    file = render(tmp_path, source, clip, mode)
    assert file.span is not None  # it was not encoded
    assert_agree(file, signals)


def test_a_gap_in_the_video_counts(tmp_path, made, ffmpeg):
    """Half an hour is missing midway; the signal's clock went on."""
    plain, path = made("t.mp4", FRAMES), tmp_path / "gap.mkv"
    shift = "setts=ts='if(gte(PTS,48*512),PTS+1800*12288,PTS)'"
    ffmpeg("-i", plain, "-c", "copy", "-bsf:v", shift, path)
    shown = container_ns(path)
    assert shown[-1] > 1800 * NS
    write_counter(tmp_path / "s.csv", [t - shown[0] for t in shown])
    stage_span = (50, 80)
    source, clip, signals = scanned(path, stage_span, tmp_path / "s.csv", any="1")
    assert source.segments is not None
    assert clip.start_s < 4
    assert_agree(render(tmp_path, source, clip), signals)


def test_an_offset_of_forty_milliseconds_and_a_clock_that_drifts(tmp_path, sources):
    """Declared, both come out exact; undeclared, the offset is a frame off."""
    shown = container_ns(sources["plain"])
    clock = [round((t - shown[0]) * (1 + 100e-6)) + 42_000_000 for t in shown]
    write_counter(tmp_path / "s.csv", clock)
    declared = {"offset_s": "0.042", "drift_ppm": "100"}
    source, clip, signals = scanned(sources["plain"], (10, 80), tmp_path / "s.csv", **declared)
    file = render(tmp_path, source, clip)
    assert_agree(file, signals)
    _, _, wrong = scanned(sources["plain"], (10, 80), tmp_path / "s.csv")
    assert recovered(file, wrong, "counter") == [n - 1 for n in numbers_shown(file)]


def test_dropped_samples_are_null_and_the_others_right(tmp_path, sources):
    dropped = {20, 33, 34, 70}
    shown = container_ns(sources["plain"])
    write_counter(tmp_path / "s.csv", [t - shown[0] for t in shown], dropped)
    source, clip, signals = scanned(sources["plain"], (10, 80), tmp_path / "s.csv")
    expected = [None if n in dropped else n for n in numbers_shown(render(tmp_path, source, clip))]
    assert recovered(render(tmp_path, source, clip), signals, "counter") == expected


def test_frames_with_stamps_of_their_own_hold_on_any_clock(tmp_path, sources):
    """A recorder of unsteady Unix time, which says which frame each stamp is of."""
    rng = np.random.default_rng(1)
    stamps = 1_700_000_000 * NS + np.cumsum(rng.integers(20_000_000, 60_000_000, FRAMES))
    with open(tmp_path / "s.csv", "w") as file:
        file.write("timestamp_ns,frame,counter,step,ramp\n")
        file.writelines(f"{s},{n},{n},1,{n}.0\n" for n, s in enumerate(stamps.tolist()))
    source, clip, signals = scanned(sources["variable"], (10, 80), tmp_path / "s.csv")
    assert signals.frame_ns[:-1].tolist() == stamps[10:80].tolist()
    assert_agree(render(tmp_path, source, clip), signals)


def test_rows_by_frame_alone(tmp_path, sources):
    with open(tmp_path / "s.csv", "w") as file:
        file.write("frame,counter,step,ramp\n")
        file.writelines(f"{n},{n},1,{n}.0\n" for n in range(FRAMES))
    source, clip, signals = scanned(sources["late start"], (10, 80), tmp_path / "s.csv")
    assert_agree(render(tmp_path, source, clip), signals)


@pytest.mark.parametrize("fps", [24, 30000 / 1001, 59.94])
def test_an_hour_with_a_clock_that_drifts(fps):
    """100 ppm are 360 ms in an hour, ten frames: declared, every frame is exact."""
    frames = round(3600 * fps)
    elapsed = np.rint(np.arange(frames + 1) * NS / fps).astype(np.int64)
    stamps = np.rint(elapsed * (1 + 100e-6)).astype(np.int64) + 40_000_000
    made = Signal("c", "hold", stamps[:-1], np.arange(frames)[:, None], ("n",))
    placed = Clock(offset_s=0.04, drift_ppm=100).place(elapsed)
    sampled = resample(made, placed)
    assert sampled.valid.all()
    assert np.array_equal(sampled.values[:, 0], np.arange(frames))
    undeclared = resample(made, Clock(offset_s=0.04).place(elapsed)).values[:, 0]
    assert undeclared[-1] <= frames - 1 - round(0.36 * fps) + 1


@pytest.mark.parametrize(("frames", "causal"), [(49, True), (48, False), (6, True), (1, True)])
def test_latent_frames_pool_what_the_tokenizer_pools(frames, causal):
    groups = latent_groups(frames, 8, causal_first=causal)
    assert len(groups) - 1 == (1 + -(-(frames - 1) // 8) if causal else -(-frames // 8))
    times = np.arange(frames + 1) * NS // 24
    made = Signal("c", "hold", times[:-1], np.arange(frames)[:, None], ("n",))
    if frames < 3:
        return
    last = pool(made, resample(made, times), groups).values[:, 0]
    assert last.tolist() == (groups[1:] - 1).tolist()
