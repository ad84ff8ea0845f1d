"""Black bars: the crop inside them, and cropped renders."""

import dataclasses

import av
import numpy as np
import pytest
from PIL import Image

from curation import records
from curation.dataset import Dataset
from curation.listing import list_videos
from curation.media.picture_edits import Crop, crop_bars
from curation.records import Render
from curation.render.stage import RenderClips
from curation.render.step import RenderStep
from curation.sample import Coding
from curation.sample.encode import encode
from curation.sample.texture import noise
from curation.scan.shots import FixedWindows
from curation.scan.stage import Scan
from curation.scan.step import ScanStep
from curation.scores import SCORES, AnalysisFrame
from curation.select.policy import Policy
from curation.select.selection import select
from pipelines.run.engine import in_process
from pipelines.run.step_runner import Progress, run_step

SIZE = (320, 240)
BAR = 36


@pytest.mark.parametrize(
    ("shares", "crop"),
    [
        ((0.15, 0.15, 0.0, 0.0), Crop(0, 37, 320, 166)),
        ((0.0, 0.0, 0.25, 0.125), Crop(81, 0, 198, 240)),
        ((0.005, 0.0, 0.0, 0.0), None),
        ((None,) * 4, None),
    ],
)
def test_bars_are_widened_by_one_pixel_of_the_measured_picture(shares, crop):
    assert crop_bars(shares, *SIZE) == crop


def test_one_measured_pixel_is_several_of_a_large_picture():
    assert str(crop_bars((0.125, 0.125, 0, 0), 1920, 1080)) == "1920x798+0+141"


def picture(index: int, boxed: bool) -> Image.Image:
    """A texture that moves, with or without bars above and below."""
    field = np.roll((noise(3, (240, 320), cell=40) * 190 + 50).astype(np.uint8), 3 * index, axis=1)
    if boxed:
        field[:BAR] = field[-BAR:] = 0
    return Image.fromarray(np.repeat(field[..., None], 3, axis=2))


@pytest.fixture(scope="module")
def dataset(tmp_path_factory):
    """A letterboxed source and one without bars, scanned and all kept."""
    folder = tmp_path_factory.mktemp("boxed")
    for name, boxed, coding in (
        ("boxed.mp4", True, Coding()),
        ("turned.mp4", True, Coding(rotation=90)),
        ("whole.mp4", False, Coding()),
    ):
        pictures = [picture(index, boxed) for index in range(24)]
        encode(folder / "v" / name, pictures, fps=24, coding=coding)
    dataset = Dataset(folder / "out")
    stage = Scan(shots=FixedWindows(), scores=(SCORES["Borders"](),))
    run_step(
        ScanStep(dataset.catalog, stage, list_videos([str(folder / "v")]).entries),
        in_process(),
        Progress(),
    )
    select(dataset, Policy(near_duplicates=None))
    return dataset


def rendered(dataset, **settings) -> dict[str, Render]:
    stage = RenderClips(output=dataset.catalog.storage.root, **settings)
    step = RenderStep(dataset, stage, dataset.latest_selection() or _only(dataset))
    tally = Progress()
    run_step(step, in_process(), tally)
    assert tally.counts == {"rendered": 3}
    names = dict(zip(*(dataset.clips()[c].to_pylist() for c in ("clip_id", "uri")), strict=True))
    rows = records.from_table(Render, dataset.catalog.read(step.result, Render))
    return {names[row.clip_id].rsplit("/", 1)[-1]: row for row in rows}


def _only(dataset) -> str:
    (selection,) = {
        *dataset.catalog.open("selection").to_pyarrow_table()["selection_id"].to_pylist()
    }
    return selection


def middle_frame(dataset, render: Render) -> np.ndarray:
    """The middle frame of a render."""
    with av.open(dataset.catalog.storage.uri(render.path)) as container:
        frames = [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]
    assert len(frames) == render.frames == 24
    return frames[12]


def test_renders_are_cropped_to_inside_the_bars_and_record_it(dataset):
    renders = rendered(dataset, crop="bars")
    for name in ("boxed.mp4", "turned.mp4"):
        crop = renders[name]
        assert crop.crop == "320x166+0+37"
        assert (crop.width, crop.height) == (320, 166)
        frame = middle_frame(dataset, crop)
        assert frame.shape == (166, 320, 3)
        assert AnalysisFrame.from_rgb(frame).bars == (0, 0, 0, 0)
        inner = np.asarray(picture(12, True))[37:203, ..., 0].astype(float)
        assert np.abs(frame[..., 0] - inner).mean() < 4
    whole = renders["whole.mp4"]
    assert (whole.crop, whole.width, whole.height) == (None, 320, 240)


def test_without_the_option_nothing_is_cropped(dataset):
    renders = rendered(dataset)
    assert {(row.crop, row.height) for row in renders.values()} == {(None, 240)}
    assert RenderClips().profile != RenderClips(crop="bars").profile


def test_packets_are_copied_only_where_nothing_is_cropped(dataset):
    renders = rendered(dataset, crop="bars", mode="copy")
    assert {name: row.mode for name, row in renders.items()} == {
        "boxed.mp4": "encode", "turned.mp4": "encode", "whole.mp4": "copy",
    }  # fmt: skip


def test_spans_cannot_be_cropped_and_bars_have_to_be_measured(tmp_path, dataset):
    with pytest.raises(ValueError, match="crop and blur_faces need files"):
        RenderClips(mode="span", crop="bars")
    step = RenderStep(dataset, RenderClips(crop="bars"), _only(dataset))
    bare = dataclasses.replace(step, dataset=_without_borders(dataset, tmp_path))
    with pytest.raises(ValueError, match="no bars were measured; add Borders"):
        bare.todo()


def _without_borders(dataset, folder) -> Dataset:
    import shutil

    shutil.copytree(dataset.catalog.storage.root, folder / "out")
    shutil.rmtree(folder / "out" / "scores" / "borders")
    for renders in (folder / "out").glob("renders/*"):
        shutil.rmtree(renders)
    return Dataset(folder / "out")
