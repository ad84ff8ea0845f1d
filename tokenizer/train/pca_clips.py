"""Fitting a PCA tokenizer to rendered clips."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

import numpy as np

from curation.dataset import Dataset
from curation.media.clip_reader import ClipReader
from curation.records import Render
from curation.storage import Storage
from tokenizer.models.interface import Rate, Video
from tokenizer.models.pca import PcaTokenizer
from tokenizer.tokenize.windows import fitted, padded, split
from tokenizer.train.pca_fit import fit
from tokenizer.train.renders import encoded


def clip_windows(clips: Iterable[ClipReader], rate: Rate, per_clip: int = 4) -> Iterator[Video]:
    """Up to `per_clip` whole windows of each clip, spread evenly; clips too short give none."""
    for clip in clips:
        whole = [window for window in split(len(clip), rate.time) if not window.pad_frames]
        for index in sorted({round(i) for i in np.linspace(0, len(whole) - 1, per_clip)}):
            if whole:
                start = whole[index].start_frame
                video = clip.read(range(start, start + whole[index].frames))
                yield padded(video, 0, *(-side % rate.space for side in video.shape[1:3]))


def fit_from_clips(
    clips: Iterable[ClipReader],
    rate: Rate,
    *,
    per_clip: int = 4,
    seed: int = 0,
    card: Mapping[str, str] | None = None,
) -> PcaTokenizer:
    """A tokenizer fitted to rendered clips."""
    return fit(clip_windows(clips, rate, per_clip), rate, seed=seed, card=card)


def fit_on_output(
    dataset: Dataset, rate: Rate, short_side: int, most: int, selection: str | None = None
) -> PcaTokenizer:
    """A tokenizer fitted to rendered clips of an output, evenly chosen and at most so many.

    `selection` says whose kept clips, as `Dataset.selected` takes it. Raises `ValueError` if there
    are none that we encoded.
    """
    renders = encoded(dataset, selection)
    if not renders:
        raise ValueError("no encoded clips to fit on; run `reelmill render` first")
    chosen = renders[:: -(-len(renders) // most)]
    card = {"data": f"{len(chosen)} rendered clips", "licence": "that of the clips"}
    return fit_from_clips(
        _opened(chosen, dataset.catalog.storage, rate, short_side), rate, card=card
    )


def _opened(
    renders: Iterable[Render], storage: Storage, rate: Rate, short_side: int
) -> Iterator[ClipReader]:
    for render in renders:
        size = fitted(render.width or 1, render.height or 1, short_side, rate)
        with storage.local(render.path or "") as path:
            yield ClipReader(path, width=size.width, height=size.height, frames=render.frames or 0)
