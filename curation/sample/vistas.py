"""The scenes of the sample that look to the horizon: hills, woods, streets, roads and the sea."""

from __future__ import annotations

from curation.sample.horizon import drive, sea
from curation.sample.landscape import Ridge, Town, forest, hills, sky, street
from curation.sample.stage import Camera, Scene, Size

_RED, _BLUE, _WHITE = (186, 44, 36), (38, 84, 160), (232, 230, 224)


def dawn_peaks(size: Size) -> Scene:
    """Rocky mountains at dawn, the camera pans right."""
    air = sky(
        11,
        size,
        [(64, 84, 150), (214, 150, 140), (250, 206, 150)],
        cloud=(255, 214, 190),
        sun=(-0.55, 0.0, 0.06),
    )
    ridges = [
        Ridge(-0.02, 0.5, [(110, 96, 130), (196, 150, 160), (244, 214, 200)], 0.3, 0.8, 0.6),
        Ridge(0.22, 0.3, [(58, 60, 84), (112, 104, 120), (190, 160, 140)], 0.6, 0.5, 0.55),
        Ridge(0.42, 0.16, [(22, 34, 30), (52, 70, 50), (104, 116, 70)], 1.0, 0.4, 0.5, pines=46),
    ]
    return hills(12, size, air, ridges, Camera(start=(-0.3, 0.0), pan=(0.16, 0.0)))


def dunes(size: Size) -> Scene:
    """A desert under a deep blue sky, the camera sinks."""
    air = sky(21, size, [(16, 42, 110), (60, 112, 180), (150, 184, 206)], cover=0.2)
    ridges = [
        Ridge(-0.12, 0.14, [(150, 92, 44), (206, 146, 82), (244, 206, 140)], 0.4, 1.5, 0.22),
        Ridge(0.02, 0.36, [(120, 66, 30), (214, 146, 74), (255, 222, 150)], 0.7, 1.3, 0.2),
        Ridge(0.34, 0.24, [(96, 52, 24), (190, 122, 60), (248, 204, 128)], 1.0, 0.9, 0.2),
    ]
    return hills(22, size, air, ridges, Camera(start=(0.35, -0.06), pan=(-0.12, 0.025)))


def snow(size: Size) -> Scene:
    """Snow with pines under a grey sky, the camera moves in."""
    air = sky(31, size, [(112, 124, 140), (160, 170, 182), (196, 202, 208)], cover=0.7)
    ridges = [
        Ridge(
            0.1, 0.2, [(120, 136, 160), (190, 202, 216), (236, 240, 246)], 0.4, 0.9, 0.45, pines=90
        ),
        Ridge(
            0.34, 0.2, [(150, 166, 190), (222, 230, 240), (255, 255, 255)], 1.0, 0.7, 0.35, pines=16
        ),
    ]
    return hills(32, size, air, ridges, Camera(zoom=1.02, zoom_rate=0.07))


def canyon(size: Size) -> Scene:
    """Banded red cliffs with the sun behind, the camera pans left."""
    air = sky(
        41,
        size,
        [(240, 196, 130), (250, 220, 170), (255, 236, 206)],
        cover=0.3,
        sun=(0.3, -0.2, 0.08),
    )
    red = [(70, 26, 22), (150, 62, 38), (206, 116, 66), (236, 180, 120)]
    ridges = [
        Ridge(-0.3, 0.5, red, 0.35, 0.45, 0.62, strata=True),
        Ridge(
            0.05, 0.5, [(48, 18, 18), (116, 44, 30), (178, 90, 54)], 0.75, 0.35, 0.6, strata=True
        ),
        Ridge(0.4, 0.2, [(40, 34, 22), (96, 82, 44), (160, 140, 82)], 1.0, 0.5, 0.5),
    ]
    return hills(42, size, air, ridges, Camera(start=(0.3, 0.0), pan=(-0.13, 0.0)))


def autumn(size: Size) -> Scene:
    """Wooded hills in autumn colours, the camera rises."""
    air = sky(51, size, [(84, 132, 176), (170, 196, 208), (226, 224, 206)], cover=0.6)
    ridges = [
        Ridge(-0.25, 0.2, [(86, 60, 60), (150, 100, 84), (196, 150, 110)], 0.3, 0.5, 0.5, pines=60),
        Ridge(0.0, 0.3, [(88, 34, 16), (184, 84, 26), (238, 168, 56)], 0.6, 0.35, 0.55, pines=50),
        Ridge(0.3, 0.2, [(60, 44, 14), (150, 116, 26), (232, 204, 80)], 1.0, 0.3, 0.5, pines=24),
    ]
    return hills(52, size, air, ridges, Camera(start=(-0.1, 0.1), pan=(0.08, -0.04)))


def moonlit(size: Size) -> Scene:
    """A town by night: dark, with lit windows and headlights."""
    air = sky(61, size, [(6, 8, 24), (14, 18, 44), (34, 34, 66)], cloud=(30, 32, 56), cover=0.4)
    town = Town(
        walls=[(20, 20, 28), (34, 30, 40), (28, 34, 46), (40, 32, 30)],
        windows=[(14, 16, 24)] * 3 + [(250, 206, 110), (232, 176, 90), (196, 206, 220)],
        road=[(12, 12, 18), (36, 36, 46), (66, 66, 76)],
        cars=[((90, 20, 24), -1.3, 0.32), ((50, 60, 90), 0.9, -0.26), ((80, 80, 84), -0.3, 0.3)],
        lights=True,
    )
    return street(
        62, size, air, town, Camera(start=(-0.2, 0.0), pan=(0.09, 0.0)), fade=(18, 20, 40)
    )


def street_by_day(size: Size) -> Scene:
    """Brick houses and cars in sunlight."""
    air = sky(71, size, [(70, 140, 210), (150, 196, 226), (214, 230, 234)], cover=0.55)
    town = Town(
        walls=[(150, 78, 58), (196, 150, 110), (170, 110, 84), (210, 190, 160), (120, 90, 84)],
        windows=[(52, 70, 88), (90, 120, 140), (180, 204, 214)],
        road=[(70, 70, 72), (104, 104, 104), (150, 148, 144)],
        cars=[(_RED, -0.7, 0.45), (_BLUE, 0.8, -0.4), ((226, 180, 40), -1.6, 0.5)],
    )
    return street(
        72, size, air, town, Camera(start=(0.1, 0.0), pan=(-0.05, 0.0)), fade=(170, 196, 214)
    )


def forest_walk(size: Size) -> Scene:
    """Trunks in green light, the camera walks sideways."""
    return forest(
        81,
        size,
        Camera(start=(-0.4, 0.0), pan=(0.2, 0.0), shake=0.004),
        bark=[(20, 14, 10), (74, 54, 38), (134, 108, 80)],
        air=(206, 226, 150),
    )


def birches(size: Size) -> Scene:
    """White trunks in evening mist, the camera goes the other way."""
    return forest(
        87,
        size,
        Camera(start=(0.45, 0.0), pan=(-0.14, 0.0)),
        bark=[(60, 54, 56), (204, 196, 190), (250, 246, 238)],
        air=(92, 84, 116),
    )


def country_road(size: Size) -> Scene:
    """A drive between trees by day."""
    air = sky(131, size, [(60, 120, 200), (140, 186, 222), (206, 222, 226)], cover=0.6)
    return drive(
        132,
        size,
        air,
        land=[(48, 66, 24), (104, 130, 52), (176, 184, 96)],
        road=[(58, 58, 60), (92, 92, 94), (130, 130, 130)],
        leaves=((26, 48, 20), (52, 88, 32), (96, 136, 52), (150, 178, 84)),
        air=(206, 222, 226),
    )


def red_road(size: Size) -> Scene:
    """A faster drive over red earth at dusk."""
    air = sky(
        141, size, [(44, 30, 70), (150, 70, 90), (250, 160, 90)], cloud=(230, 120, 90), cover=0.45
    )
    return drive(
        142,
        size,
        air,
        land=[(70, 26, 18), (140, 60, 36), (200, 112, 70)],
        road=[(40, 32, 40), (64, 54, 62), (96, 84, 88)],
        leaves=((20, 18, 22), (44, 38, 36), (84, 66, 44), (140, 96, 52)),
        air=(246, 166, 104),
        speed=4.5,
        horizon=0.62,
    )


def harbour(size: Size) -> Scene:
    """Two sailing boats on a blue sea."""
    air = sky(151, size, [(96, 160, 214), (170, 206, 228), (226, 236, 236)], cover=0.5)
    boats = [(_WHITE, _RED, 0.18, 0.01, 0.22), ((40, 60, 110), (244, 240, 226), -0.32, 0.045, 0.42)]
    return sea(
        152,
        size,
        air,
        water=[(8, 40, 84), (26, 92, 140), (120, 180, 200), (244, 250, 250)],
        air=(196, 216, 226),
        boats=boats,
    )


def evening_sea(size: Size) -> Scene:
    """A dark boat on a sea that mirrors the evening."""
    air = sky(
        161,
        size,
        [(70, 50, 110), (220, 110, 90), (255, 196, 110)],
        cloud=(120, 60, 90),
        cover=0.5,
        sun=(0.3, 0.05, 0.09),
    )
    return sea(
        162,
        size,
        air,
        water=[(30, 22, 52), (96, 56, 82), (214, 120, 84), (255, 222, 150)],
        air=(250, 180, 110),
        boats=[((30, 20, 26), (60, 34, 44), -0.15, -0.03, 0.6)],
        horizon=0.55,
    )
