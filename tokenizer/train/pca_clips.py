"""Fits a PCA tokenizer to rendered clips."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

import numpy as np

from curation.dataset import Dataset
from curation.errors import PrerequisiteError
from curation.media.clip_reader import ClipReader, read_rendered_file
from curation.records import Render
from curation.storage import Storage
from tokenizer.models.interface import Compression, Video
from tokenizer.models.pca import PcaTokenizer
from tokenizer.tokenize.windows import fit_size, pad_video, split_windows
from tokenizer.train.pca_fit import fit_pca
from tokenizer.train.renders import encoded_renders


def clip_windows(
    clips: Iterable[ClipReader], rate: Compression, per_clip: int = 4
) -> Iterator[Video]:
    """Up to `per_clip` unpadded windows of each clip, evenly spaced; none of clips too short."""
    for clip in clips:
        full = [window for window in split_windows(len(clip), rate.time) if not window.pad_frames]
        for index in sorted({round(i) for i in np.linspace(0, len(full) - 1, per_clip)}):
            if full:
                start = full[index].start_frame
                video = clip.read(range(start, start + full[index].frames))
                yield pad_video(video, 0, *(-side % rate.space for side in video.shape[1:3]))


def fit_from_clips(
    clips: Iterable[ClipReader], rate: Compression, card: Mapping[str, str] | None = None
) -> PcaTokenizer:
    """A tokenizer fitted to rendered clips."""
    return fit_pca(clip_windows(clips, rate), rate, card=card)


def fit_on_output(
    dataset: Dataset,
    rate: Compression,
    short_side: int,
    max_clips: int,
    selection: str | None = None,
) -> PcaTokenizer:
    """A tokenizer fitted to at most `max_clips` rendered clips of an output, evenly spaced.

    `selection` says whose kept clips, as in `encoded_renders`. Raises `PrerequisiteError` if none
    was encoded.
    """
    renders = encoded_renders(dataset, selection)
    if not renders:
        raise PrerequisiteError("no encoded clips to fit on; run `reelmill render` first")
    sample = renders[:: -(-len(renders) // max_clips)]
    card = {"data": f"{len(sample)} rendered clips", "licence": "that of the clips"}
    return fit_from_clips(
        _open_clips(sample, dataset.catalog.storage, rate, short_side), rate, card=card
    )


def _open_clips(
    renders: Iterable[Render], storage: Storage, rate: Compression, short_side: int
) -> Iterator[ClipReader]:
    for render in renders:
        size = fit_size(render.width or 1, render.height or 1, short_side, rate)
        with storage.local_path(render.path or "") as path:
            data = read_rendered_file(path, render.sha256, render.size_bytes)
            yield ClipReader(data, width=size.width, height=size.height, frames=render.frames or 0)
