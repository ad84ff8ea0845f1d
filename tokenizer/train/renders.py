"""The renders of an output to fit, train and evaluate on."""

from __future__ import annotations

import pyarrow.compute as pc

from curation import lineage, records
from curation.dataset import Dataset
from curation.records import Render


def encoded_renders(dataset: Dataset, selection: str | None = None) -> list[Render]:
    """The renders that were encoded (not copied) of a selection's kept clips, by clip id.

    They are of the profile that was rendered last; where no run records it, each clip counts once.
    `selection` is that of `Dataset.resolve_selection`: the newest if None.
    `UnknownSelectionError` for an unknown one.
    """
    catalog, selection_id = dataset.catalog, dataset.resolve_selection(selection)
    newest = lineage.current_renders(catalog, selection_id)
    names = [newest] if newest else lineage.newest_first(catalog, "renders", selection_id)
    condition = (pc.field("outcome") == "rendered") & (pc.field("mode") == "encode")
    if selection_id is not None:
        condition &= pc.field("clip_id").isin(dataset.kept_clip_ids(selection_id).combine_chunks())
    renders = {
        render.clip_id: render
        for name in reversed(names)
        for render in records.from_table(Render, catalog.read(name, Render, where=condition))
    }
    return [renders[clip_id] for clip_id in sorted(renders)]
