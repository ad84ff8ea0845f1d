"""`reelmill doctor`: one screen, and exit code 1 if something that every run needs is missing."""

import pytest

from curation.media import confinement, sandbox
from pipelines.cli import doctor


@pytest.fixture
def unloaded(monkeypatch):
    """Weights are loaded by one test alone."""
    monkeypatch.setattr(doctor, "_weights", lambda: doctor._Finding("all"))


@pytest.mark.slow
def test_a_machine_that_can_curate(reelmill, tmp_path):
    ended = reelmill("doctor", tmp_path / "new")
    assert (ended.code, ended.err) == (0, "")
    text = " ".join(ended.out.split())
    for words in (
        "reelmill 0.1.0", "deltalake", "ffmpeg version", "no_new_privs", "seccomp", "GiB free in",
        "new can be written", "TransNetV2, EfficientNet-Lite0, MiniLM, causal-4x8x8", "service",
    ):  # fmt: skip
        assert words in text, words
    assert "to do" not in text
    assert not (tmp_path / "new").exists()


def test_weights_that_search_needs_are_checked(reelmill, monkeypatch):
    def load(*_):
        raise RuntimeError("header too large")

    monkeypatch.setattr("curation.scan.shots.TransNetV2.load", lambda _: None)
    monkeypatch.setattr("tokenizer.models.load.shipped", lambda: [])
    monkeypatch.setattr("curation.embed.efficientnet.EfficientNetLite0.load", load)
    ended = reelmill("doctor")
    assert (ended.code, "to do: weights: header too large" in ended.out) == (1, True)


@pytest.mark.usefixtures("unloaded")
def test_a_decoder_that_does_not_start_is_a_problem(reelmill, monkeypatch):
    monkeypatch.setattr(doctor, "ffmpeg_path", lambda: "/no/such/ffmpeg")
    ended = reelmill("doctor")
    assert ended.code == 1
    assert "to do: ffmpeg: " in ended.out
    assert "/no/such/ffmpeg" in ended.out


@pytest.mark.usefixtures("unloaded")
def test_a_place_without_room_and_an_output_that_is_a_file_are_problems(
    reelmill, monkeypatch, tmp_path
):
    monkeypatch.setattr(doctor, "_MIN_FREE_GIB", 1e9)
    (tmp_path / "file").write_text("")
    ended = reelmill("doctor", tmp_path / "file")
    assert ended.code == 1
    problems = [line.split(":")[1].strip() for line in ended.out.splitlines() if "to do" in line]
    assert problems == ["memory", "temporary files", "output"]


@pytest.mark.usefixtures("unloaded")
def test_a_missing_guard_is_shown(reelmill, monkeypatch):
    sandbox.confinement.cache_clear()
    monkeypatch.setattr(confinement, "landlock_abi", lambda: 0)
    try:
        ended = reelmill("doctor")
    finally:
        sandbox.confinement.cache_clear()
    text = " ".join(ended.out.split())
    assert ended.code == 0
    assert "not here: Landlock" in text
    assert "sandbox.require=strict would refuse to run" in text


@pytest.mark.slow
def test_strict_stops_a_run_that_can_be_resumed_elsewhere(reelmill, curated, tmp_path, monkeypatch):
    scan = ("scan", curated.videos, "--out", tmp_path / "out", *curated.options)
    strict = ("--set", "sandbox.require=strict")
    sandbox.confinement.cache_clear()
    monkeypatch.setattr(confinement, "landlock_abi", lambda: 0)
    try:
        ended = reelmill(*scan, *strict)
    finally:
        monkeypatch.undo()
        sandbox.confinement.cache_clear()
    assert ended.code == 4
    assert "sandbox.require is strict, and here is no landlock: take a kernel" in ended.err
    assert "or set sandbox.require=available; `reelmill doctor` says what holds" in ended.err
    if not sandbox.confinement().missing:
        assert reelmill(*scan, *strict).code == curated.ended.code
