"""What labels say of clips (`reelmill label`), as a policy asks for it."""

from __future__ import annotations

import difflib
from collections.abc import Sequence

import pyarrow.compute as pc

from curation.dataset import Dataset
from curation.records import ClipLabel
from curation.select.policy import LabelRules


def unwanted(dataset: Dataset, rules: LabelRules, ids: Sequence[str]) -> list[str | None]:
    """For each clip what labels say against it, or None; a clip without labels breaks nothing.

    `ValueError` for a label that no table or more than one of them has.
    """
    holds: dict[str, set[str]] = {}
    asked: dict[str, set[str]] = {}
    for name, table in _tables(dataset, rules).items():
        rows = dataset.side(table, ClipLabel).filter(pc.field("label") == name)
        pairs = zip(rows["clip_id"].to_pylist(), rows["holds"].to_pylist(), strict=True)
        for clip, held in pairs:
            asked.setdefault(clip, set()).add(name)
            if held:
                holds.setdefault(clip, set()).add(name)
    return [_against(rules, asked.get(clip, set()), holds.get(clip, set())) for clip in ids]


def _against(rules: LabelRules, asked: set[str], holds: set[str]) -> str | None:
    if denied := holds & set(rules.deny):
        return ", ".join(sorted(denied))
    wanted = set(rules.allow or ())
    if asked & wanted and not holds & wanted:
        return f"none of {', '.join(sorted(wanted))}"
    return None


def _tables(dataset: Dataset, rules: LabelRules) -> dict[str, str]:
    """The table that has each label of the rules."""
    names = dataset.catalog.names("labels")
    fitting = [n for n in names if rules.table is None or n.startswith(f"labels/{rules.table}")]
    known = {name: dataset.catalog.values(name, ClipLabel, "label") for name in fitting}
    found = {}
    for label in (*(rules.allow or ()), *rules.deny):
        having = [name for name, labels in known.items() if label in labels]
        if not having:
            every = sorted(set().union(*known.values()))
            near = difflib.get_close_matches(label, every, 1)
            hint = f"did you mean {near[0]!r}?" if near else "run `reelmill label` first"
            raise ValueError(f"policy: no clip was labelled {label!r}; {hint}")
        if len(having) > 1:
            both = " and ".join(having)
            raise ValueError(f"policy: {label!r} is in {both}; name one as policy.labels.table")
        found[label] = having[0]
    return found
