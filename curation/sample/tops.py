"""The scenes of the sample that are seen from above: tables and farmland."""

from __future__ import annotations

import numpy as np

from curation.sample.ground import Crate, Rolling, cloth, fields, table, wood
from curation.sample.stage import Camera, Scene, Size, canvas_size
from curation.sample.texture import noise, ramp, shade, vertical

_RED, _BLUE, _WHITE = (186, 44, 36), (38, 84, 160), (232, 230, 224)


def marbles(size: Size) -> Scene:
    """Balls that roll over planks."""
    top = wood(91, size, [(56, 30, 16), (128, 78, 42), (190, 134, 80)], planks=7)
    balls = [
        Rolling(((20, 60, 150), (90, 160, 230), (240, 244, 250)), 0.3, (-0.85, -0.2), (0.42, 0.06)),
        Rolling(((150, 20, 20), (230, 90, 50), (255, 220, 120)), 0.24, (0.75, 0.3), (-0.3, -0.12)),
        Rolling(((10, 90, 50), (120, 200, 90), (250, 250, 190)), 0.18, (-0.2, 0.7), (0.1, -0.3)),
    ]
    return table(92, size, top, balls, [], camera=Camera(sway=(0.02, 0.01)))


def crates(size: Size) -> Scene:
    """Boxes and a ball on a checked cloth, the camera moves out."""
    top = cloth(101, size, [(24, 60, 70), (90, 150, 150), (226, 232, 222)], check=0.13)
    pale = ((150, 104, 56), (206, 160, 100), (236, 204, 150))
    items = [
        Crate(pale, 0.34, (-0.4, -0.1), 14.0, (0.14, 0.0)),
        Crate(
            ((70, 30, 60), (140, 70, 110), (200, 140, 170)), 0.26, (0.42, 0.16), -22.0, (0.0, 0.15)
        ),
        Crate(pale, 0.2, (0.1, -0.28), 38.0),
    ]
    balls = [
        Rolling(((240, 150, 20), (255, 220, 90), (60, 30, 10)), 0.2, (0.8, -0.2), (-0.35, 0.12))
    ]
    return table(102, size, top, balls, items, camera=Camera(zoom=1.22, zoom_rate=-0.05))


def billiards(size: Size) -> Scene:
    """Balls on green felt under a lamp."""
    shape = canvas_size(size)[::-1]
    felt = noise(171, shape, cell=0.04 * size[1], octaves=4, roughness=1.2)
    across = vertical(shape[::-1], -1.0, 1.0).T * 1.3
    lamp = np.exp(-(across**2) * 2.2 - vertical(shape, -1.0, 1.0) ** 2 * 1.6)
    top = shade(
        ramp(felt, [(0, 44, 24), (26, 112, 70), (90, 206, 150)]),
        (0.12 + 0.6 * lamp).astype(np.float32),
    )
    balls = [
        Rolling(
            ((250, 246, 236), (244, 238, 220), (170, 40, 40)), 0.13, (-0.7, 0.25), (0.36, -0.13)
        ),
        Rolling(((20, 20, 24), (40, 40, 44), (240, 240, 236)), 0.13, (0.5, -0.3), (-0.2, 0.13)),
        Rolling(
            ((250, 200, 30), (240, 170, 20), (250, 246, 236)), 0.13, (0.1, 0.36), (0.12, -0.22)
        ),
        Rolling(((170, 24, 30), (210, 60, 50), (250, 246, 236)), 0.13, (-0.3, -0.34), (0.16, 0.14)),
    ]
    return table(172, size, top, balls, [], camera=Camera(shake=0.003))


def workshop(size: Size) -> Scene:
    """Boxes and a ball on a pale upright board."""
    top = wood(181, size, [(130, 104, 70), (206, 178, 134), (240, 222, 186)], planks=14)
    items = [
        Crate(
            ((20, 44, 66), (44, 84, 120), (110, 150, 180)), 0.2, (-0.06, -0.26), 20.0, (0.1, 0.02)
        ),
        Crate(
            ((80, 24, 20), (150, 54, 40), (200, 110, 80)), 0.15, (0.05, 0.02), -30.0, (0.0, 0.06)
        ),
        Crate(((40, 40, 42), (84, 84, 88), (140, 140, 146)), 0.24, (-0.08, 0.32), 8.0),
    ]
    balls = [
        Rolling(((30, 110, 60), (90, 180, 80), (20, 50, 30)), 0.13, (0.21, 0.5), (-0.005, -0.2))
    ]
    return table(182, size, top, balls, items, camera=Camera(sway=(0.02, 0.05)))


def farmland(size: Size) -> Scene:
    """Fields and two roads from a drone that drifts and descends."""
    green = [
        (96, 130, 60),
        (140, 156, 74),
        (196, 178, 96),
        (84, 104, 52),
        (160, 124, 80),
        (120, 150, 90),
    ]
    cars = [
        (0, _RED, -0.9, 0.2),
        (0, _WHITE, 0.7, -0.16),
        (1, _BLUE, -0.6, 0.14),
        (0, (230, 190, 50), -0.2, 0.17),
        (0, (60, 150, 110), -1.7, 0.22),
        (0, (40, 40, 46), 1.9, -0.16),
        (1, (150, 60, 130), -1.3, 0.12),
    ]
    return fields(
        111,
        size,
        green,
        Camera(start=(-0.4, 0.05), pan=(0.075, -0.01), zoom=1.05, zoom_rate=0.035),
        roads=[(-0.1, 9.0), (0.32, -24.0)],
        cars=cars,
    )


def lavender(size: Size) -> Scene:
    """Violet fields with one road, the drone flies left."""
    rows = [(120, 84, 160), (150, 110, 190), (96, 70, 130), (180, 150, 120), (110, 130, 80)]
    return fields(
        121,
        size,
        rows,
        Camera(start=(0.5, 0.0), pan=(-0.16, 0.0)),
        roads=[(0.12, -62.0)],
        cars=[(0, _WHITE, -0.6, 0.25)],
        tree=(30, 54, 40),
        trees=70,
    )
