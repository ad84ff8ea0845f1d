"""Labels of clips from their stored vectors: zero-shot classes, safety, and an aesthetic score.

A group holds labels that exclude each other, each described by a few prompts. As in CLIP (Radford
et al., 2021) a label's vector is the mean of its prompts' vectors; a clip's scores in the group are
the softmax of its similarities at the model's own scale. A label whose score reaches its threshold
holds. Safety is such a group as well: what is unwanted, beside prompts for what is harmless. No
video is opened: the vectors are those that `OpenClip` stored.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from curation import records
from curation.dataset import Dataset
from curation.dedup.vectors import unpack
from curation.embed.clip_embedder import TABLE_PREFIX
from curation.embed.open_clip import Checkpoint, Features, ClipModel, ModelError, find_checkpoint
from curation.label.aesthetic import AestheticHead
from curation.records import ClipLabel, Embedding

AESTHETIC = "aesthetic"
"""The label of the aesthetic score."""
_AT_ONCE = 8192


@dataclass(frozen=True)
class Label:
    """One label of a group."""

    prompts: tuple[str, ...]
    """What pictures of it show, each a phrase such as `a photo of a street at night`."""
    threshold: float = 0.5
    """From which share of the group, 0–1, it holds."""


@dataclass(frozen=True)
class Aesthetic:
    """A head that says how pleasing a picture is."""

    head: str
    """File of a linear head or of LAION's five-layer one (.safetensors, or .pth)."""
    threshold: float = 5.0
    """From which score the label `aesthetic` holds; LAION's heads give about 1–10."""


@dataclass(frozen=True)
class Labels:
    """All labels of one file."""

    name: str
    """Begins the name of their table."""
    model: str
    """The model whose vectors are read, as `OpenClip` names it."""
    groups: Mapping[str, Mapping[str, Label]] = field(default_factory=dict)
    """Groups by name, and in each its labels by name."""
    aesthetic: Aesthetic | None = None
    """Scores how pleasing clips are, if given."""

    def __post_init__(self) -> None:
        for group, labels in self.groups.items():
            if len(labels) < 2:
                raise ValueError(f"group {group!r} needs two labels or more, for shares to mean it")
            for name, label in labels.items():
                if not label.prompts or not all(prompt.strip() for prompt in label.prompts):
                    raise ValueError(f"label {group}/{name} needs prompts with words in them")
                if not 0 <= label.threshold <= 1:
                    raise ValueError(f"{group}/{name}: a threshold lies in 0–1")


def label_clips(dataset: Dataset, labels: Labels) -> tuple[str, Counter[str]]:
    """Labels the clips that have none of these yet; the table, and how often each label holds.

    Raises `ModelError` where the model or the head is not to be had or has embedded no clip.
    """
    checkpoint = find_checkpoint(labels.model)
    head = AestheticHead.load(labels.aesthetic.head) if labels.aesthetic else None
    table = f"labels/{labels.name}-{_digest(labels, checkpoint, head)}"
    vectors = dataset.side_table(_vectors(dataset, checkpoint, labels.model), Embedding)
    known = dataset.catalog.values(table, ClipLabel, "clip_id")
    new = vectors.filter(
        pc.invert(pc.is_in(vectors["clip_id"], pa.array(sorted(known), pa.string())))
    )
    if new.num_rows:
        judge = _Judge(labels, ClipModel(checkpoint, "cpu", "fp32"), head)
        with dataset.catalog.writer("label", {table: ClipLabel}) as writer:
            for start in range(0, new.num_rows, _AT_ONCE):
                rows = list(judge.rows(new.slice(start, _AT_ONCE)))
                writer.append(table, records.to_table(ClipLabel, rows))
    held = dataset.side_table(table, ClipLabel).filter(pc.field("holds"))
    return table, Counter(held["label"].to_pylist())


def _vectors(dataset: Dataset, checkpoint: Checkpoint, model: str) -> str:
    """The table of the model's vectors."""
    begin = f"embeddings/{TABLE_PREFIX}{checkpoint.digest}"
    for name in dataset.catalog.names("embeddings"):
        if name == begin or name.startswith(f"{begin}-"):
            return name
    raise ModelError(
        f"no clip is embedded with {model}: add `OpenClip: {{model: {model}}}` to scan.embedders "
        "and run `reelmill scan` again"
    )


def _digest(labels: Labels, checkpoint: Checkpoint, head: AestheticHead | None) -> str:
    said = {
        "groups": {
            group: {name: dataclasses.asdict(each) for name, each in inside.items()}
            for group, inside in labels.groups.items()
        },
        "model": checkpoint.digest,
        "head": head and head.digest,
        "threshold": labels.aesthetic and labels.aesthetic.threshold,
    }
    return hashlib.sha256(json.dumps(said, sort_keys=True).encode()).hexdigest()[:8]


class _Judge:
    """Scores vectors by every group and by the head."""

    def __init__(self, labels: Labels, model: ClipModel, head: AestheticHead | None) -> None:
        self._labels = labels
        self._head = head
        self._dim = model.dim
        self._scale = model.scale
        self._texts = {
            group: np.stack([_mean(model.encode_texts(each.prompts)) for each in inside.values()])
            for group, inside in labels.groups.items()
        }

    def rows(self, vectors: pa.Table) -> Iterator[ClipLabel]:
        """A row for each clip and label; a clip without a picture in it has none."""
        features = unpack(vectors["vector"].to_pylist(), self._dim)
        seen = np.flatnonzero(np.abs(features).sum(axis=1))
        ids = [(vectors["clip_id"][i].as_py(), vectors["source_id"][i].as_py()) for i in seen]
        for name, threshold, scores in self._scores(features[seen]):
            for (clip, source), score in zip(ids, scores.tolist(), strict=True):
                yield ClipLabel(clip, source, name, round(score, 5), score >= threshold)

    def _scores(self, features: Features) -> Iterator[tuple[str, float, Features]]:
        for group, inside in self._labels.groups.items():
            shares = _softmax(features @ self._texts[group].T * np.float32(self._scale))
            for column, (name, each) in enumerate(inside.items()):
                yield f"{group}/{name}", each.threshold, shares[:, column]
        if self._head is not None and self._labels.aesthetic is not None:
            yield AESTHETIC, self._labels.aesthetic.threshold, self._head.score(features)


def _mean(vectors: Features) -> Features:
    mean = vectors.mean(axis=0)
    return np.asarray(mean / np.linalg.norm(mean), np.float32)


def _softmax(scores: Features) -> Features:
    powers = np.exp(scores - scores.max(axis=1, keepdims=True))
    return np.asarray(powers / powers.sum(axis=1, keepdims=True), np.float32)


def table_stem(path: str | Path) -> str:
    """The name of a file of labels as the beginning of a table's name."""
    kept = "".join(c if c.isalnum() or c in "-_" else "-" for c in Path(path).stem)
    return kept or "labels"
