"""Which renders of an output are there to fit, train and evaluate on."""

from __future__ import annotations

import pyarrow.compute as pc

from curation import lineage, records
from curation.dataset import Dataset
from curation.records import Render


def encoded(dataset: Dataset, selection: str | None = None) -> list[Render]:
    """The renders that we encoded of the clips that a selection keeps, by clip id.

    They are of the profile that was rendered last; where no run says which that is, each clip
    counts once. `selection` is that of `Dataset.selected`: the newest if None. `ValueError` for one
    that is not there.
    """
    catalog, selection_id = dataset.catalog, dataset.selected(selection)
    newest = lineage.renders(catalog, selection_id)
    names = [newest] if newest else lineage.newest_first(catalog, "renders", selection_id)
    where = (pc.field("outcome") == "rendered") & (pc.field("mode") == "encode")
    if selection_id is not None:
        where &= pc.field("clip_id").isin(dataset.kept(selection_id).combine_chunks())
    found = {
        render.clip_id: render
        for name in reversed(names)
        for render in records.records(Render, catalog.read(name, Render, where=where))
    }
    return [found[clip] for clip in sorted(found)]
