"""Whether the tokens of a shard fit what its rows state, without a tokenizer."""

from __future__ import annotations

import json
import math

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from curation.storage import Storage, one_line
from tokenizer.feed.errors import BadShardError
from tokenizer.feed.indexer import SHAPE_COLUMNS
from tokenizer.feed.row_group import HEADS, RowGroup
from tokenizer.feed.sequence_window import Samples


def check_shard(storage: Storage, path: str) -> None:
    """Raises `BadShardError` for a file, by its path in the storage, with tokens that cannot be.

    Every row has to have as many codes and latents as its shape says, codes within the codebook,
    and finite latents. Raises `FileNotFoundError` for a file that is missing.
    """
    try:
        with storage.filesystem.open_input_file(storage.path(path)) as source:
            file = pq.ParquetFile(source)
            levels = (file.schema_arrow.metadata or {}).get(b"levels")
            codebook_size = math.prod(json.loads(levels)) if levels else None
            for group in range(file.num_row_groups):
                rows = file.read_row_group(group, [*HEADS, *SHAPE_COLUMNS, "channels"])
                name = f"{path}, row group {group}"
                RowGroup(name, rows, _NO_SAMPLES, codebook_size or None).check()
    except FileNotFoundError:
        raise
    except (OSError, pa.ArrowException, ValueError, TypeError) as error:
        raise BadShardError(f"{path}: {one_line(error)}") from error


_NO_SAMPLES = Samples(*(np.zeros(0, np.int64) for _ in range(3)))
