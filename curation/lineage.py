"""Which renders a table was made from, and which of several tables is the current one.

Tokens, and captions by models that look at pictures, are made from renders: the profile of those is
part of the name of their table, so that other renders fill another table, and each clip's row in
`tokenized/…` or `captioned/…` says which file was read. Tables made from no render, such as
captions of measured facts, say nothing there; nor do tables older than these columns.

The current renders are those that `render` was last asked for; renders of a subset are current for
that subset alone. Of the tables made from them, the one that was last asked for is current.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from curation.catalog import Catalog
from curation.delta_table import arrow_dataset
from curation.errors import ReelmillError
from curation.records import Render
from curation.run_history import run_results
from curation.steps import step_of_kind
from curation.storage import storage_faults

Kind = str
"""What the tables of a step hold: `renders`, `captions` or `tokens`."""
_MAX_DIFFERENCES = 3


class LineageError(ReelmillError, ValueError):
    """No table, or several, or one made from other renders; the message says what to do."""


@dataclass(frozen=True, slots=True)
class RenderOrigin:
    """The render that a row was made from. All null: from none, or the row does not say."""

    render_profile: str | None = None
    """The profile: `renders/<profile>` holds it."""
    render_sha256: str | None = None
    """Digest of the file; null for a span."""
    render_frames: int | None = None
    """Frames that it had."""
    render_fps: float | None = None
    """Frames a second that it had."""

    @classmethod
    def of(cls, table: str, render: Render) -> RenderOrigin:
        """A row of a table of renders, such as `renders/encode-1a2b3c4d`."""
        return cls(profile_name(table), render.sha256, render.frames, render.fps)


@dataclass(frozen=True, slots=True)
class _OriginRow(RenderOrigin):
    """What a row of `tokenized/…` or `captioned/…` says of its clip's render."""

    clip_id: str = ""


def profile_name(renders: str) -> str:
    """The profile of a table of renders."""
    return renders.removeprefix("renders/")


def name_with_profile(name: str, renders: str) -> str:
    """The name, which ends in a digest, of a table that is made from these renders."""
    stem, _, digest = name.rpartition("-")
    combined = hashlib.sha256(f"{digest} {profile_name(renders)}".encode()).hexdigest()[:8]
    return f"{stem}-{combined}"


def marker_table(table: str) -> str:
    """The table of outcomes, which are the commit markers of `tokens/…` or `captions/…`."""
    kind, _, name = table.partition("/")
    return f"{step_of_kind(kind).outcomes}/{name}"


def render_profile(catalog: Catalog, table: str) -> str | None:
    """The renders' profile that a table of tokens or captions was made from; None: from none."""
    name = marker_table(table)
    markers = catalog.open(name)
    if markers is None:
        return None
    with storage_faults(name):
        rows = arrow_dataset(markers, catalog.storage, name)
        if "render_profile" not in rows.schema.names:
            return None
        profiles = rows.head(1, columns=["render_profile"])["render_profile"].to_pylist()
    return profiles[0] if profiles else None


def newest_first(catalog: Catalog, kind: Kind, selection_id: str | None) -> list[str]:
    """The tables of one kind, the one that was last asked for first.

    Tables of unknown age come last, by name.
    """
    step = step_of_kind(kind)
    results = run_results(catalog, step.name, selection_id)
    age = {name.replace(f"{step.outcomes}/", f"{kind}/", 1): n for n, name in enumerate(results)}
    return sorted(catalog.names(kind), key=lambda name: (-age.get(name, -1), name))


def current_renders(catalog: Catalog, selection_id: str | None) -> str | None:
    """The table of renders that is current for a selection; None if there is none."""
    results = run_results(catalog, "render", selection_id)
    tables = catalog.names("renders")
    return results[-1] if results else tables[0] if len(tables) == 1 else None


def tables_of_renders(
    catalog: Catalog, kind: Kind, selection_id: str | None, of: str | None = None
) -> list[str]:
    """The tables made from renders, or from none, the last asked for first.

    The renders are those of the table `of`, or the current ones of the selection. Tokens are made
    from renders, so a table that does not say from which is taken only while no table does.
    """
    current = of or current_renders(catalog, selection_id)
    tables = newest_first(catalog, kind, selection_id)
    if current is None:
        return tables
    profiles = {name: render_profile(catalog, name) for name in tables}
    accepted: set[str | None] = {profile_name(current)}
    if kind == "captions" or not any(profiles.values()):
        accepted.add(None)
    return [name for name in tables if profiles[name] in accepted]


def current_outcomes(
    catalog: Catalog, kind: Kind, selection_id: str | None, of: str | None = None
) -> str | None:
    """The current table of outcomes of a kind; None if there is none. `of` as above."""
    if kind == "renders":
        return of or current_renders(catalog, selection_id)
    tables = tables_of_renders(catalog, kind, selection_id, of)
    return marker_table(tables[0]) if tables else None


def resolve_table(
    catalog: Catalog,
    kind: Kind,
    name: str | None = None,
    selection_id: str | None = None,
    of: str | None = None,
) -> str:
    """The full name of a table: the named one, with or without its folder, or the current one.

    `of` and `selection_id` as for `tables_of_renders`. Raises `LineageError`.
    """
    root, step = catalog.storage.root, step_of_kind(kind).name
    if name is not None:
        tables = catalog.names(kind)
        for table in tables:
            if name in (table, table.removeprefix(f"{kind}/")):
                return table
        raise LineageError(
            f"{root} has no {kind} {name!r}; there are {', '.join(tables) or 'none'}:"
            f" `reelmill {step}` makes them"
        )
    tables = newest_first(catalog, kind, selection_id)
    candidates = tables_of_renders(catalog, kind, selection_id, of)
    if kind == "renders":
        current = current_renders(catalog, selection_id)
        candidates = [current] if current else tables
    if not tables:
        raise LineageError(f"{root} has no {kind}: run `reelmill {step}` first")
    if not candidates:
        current = of or current_renders(catalog, selection_id)
        others = ", ".join(f"{t} of {render_profile(catalog, t) or 'unknown'}" for t in tables)
        raise LineageError(
            f"{root} has no {kind} of {current}{'' if of else ', its newest renders'}, only"
            f" {others}: run `reelmill {step}` with the settings that made the renders, or name a"
            " table"
        )
    dated = {f"{kind}/{result.partition('/')[2]}" for result in run_results(catalog, step)}
    if len(candidates) > 1 and candidates[0] not in dated:
        raise LineageError(f"name one table of {kind} of {root}; there are {', '.join(candidates)}")
    return candidates[0]


def check_rendered(catalog: Catalog, table: str, clip_ids: pa.ChunkedArray) -> None:
    """Raises `LineageError` if there are clips but no such table of renders to read."""
    if len(clip_ids) and catalog.open(table) is None:
        others = ", ".join(catalog.names("renders"))
        hint = f"; it has {others}: give the settings that made them, or run" if others else ": run"
        raise LineageError(
            f"{catalog.storage.root} has no {table}, which the settings ask for{hint}"
            " `reelmill render` first"
        )


def check_fresh(catalog: Catalog, table: str, clip_ids: pa.ChunkedArray | None = None) -> None:
    """Raises `LineageError` if a table was made from other files than its renders hold now.

    Only clips of `clip_ids` are compared, if given; renders that no longer exist are not compared.
    """
    profile = render_profile(catalog, table)
    if profile is None or catalog.open(f"renders/{profile}") is None:
        return
    origins = catalog.read(marker_table(table), _OriginRow)
    if clip_ids is not None:
        origins = origins.filter(pc.is_in(origins["clip_id"], pc.unique(clip_ids)))
    raise_if_different(table, list(differences(catalog, f"renders/{profile}", origins)))


def check_made_from(catalog: Catalog, table: str, renders: str | None) -> None:
    """Raises `LineageError` if a table of tokens or captions was made from other renders."""
    profile = render_profile(catalog, table)
    if renders is not None and profile not in (None, profile_name(renders)):
        raise LineageError(
            f"{table} was made from renders/{profile}, not from {renders}: name tables that belong"
            f" together, or run {_command(table)} with the settings that made {renders}"
        )


def check_same_renders(catalog: Catalog, tables: Sequence[str]) -> None:
    """Raises `LineageError` if tables of tokens and captions were made from different renders."""
    profiles = {t: profile for t in tables if (profile := render_profile(catalog, t))}
    if len(set(profiles.values())) > 1:
        named = " and ".join(f"{table} of {profile}" for table, profile in profiles.items())
        raise LineageError(f"{named} were made from different renders: name tables of the same")


def raise_if_different(table: str, differences: list[str]) -> None:
    """Raises `LineageError` if there are differences."""
    if differences:
        hidden = len(differences) - _MAX_DIFFERENCES
        more = f", and {hidden} more" if hidden > 0 else ""
        raise LineageError(
            f"{table} was made from other renders than there are now:"
            f" {'; '.join(differences[:_MAX_DIFFERENCES])}{more}. Run {_command(table)} with the"
            " settings of these renders"
        )


def differences(catalog: Catalog, table: str, origins: pa.Table) -> Iterator[str]:
    """How rows with a clip's `RenderOrigin` differ from a table of renders, one message each."""
    columns = ["clip_id", "sha256", "frames", "fps"]
    renders = catalog.read(table, Render, columns, pc.field("outcome") == "rendered")
    index = pc.index_in(origins["clip_id"], renders["clip_id"].combine_chunks())
    pairs = {name: (origins[f"render_{name}"], renders[name].take(index)) for name in columns[1:]}
    differs = np.zeros(len(origins), bool)
    for pair in pairs.values():
        differs |= pc.fill_null(pc.not_equal(*pair), False).to_numpy()
    for row in np.flatnonzero(differs).tolist():
        then, now = ({n: pair[side][row].as_py() for n, pair in pairs.items()} for side in (0, 1))
        clip_id = origins["clip_id"][row].as_py()
        yield f"clip {clip_id} {_describe(then)}, its render {_describe(now)}"


def _command(table: str) -> str:
    return f"`reelmill {step_of_kind(table.partition('/')[0]).name}`"


def _describe(render: dict[str, object]) -> str:
    fps = render["fps"]
    rate = f"{fps:g}" if isinstance(fps, float) else "unknown"
    file = f", file {str(render['sha256'])[:8]}" if render["sha256"] else ""
    return f"has {render['frames']} frames at {rate} a second{file}"
