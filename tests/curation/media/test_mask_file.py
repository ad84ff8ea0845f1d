"""A mask blurs the frame it was made for, at any frame rate."""

from pathlib import Path

import av
import numpy as np
import pytest

from curation.media.cut import TICK, Span
from curation.media.encode import EncodeJob, Encoding, encode
from curation.media.picture_edits import MaskFile, PictureEdits, write_masks
from curation.media.sandbox import Limits
from curation.media.span_reader import read_span
from curation.sample import Coding

SOURCES = {
    "varies.mp4": Coding(slow_from=33, b_frames=2),
    "some_times.avi": Coding("mpeg4", b_frames=2),
    "raw.h264": Coding(b_frames=2),
}
MASKED = 12
"""The frame of the span that is covered completely."""


@pytest.mark.parametrize("fps", [None, 10.0, 60.0])
@pytest.mark.parametrize("name", SOURCES)
def test_a_mask_blurs_its_own_frame(name, fps, made, scan_spans, tmp_path):
    path = made(name, 72, SOURCES[name])
    result = scan_spans(path, (24, 60))
    span = Span.of(result.clips[0], result.source)
    masks = np.zeros((span.frames, 18, 32), np.uint8)
    masks[MASKED] = 255
    _, times = read_span(str(path), span, 64, 36, Limits())
    pts, tick = span.frame_ticks, TICK
    if span.has_container_times:
        pts, tick = [p - times.pts[0] for p in times.pts], times.tick
    write_masks(str(tmp_path / "masks.nut"), masks, pts, tick)
    edits = PictureEdits((320, 180), None, MaskFile(str(tmp_path / "masks.nut"), 90))
    target = str(tmp_path / "clip.mp4")
    job = EncodeJob(target, span, (320, 180), edits=edits)
    encoded = encode(str(path), job, Encoding(fps=fps), Limits())
    shown = encoded.source_frames or tuple(range(24, 60))
    with av.open(str(Path(target))) as container:
        frames = [frame.to_ndarray(format="gray") for frame in container.decode(video=0)]
    detail = [float(np.abs(np.diff(frame.astype(int), axis=1)).mean()) for frame in frames]
    blurred = [number for number, value in zip(shown, detail, strict=True)
               if value < 0.5 * np.median(detail)]  # fmt: skip
    assert blurred == [number for number in shown if number == 24 + MASKED]
    assert blurred or fps == 10.0
