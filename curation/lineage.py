"""Which renders a table was made from, and which of several tables counts.

Tokens, and captions by models that look at pictures, are made from renders: the profile of those is
part of what names their table, so that other renders fill another table, and each clip's row in
`tokenized/…` or `captioned/…` says which file was read. Tables that look at no render, such as
captions of measured facts, say nothing there; nor do tables that are older than these columns.

The renders that count are those that `render` was last asked for; what was made for a subset counts
for that subset alone. Of the tables made from these, the one that was last asked for counts.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from curation.catalog import Catalog, arrow_dataset
from curation.errors import ReelmillError
from curation.records import Render
from curation.run_history import results

Kind = Literal["renders", "tokens", "captions"]
_STEPS = {"renders": "render", "tokens": "tokenize", "captions": "caption"}
_MARKERS = {"tokens": "tokenized", "captions": "captioned"}
_SHOWN = 3


class LineageError(ReelmillError, ValueError):
    """No table, or several, or what was made from other renders; the message says what to do."""


@dataclass(frozen=True, slots=True)
class MadeFrom:
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
    def of(cls, table: str, render: Render) -> MadeFrom:
        """A row of a table of renders, such as `renders/encode-1a2b3c4d`."""
        return cls(profile_of(table), render.sha256, render.frames, render.fps)


@dataclass(frozen=True, slots=True)
class Made(MadeFrom):
    """What a row of `tokenized/…` or `captioned/…` says of its clip's render."""

    clip_id: str = ""


def profile_of(renders: str) -> str:
    """The profile of a table of renders."""
    return renders.removeprefix("renders/")


def named_by(name: str, renders: str) -> str:
    """The name, which ends in a digest, of a table that is made from these renders."""
    stem, _, digest = name.rpartition("-")
    told = hashlib.sha256(f"{digest} {profile_of(renders)}".encode()).hexdigest()[:8]
    return f"{stem}-{told}"


def marker(table: str) -> str:
    """The table that says which clips of `tokens/…` or `captions/…` are done."""
    kind, _, name = table.partition("/")
    return f"{_MARKERS[kind]}/{name}"


def profile(catalog: Catalog, table: str) -> str | None:
    """The renders' profile that a table of tokens or captions was made from; None: from none."""
    name = marker(table)
    opened = catalog.open(name)
    if opened is None:
        return None
    rows = arrow_dataset(opened, catalog.storage, name)
    if "render_profile" not in rows.schema.names:
        return None
    first = rows.head(1, columns=["render_profile"])["render_profile"].to_pylist()
    return first[0] if first else None


def newest_first(catalog: Catalog, kind: Kind, selection_id: str | None) -> list[str]:
    """The tables of one kind, the one that was last asked for first.

    Tables of unknown age come last, by name.
    """
    filled = results(catalog, _STEPS[kind], selection_id)
    prefix = _MARKERS.get(kind, kind)
    age = {name.replace(f"{prefix}/", f"{kind}/", 1): at for at, name in enumerate(filled)}
    return sorted(catalog.names(kind), key=lambda name: (-age.get(name, -1), name))


def renders(catalog: Catalog, selection_id: str | None) -> str | None:
    """The table of renders that counts for a selection; None if there is none, or no telling."""
    asked = results(catalog, _STEPS["renders"], selection_id)
    there = catalog.names("renders")
    return asked[-1] if asked else there[0] if len(there) == 1 else None


def belonging(
    catalog: Catalog, kind: Kind, selection_id: str | None, of: str | None = None
) -> list[str]:
    """The tables made from renders, or from none, the last asked for first.

    The renders are those of the table `of`, or those that count for the selection. Tokens are made
    from renders, so that a table which does not say from which counts only while none says it.
    """
    counts = of or renders(catalog, selection_id)
    tables = newest_first(catalog, kind, selection_id)
    if counts is None:
        return tables
    profiles = {name: profile(catalog, name) for name in tables}
    known: set[str | None] = {profile_of(counts)}
    if kind == "captions" or not any(profiles.values()):
        known |= {None}
    return [name for name in tables if profiles[name] in known]


def default(
    catalog: Catalog,
    kind: Literal["tokens", "captions"],
    selection_id: str | None,
    of: str | None = None,
) -> str:
    """The table of tokens or captions to read if none is named, as `belonging` has them.

    Raises `LineageError`.
    """
    place, step = catalog.storage.root, _STEPS[kind]
    there = newest_first(catalog, kind, selection_id)
    if not there:
        raise LineageError(f"{place} has no {kind}: run `reelmill {step}` first")
    fitting = belonging(catalog, kind, selection_id, of)
    if not fitting:
        counts = of or renders(catalog, selection_id)
        others = ", ".join(f"{name} of {profile(catalog, name) or 'unknown'}" for name in there)
        raise LineageError(
            f"{place} has no {kind} of {counts}{'' if of else ', its newest renders'}, only"
            f" {others}: run `reelmill {step}` with the settings that made the renders, or name a"
            " table"
        )
    asked = {f"{kind}/{name.partition('/')[2]}" for name in results(catalog, step)}
    if len(fitting) > 1 and fitting[0] not in asked:
        raise LineageError(f"name one table of {kind} of {place}; there are {', '.join(fitting)}")
    return fitting[0]


def named(catalog: Catalog, kind: Kind, wanted: str) -> str:
    """The full name of a table, with or without its folder; raises `LineageError`."""
    there = catalog.names(kind)
    for name in there:
        if wanted in (name, name.removeprefix(f"{kind}/")):
            return name
    raise LineageError(
        f"{catalog.storage.root} has no {kind} {wanted!r}; there are {', '.join(there) or 'none'}"
    )


def check_rendered(catalog: Catalog, table: str, clip_ids: pa.ChunkedArray) -> None:
    """Raises `LineageError` if there are clips, but no such renders of them or others to read."""
    if len(clip_ids) and catalog.open(table) is None:
        others = ", ".join(catalog.names("renders"))
        there = (
            f"; it has {others}: give the settings that made them, or run" if others else ": run"
        )
        raise LineageError(
            f"{catalog.storage.root} has no {table}, which the settings ask for{there}"
            " `reelmill render` first"
        )


def check(catalog: Catalog, table: str, clip_ids: pa.ChunkedArray | None = None) -> None:
    """Raises `LineageError` if a table was made from other files than its renders hold now.

    Only clips of `clip_ids` are looked at, if given; renders that are gone say nothing.
    """
    found = profile(catalog, table)
    if found is None or catalog.open(f"renders/{found}") is None:
        return
    made = catalog.read(marker(table), Made)
    if clip_ids is not None:
        made = made.filter(pc.is_in(made["clip_id"], pc.unique(clip_ids)))
    refuse(table, list(differences(catalog, f"renders/{found}", made)))


def check_of(catalog: Catalog, table: str, renders: str | None) -> None:
    """Raises `LineageError` if a table of tokens or captions was made from other renders."""
    found = profile(catalog, table)
    if renders is not None and found not in (None, profile_of(renders)):
        raise LineageError(
            f"{table} was made from renders/{found}, not from {renders}: name tables that belong"
            f" together, or run `reelmill {_STEPS[table.partition('/')[0]]}` with the settings that"
            f" made {renders}"
        )


def check_same(catalog: Catalog, tables: Sequence[str]) -> None:
    """Raises `LineageError` if tables of tokens and captions were made from different renders."""
    profiles = {name: found for name in tables if (found := profile(catalog, name))}
    if len(set(profiles.values())) > 1:
        said = " and ".join(f"{name} of {found}" for name, found in profiles.items())
        raise LineageError(f"{said} were made from different renders: name tables of the same")


def refuse(table: str, found: list[str]) -> None:
    """Raises `LineageError` if there are differences."""
    if found:
        more = f", and {len(found) - _SHOWN} more" if len(found) > _SHOWN else ""
        raise LineageError(
            f"{table} was made from other renders than there are now: {'; '.join(found[:_SHOWN])}"
            f"{more}. Run `reelmill {_STEPS[table.partition('/')[0]]}` with the settings of these"
            " renders"
        )


def differences(catalog: Catalog, table: str, made: pa.Table) -> Iterator[str]:
    """In what rows of `Made` differ from a table of renders, in words; nothing where unknown."""
    columns = ["clip_id", "sha256", "frames", "fps"]
    stored = catalog.read(table, Render, columns, pc.field("outcome") == "rendered")
    at = pc.index_in(made["clip_id"], stored["clip_id"].combine_chunks())
    pairs = {name: (made[f"render_{name}"], stored[name].take(at)) for name in columns[1:]}
    differs = np.zeros(len(made), bool)
    for pair in pairs.values():
        differs |= pc.fill_null(pc.not_equal(*pair), False).to_numpy()
    for row in np.flatnonzero(differs).tolist():
        was, now = ({n: pair[side][row].as_py() for n, pair in pairs.items()} for side in (0, 1))
        yield f"clip {made['clip_id'][row].as_py()} {_words(was)}, its render {_words(now)}"


def _words(render: dict[str, object]) -> str:
    fps = render["fps"]
    rate = f"{fps:g}" if isinstance(fps, float) else "unknown"
    file = f", file {str(render['sha256'])[:8]}" if render["sha256"] else ""
    return f"has {render['frames']} frames at {rate} a second{file}"
