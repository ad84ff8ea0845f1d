"""A curated output written row by row; its renders are made-up bytes, which nothing decodes."""

import hashlib
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from curation import records
from curation.dataset import Dataset
from curation.records import Caption, Clip, Render, Verdict
from tests.rows import MeasuredClip, add_run, add_source, make_clip
from tests.tokenizer.feed.tables import add_shards, token_row

RENDERS = "renders/encode-1"
FACTS = "captions/facts"
SELECTION = "5e1ec7"
KEPT = 7
"""Clips that have all parts: 4 of the first source and 3 of the second."""


@dataclass(frozen=True)
class Output:
    """An output and its clips."""

    place: Path
    clips: list[Clip]

    def media(self, clip_id: str) -> Path:
        """Where a clip's render lies."""
        return self.place / path_of(clip_id)


def path_of(clip_id: str) -> str:
    return f"{RENDERS}/media/{clip_id}.mp4"


def render_of(clip: Clip, content: bytes) -> Render:
    return Render(
        clip.clip_id, clip.source_id, "rendered", mode="encode", path=path_of(clip.clip_id),
        sha256=hashlib.sha256(content).hexdigest(), size_bytes=len(content), codec="h264",
        width=96, height=64, fps=24.0, frames=26, audio=False,
    )  # fmt: skip


def content_of(number: int) -> bytes:
    """The bytes of a clip's render: 20 kB and more."""
    return hashlib.sha256(str(number).encode()).digest() * (625 + number)


def make_output(place: Path) -> Output:
    """Two sources; the third clip was filtered, and clips have two windows of tokens each."""
    dataset = Dataset(place)
    listed = [make_clip(f"source{n // 4}", 100 * n, 100 * n + 24) for n in range(8)]
    looks = [MeasuredClip(clip, scores={"motion": n / 8}) for n, clip in enumerate(listed)]
    add_source(dataset, "s3://raw/a.mp4", looks[:4], extra={"licence": "CC-BY-4.0", "city": "Köln"})
    add_source(dataset, "/videos/b.mp4", looks[4:], extra={"License": "CC0", "camera": "left"})
    verdicts = [
        Verdict(SELECTION, clip.clip_id, clip.source_id, "filtered" if n == 2 else "kept",
                "blurred" if n == 2 else None)
        for n, clip in enumerate(listed)
    ]  # fmt: skip
    dataset.catalog.append("selection", Verdict, records.to_table(Verdict, verdicts))
    add_run(dataset, "select", SELECTION)
    output = Output(place, listed)
    for n, clip in enumerate(listed):
        output.media(clip.clip_id).parent.mkdir(parents=True, exist_ok=True)
        output.media(clip.clip_id).write_bytes(content_of(n))
    renders = [render_of(clip, content_of(n)) for n, clip in enumerate(listed)]
    dataset.catalog.append(RENDERS, Render, records.to_table(Render, renders))
    said = [Caption(clip.clip_id, clip.source_id, f"clip {n}") for n, clip in enumerate(listed)]
    dataset.catalog.append(FACTS, Caption, records.to_table(Caption, said))
    rows = [
        token_row(
            n, window, (3 - window, 2, 4), clip_id=clip.clip_id, source_id=clip.source_id,
            fps=24.0,
        )
        for n, clip in enumerate(listed)
        for window in range(2)
    ]  # fmt: skip
    add_shards(place, [rows[:6], rows[6:]], group_bytes=500)
    return output


@pytest.fixture(scope="session")
def output(tmp_path_factory) -> Output:
    """Nothing writes to it."""
    return make_output(tmp_path_factory.mktemp("output"))


@pytest.fixture
def copy_output(output) -> Callable[[Path], Output]:
    """Copies the output into a folder, to change it there."""
    return lambda place: Output(
        shutil.copytree(output.place, place, dirs_exist_ok=True), output.clips
    )
