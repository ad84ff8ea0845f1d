"""The scenes of the sample, by name; no two share a layout and a palette."""

from __future__ import annotations

from collections.abc import Callable

from curation.sample import tops, vistas
from curation.sample.stage import Scene, Size

SCENES: dict[str, Callable[[Size], Scene]] = {
    scene.__name__: scene
    for scene in (
        vistas.dawn_peaks,
        vistas.dunes,
        vistas.snow,
        vistas.canyon,
        vistas.autumn,
        vistas.moonlit,
        vistas.street_by_day,
        vistas.forest_walk,
        vistas.birches,
        vistas.country_road,
        vistas.red_road,
        vistas.harbour,
        vistas.evening_sea,
        tops.marbles,
        tops.crates,
        tops.billiards,
        tops.workshop,
        tops.farmland,
        tops.lavender,
    )
}
"""Every scene by the name of its function."""
