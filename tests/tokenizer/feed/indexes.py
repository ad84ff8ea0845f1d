"""Indexes that no table lies behind."""

from collections.abc import Sequence

import numpy as np
import pyarrow as pa

from tokenizer.feed.sample_index import Bucket, SampleIndex
from tokenizer.feed.sequence_window import Shape


def bucket_of(counts: Sequence[int], shape: Shape = (3, 2, 4), per_file: int = 5) -> Bucket:
    """Row groups with these counts of samples, `per_file` to a file."""
    array = np.array(counts, np.uint8)
    first = np.append(np.arange(0, len(array), per_file), len(array)).astype(np.uint32)
    files = np.arange(len(first) - 1, dtype=np.uint32)
    return Bucket(shape, files, first, array, int(array.sum()))


def index_of(*buckets: Bucket) -> SampleIndex:
    """An index of these buckets."""
    files = max(len(bucket.files) for bucket in buckets)
    names = pa.array([f"{at}.parquet" for at in range(files)])
    samples = sum(bucket.samples for bucket in buckets)
    return SampleIndex(names, np.full(files, 1000), buckets, None, samples, 0, 0)
