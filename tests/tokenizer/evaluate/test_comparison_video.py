import av
import numpy as np
import pytest

from tokenizer.evaluate.clip_metrics import ClipMetrics
from tokenizer.evaluate.comparison_video import comparison_video, frames_per_clip

LABEL = 18


@pytest.fixture
def metrics(clip_of, pattern):
    def make(video, **made):
        clip = clip_of(pattern(1))
        shown = {(name, "codes"): other for name, other in made.items()}
        return ClipMetrics(clip, [], {}, {}, np.zeros((0, 0)), shown, video)

    return make


def frames(path):
    with av.open(str(path)) as container:
        rate = container.streams.video[0].average_rate
        return rate, np.stack([f.to_ndarray(format="rgb24") for f in container.decode(video=0)])


def flat(count, height, width, value):
    return np.full((count, height, width, 3), value, np.uint8)


def test_source_reconstruction_and_difference_are_side_by_side(tmp_path, metrics):
    wide, tall = (flat(n, h, w, 100) for n, h, w in ((3, 72, 128), (2, 72, 36)))
    with comparison_video(tmp_path / "c.mp4", rows=2, short_side=72, fps=12) as show:
        show(metrics(wide, a=wide + 10, b=wide + 40))
        show(metrics(tall, a=tall + 10, b=tall + 40))
    rate, seen = frames(tmp_path / "c.mp4")
    assert rate == 12
    assert seen.shape == (5, 2 * (72 + LABEL), 3 * 128, 3)
    for row, values in enumerate(((100, 110, 40), (100, 140, 160))):
        top = row * (72 + LABEL) + LABEL
        for column, value in enumerate(values):
            cell = seen[:, top + 4 : top + 68, column * 128 : column * 128 + 128].astype(int)
            assert np.abs(cell[:3, :, 4:-4] - value).max() <= 4
            assert np.abs(cell[3:, :, 50:78] - value).max() <= 4
            assert cell[3:, :, :40].max() <= 24
            assert cell[3:, :, 88:].max() <= 24
        assert seen[:, top - LABEL : top - 2, :60].max() > 150  # letters


def test_many_rows_shrink_the_cells(tmp_path, metrics):
    video = flat(1, 256, 455, 200)
    names = {f"t{place}": video for place in range(12)}
    with comparison_video(tmp_path / "c.mp4", rows=12, short_side=256, fps=24) as show:
        show(metrics(video, **names))
    _, seen = frames(tmp_path / "c.mp4")
    assert seen.shape == (1, 12 * (162 + LABEL), 3 * 288, 3)
    assert np.abs(seen[0, LABEL + 4 : LABEL + 158, 4:284].astype(int) - 200).max() <= 4


@pytest.mark.parametrize(("clips", "expected"), [(1, 98), (15, 98), (30, 50), (1000, 25)])
def test_about_a_minute_is_shown(clips, expected):
    assert frames_per_clip(clips) == expected


def test_a_file_that_cannot_be_written_says_why(tmp_path, metrics):
    video = flat(2, 72, 128, 100)
    with (
        pytest.raises(OSError, match=r"c\.nothing: "),
        comparison_video(tmp_path / "c.nothing", rows=1, short_side=72, fps=12) as show,
    ):
        show(metrics(video, a=video))
