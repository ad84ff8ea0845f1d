"""Labels clips by their stored vectors: zero-shot classes, safety, and an aesthetic score.

A group holds labels that exclude each other, each described by a few prompts. As in CLIP (Radford
et al., 2021) a label's vector is the mean of its prompts' vectors; a clip's scores in the group are
the softmax of its similarities at the model's own scale. A label holds if its score reaches its
threshold. Safety is such a group too: prompts for what is unwanted and for what is harmless. No
video is opened: the vectors are those that `OpenClip` stored.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections import Counter
from collections.abc import Iterator

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from curation import records
from curation.dataset import Dataset
from curation.dedup.vectors import unpack
from curation.embed.clip_embedder import TABLE_PREFIX, mean_pool
from curation.embed.open_clip import Checkpoint, ClipModel, Features, ModelError, find_checkpoint
from curation.label.aesthetic import AestheticHead
from curation.label.columns import AESTHETIC
from curation.label.label_file import Labels
from curation.records import ClipLabel, Embedding

_BATCH_ROWS = 8192


def label_clips(dataset: Dataset, labels: Labels) -> tuple[str, Counter[str]]:
    """Labels the clips that have none of these yet; the table, and how often each label holds.

    Raises `ModelError` where the model or the head is unavailable or has embedded no clip.
    """
    dataset = dataset.snapshot()
    checkpoint = find_checkpoint(labels.model)
    head = AestheticHead.load(labels.aesthetic.head) if labels.aesthetic else None
    table = f"labels/{labels.name}-{_digest(labels, checkpoint, head)}"
    vectors = dataset.side_table(_vector_table(dataset, checkpoint, labels.model), Embedding)
    done = dataset.catalog.values(table, ClipLabel, "clip_id")
    is_done = pc.is_in(vectors["clip_id"], pa.array(sorted(done), pa.string()))
    new = vectors.filter(pc.invert(is_done))
    if new.num_rows:
        classifier = _Classifier(labels, ClipModel(checkpoint, "cpu", "fp32"), head)
        with dataset.catalog.writer("label", {table: ClipLabel}) as writer:
            for start in range(0, new.num_rows, _BATCH_ROWS):
                rows = list(classifier.rows(new.slice(start, _BATCH_ROWS)))
                writer.append(table, records.to_table(ClipLabel, rows))
    holding = dataset.side_table(table, ClipLabel).filter(pc.field("holds"))
    return table, Counter(holding["label"].to_pylist())


def _vector_table(dataset: Dataset, checkpoint: Checkpoint, model: str) -> str:
    prefix = f"embeddings/{TABLE_PREFIX}{checkpoint.digest}"
    for name in dataset.catalog.names("embeddings"):
        if name == prefix or name.startswith(f"{prefix}-"):
            return name
    raise ModelError(
        f"no clip is embedded with {model}: add `OpenClip: {{model: {model}}}` to scan.embedders "
        "and run `reelmill scan` again"
    )


def _digest(labels: Labels, checkpoint: Checkpoint, head: AestheticHead | None) -> str:
    content = {
        "groups": {
            group: {name: dataclasses.asdict(label) for name, label in members.items()}
            for group, members in labels.groups.items()
        },
        "model": checkpoint.digest,
        "head": head and head.digest,
        "threshold": labels.aesthetic and labels.aesthetic.threshold,
    }
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:8]


class _Classifier:
    """Scores vectors by every group and by the head."""

    def __init__(self, labels: Labels, model: ClipModel, head: AestheticHead | None) -> None:
        self._labels = labels
        self._head = head
        self._model = model
        self._text_vectors = {
            group: np.stack([mean_pool(model.encode_texts(m.prompts)) for m in members.values()])
            for group, members in labels.groups.items()
        }

    def rows(self, vectors: pa.Table) -> Iterator[ClipLabel]:
        """A row for each clip and label; none for clips whose vector is zero."""
        features = unpack(vectors["vector"].to_pylist(), self._model.dim)
        nonzero = np.flatnonzero(np.abs(features).sum(axis=1))
        ids = [(vectors["clip_id"][i].as_py(), vectors["source_id"][i].as_py()) for i in nonzero]
        for name, threshold, scores in self._scores(features[nonzero]):
            for (clip_id, source_id), score in zip(ids, scores.tolist(), strict=True):
                yield ClipLabel(clip_id, source_id, name, round(score, 5), score >= threshold)

    def _scores(self, features: Features) -> Iterator[tuple[str, float, Features]]:
        """Name, threshold and scores [n] of every label."""
        for group, members in self._labels.groups.items():
            similarity = features @ self._text_vectors[group].T
            shares = _softmax(similarity * np.float32(self._model.scale))
            for column, (name, label) in enumerate(members.items()):
                yield f"{group}/{name}", label.threshold, shares[:, column]
        if self._head is not None and self._labels.aesthetic is not None:
            yield AESTHETIC, self._labels.aesthetic.threshold, self._head.score(features)


def _softmax(scores: Features) -> Features:
    powers = np.exp(scores - scores.max(axis=1, keepdims=True))
    return np.asarray(powers / powers.sum(axis=1, keepdims=True), np.float32)
