"""Short sources with known truth for `quality.py`: camera motion, light, faults, text, bars.

A world larger than the frame (a 1/f texture, or a frame of a real video with such grain on it) is
filmed by a camera whose path is known; textured patches move over it on paths of their own; then
noise, the fault under test, and x264 are applied. Every choice is drawn from a seed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFilter, ImageFont

from curation.sample.encode import Coding, encode
from curation.sample.sound import chords, noise, speech, tone, write_wav

FPS, FRAMES = 20, 50
SIZES = ((480, 270), (480, 270), (360, 360), (270, 480))


@dataclass(frozen=True)
class Source:
    """One source and what is true of it."""

    name: str
    tags: dict[str, str] = field(default_factory=dict)
    """Column and word; other columns are not judged."""
    faults: frozenset[str] = frozenset()
    """Reasons that have to be given."""
    clean: bool = False
    """Whether no other reason may be given."""


@dataclass
class Plan:
    """How one source is made."""

    name: str
    rng: np.random.Generator
    world: Image.Image
    size: tuple[int, int]
    path: np.ndarray
    """Camera at each frame: right, down in pixels, log zoom, turn in radians; shape [n, 4]."""
    objects: int = 1
    noise: float = 2.0
    change: Callable[[int, Image.Image], Image.Image] = lambda index, frame: frame
    crf: int = 23
    coding: Coding | None = None
    """How it is coded, where not by x264 at `crf`."""
    sound: Path | None = None

    def frames(self) -> Iterator[Image.Image]:
        patches = [Patch.drawn(self.rng, self.world, self.size) for _ in range(self.objects)]
        width, height = self.size
        grain = self.rng.normal(0, self.noise, (2 * height, 2 * width, 1)).astype(np.float32)
        for index, place in enumerate(self.path):
            frame = seen(self.world, self.size, place)
            for patch in patches:
                patch.paste(frame, index)
            y, x = (int(self.rng.integers(side)) for side in (height, width))
            noisy = np.asarray(frame, np.float32) + grain[y : y + height, x : x + width]
            noisy = np.clip(noisy, 0, 255)
            yield self.change(index, Image.fromarray(noisy.astype(np.uint8)))

    def write(self, folder: Path) -> None:
        coding = self.coding or Coding(crf=self.crf)
        if self.sound is not None:
            coding = replace(coding, sound_from=str(self.sound))
        encode(folder / f"{self.name}.mp4", self.frames(), fps=FPS, coding=coding)


@dataclass(frozen=True)
class Patch:
    """A textured ellipse that moves by itself."""

    look: Image.Image
    start: np.ndarray
    speed: np.ndarray

    @classmethod
    def drawn(cls, rng: np.random.Generator, world: Image.Image, size: tuple[int, int]) -> Patch:
        side = [int(rng.uniform(0.12, 0.3) * min(size)) for _ in range(2)]
        x, y = (int(rng.integers(0, w - s)) for w, s in zip(world.size, side, strict=True))
        look = world.crop((x, y, x + side[0], y + side[1])).transpose(Image.Transpose.ROTATE_180)
        look = look.resize(side).convert("RGBA")
        shape = Image.new("L", tuple(side))
        ImageDraw.Draw(shape).ellipse((0, 0, side[0] - 1, side[1] - 1), fill=255)
        look.putalpha(shape)
        angle, speed = rng.uniform(0, 2 * np.pi), rng.uniform(0.1, 0.6) * max(size) / FPS
        start = np.array([rng.uniform(0, s) for s in size])
        return cls(look, start, speed * np.array([np.cos(angle), np.sin(angle)]))

    def paste(self, frame: Image.Image, index: int) -> None:
        place = self.start + self.speed * index
        wrapped = np.mod(place, frame.size) - np.array(self.look.size) / 2
        frame.paste(self.look, (int(wrapped[0]), int(wrapped[1])), self.look)


def seen(world: Image.Image, size: tuple[int, int], place: np.ndarray) -> Image.Image:
    """What the camera sees from its place: right and down of the world's middle, zoom and turn."""
    right, down, grow, turn = place
    cos, sin = np.cos(turn) / np.exp(grow), np.sin(turn) / np.exp(grow)
    x, y = world.size[0] / 2 + right, world.size[1] / 2 + down
    a, b, d, e = cos, -sin, sin, cos
    c, f = x - a * size[0] / 2 - b * size[1] / 2, y - d * size[0] / 2 - e * size[1] / 2
    box = (a, b, c, d, e, f)
    return world.transform(size, Image.Transform.AFFINE, box, Image.Resampling.BILINEAR)


def worlds(videos: Path | None, count: int = 24) -> list[Image.Image]:
    """Pictures of 1600×1300: 1/f textures, and as many real frames with their grain."""
    made = [Image.fromarray(texture(seed)) for seed in range(count // 2)]
    real = real_frames(videos, count - len(made)) if videos else []
    for seed, frame in enumerate(real):
        grain = (texture(100 + seed).astype(np.float32) - 128) * 0.25
        large = np.asarray(frame.resize((1600, 1300), Image.Resampling.LANCZOS), np.float32)
        made.append(Image.fromarray(np.clip(large + grain, 0, 255).astype(np.uint8)))
    return made


def texture(seed: int, size: tuple[int, int] = (1600, 1300)) -> np.ndarray:
    """Colour noise whose amplitude falls as 1/f, as natural pictures' does; uint8 [h, w, 3]."""
    rng = np.random.default_rng(seed)
    width, height = size
    square = np.fft.fftfreq(height)[:, None] ** 2 + np.fft.rfftfreq(width)[None] ** 2
    fall = 1 / np.maximum(np.sqrt(square), 3 / width) ** rng.uniform(0.95, 1.25)

    def plane() -> np.ndarray:
        phase = np.exp(2j * np.pi * rng.random(fall.shape))
        values = np.fft.irfft2(fall * phase, s=(height, width))
        return (values - values.mean()) / values.std()

    shared = plane()
    colours = [shared + 0.35 * plane() for _ in range(3)]
    return np.clip(np.stack(colours, 2) * 42 + 122, 0, 255).astype(np.uint8)


def real_frames(folder: Path, count: int) -> list[Image.Image]:
    """One frame from the middle of each of the first sources that have some texture."""
    import av

    found: list[Image.Image] = []
    names = ("city_bikes", "motorway", "crosswalk", "hands_letter", "man_juggle", "bbb_mid",
             "bears", "robot_bridge_spoon", "puppy", "dash", "dance_q30", "sign_book")  # fmt: skip
    for name in names:
        for path in sorted(folder.glob(f"{name}*"))[:1]:
            with av.open(str(path)) as container:
                frames = container.decode(video=0)
                picture = next(f for i, f in enumerate(frames) if i == 30)
                found.append(picture.to_image())
    return found[:count]


def path_of(word: str, rng: np.random.Generator, size: tuple[int, int]) -> np.ndarray:
    """A camera path [n, 4] that the word describes."""
    side, time = max(size), np.arange(FRAMES) / FPS
    # From a slow start to full speed, at once, or at a constant rate.
    eased = time + rng.choice([0.0, 0.0, 0.25]) * np.sin(2 * np.pi * time / time[-1]) / 2
    path = np.zeros((FRAMES, 4))
    sign = -1 if word in ("pan_left", "tilt_up", "zoom_out") else 1
    if word.startswith("pan"):
        path[:, 0] = sign * side * np.exp(rng.uniform(np.log(0.03), np.log(0.35))) * eased
    elif word.startswith("tilt"):
        path[:, 1] = sign * side * np.exp(rng.uniform(np.log(0.03), np.log(0.25))) * eased
    elif word.startswith("zoom"):
        path[:, 2] = sign * np.exp(rng.uniform(np.log(0.05), np.log(0.35))) * eased
        path[:, 2] -= path[:, 2].min()
    elif word == "roll":
        path[:, 3] = rng.choice([-1, 1]) * np.radians(rng.uniform(4, 25)) * eased
    elif word == "shaky":
        for axis, strength in ((0, side), (1, side), (3, 0.6)):
            for _ in range(4):
                wave = np.sin(2 * np.pi * rng.uniform(0.8, 5) * time + rng.uniform(0, 7))
                path[:, axis] += strength * rng.uniform(0.004, 0.015) * wave
    if word != "shaky":
        hand = np.cumsum(rng.normal(0, rng.choice([0, 0.1, 0.25]), (FRAMES, 2)), axis=0)
        path[:, :2] += hand - np.cumsum(np.full_like(hand, hand[-1] / FRAMES), axis=0)
    path[:, :2] -= path[:, :2].mean(axis=0)
    return path


CAMERAS = ("static", "pan_left", "pan_right", "tilt_up", "tilt_down", "zoom_in", "zoom_out",
           "roll", "shaky")  # fmt: skip

Change = Callable[[int, Image.Image], Image.Image]


def well_lit(world: Image.Image, rng: np.random.Generator) -> Change:
    """The world with a bright middle pixel."""
    return darker(float(rng.uniform(160, 210)) / max(float(np.median(world.convert("L"))), 1))


def dark_with_lamps(world: Image.Image, rng: np.random.Generator, size: tuple[int, int]) -> Change:
    """The world nearly dark, and a few lamps before it."""
    dark = darker(float(rng.uniform(6, 22)) / max(float(np.median(world.convert("L"))), 1))
    lamps = [(*rng.uniform(0, 1, 2), rng.uniform(0.01, 0.04)) for _ in range(int(rng.integers(6)))]

    def change(index: int, frame: Image.Image) -> Image.Image:
        frame = dark(index, frame)
        for x, y, radius in lamps:
            ImageDraw.Draw(frame).circle((x * size[0], y * size[1]), radius * size[0], "#fec")
        return frame

    return change


def darker(gain: float) -> Change:
    """In the dark, with the sensor's noise."""
    return lambda index, frame: frame.point(lambda value: min(255, int(value * gain)))


def faded(gain: float) -> Change:
    """With hardly any contrast, around middle gray."""
    return lambda index, frame: frame.point(lambda value: int(120 + (value - 120) * gain))


def burnt() -> Change:
    """Overexposed."""
    return lambda index, frame: frame.point(lambda value: min(255, int(value * 3 + 220)))


def blurred(radius: float) -> Change:
    """Out of focus."""
    return lambda index, frame: frame.filter(ImageFilter.GaussianBlur(radius))


def flickering(rng: np.random.Generator, strength: float) -> Change:
    """Old film, or lamps that beat with the shutter."""
    rate, phase = rng.uniform(5, 11), rng.uniform(0, 7)
    random = rng.normal(0, strength, FRAMES)
    beat = strength * 1.4 * np.sin(2 * np.pi * rate * np.arange(FRAMES) / FPS + phase)
    gains = 1 + (random if rng.random() < 0.5 else beat)
    return lambda index, frame: frame.point(lambda v: int(np.clip(v * gains[index], 0, 255)))


def boxed(rng: np.random.Generator, share: float) -> Change:
    """Letterbox or pillarbox bars that take up this share of the frame."""
    upright = rng.random() < 0.5
    level = int(rng.integers(0, 8))

    def change(index: int, frame: Image.Image) -> Image.Image:
        bar = round(frame.size[0 if upright else 1] * share / 2)
        draw, (w, h) = ImageDraw.Draw(frame), frame.size
        for box in (((0, 0, bar, h), (w - bar, 0, w, h)) if upright
                    else ((0, 0, w, bar), (0, h - bar, w, h))):  # fmt: skip
            draw.rectangle(box, (level,) * 3)
        return frame

    return change


def frozen(share: float) -> Change:
    """The picture stands still for the first part."""
    held: list[Image.Image] = []

    def change(index: int, frame: Image.Image) -> Image.Image:
        if index < share * FRAMES:
            held[:] = held or [frame]
            return held[0].copy()
        return frame

    return change


def stuttering(every: int) -> Change:
    """Only one frame in so many is new."""
    held: list[Image.Image] = []

    def change(index: int, frame: Image.Image) -> Image.Image:
        if index % every == 0:
            held[:] = [frame]
        return held[0].copy()

    return change


def combed() -> Change:
    """Every other line is of the frame before, as in interlaced video that is not called so."""
    held: list[np.ndarray] = []

    def change(index: int, frame: Image.Image) -> Image.Image:
        now = np.array(frame)
        before, held[:] = (held or [now])[0], [now.copy()]
        now[1::2] = before[1::2]
        return Image.fromarray(now)

    return change


def strongly_coded(rng: np.random.Generator) -> Coding:
    """x264 or MPEG-4 Part 2 at a rate that shows."""
    if rng.random() < 0.5:
        return Coding("mpeg4", quantiser=int(rng.integers(18, 32)), gop=12)
    return Coding(crf=int(rng.integers(44, 51)))


def sound(word: str, rng: np.random.Generator, path: Path) -> Path:
    """Two and a half seconds that are silent, spoken, or neither."""
    length, seed = FRAMES / FPS, int(rng.integers(1 << 30))
    made = noise(length, level_db=float(rng.uniform(-90, -70)), seed=seed)
    if word == "speech":
        voice = str(rng.choice(["en", "en-us+f3", "de", "fr+m3", "es", "it", "pl+f2"]))
        words = speech(str(rng.choice(SENTENCES)), voice=voice)[: len(made)]
        made[: len(words)] += words * 10 ** (rng.uniform(-20, 0) / 20)
        made += noise(length, level_db=float(rng.uniform(-70, -40)), seed=seed + 1)
    elif word == "none":
        loud = float(rng.uniform(-40, -12))
        kinds = (noise(length, level_db=loud, seed=seed), chords(length, root=rng.uniform(90, 500)),
                 tone(length, hertz=rng.uniform(80, 4000), peak_db=loud))  # fmt: skip
        made += kinds[int(rng.integers(3))]
    return write_wav(path, made, channels=int(rng.integers(1, 3)))


SENTENCES = (
    "The camera follows a small boat along the river, and nobody looks up.",
    "Two people walk on the bank while a dog runs after them all the way.",
    "In the evening the light grows warm and the shadows are long and soft.",
)


def captioned(rng: np.random.Generator) -> Change:
    """Large words that stay, at the bottom, in the middle or in a corner."""
    words = " ".join(rng.choice(["REELMILL", "Harbour", "LIVE", "chapter", "NEWS", "Tuesday"], 2))
    place = (rng.uniform(0.05, 0.2), float(rng.choice([0.05, 0.4, 0.78])))

    def change(index: int, frame: Image.Image) -> Image.Image:
        font = ImageFont.load_default(frame.size[1] * 0.11)
        at = (place[0] * frame.size[0], place[1] * frame.size[1])
        ImageDraw.Draw(frame).text(at, words, "white", font, stroke_width=2, stroke_fill="black")
        return frame

    return change


def screen(rng: np.random.Generator, size: tuple[int, int]) -> Iterator[Image.Image]:
    """A desktop: windows with lines of text, in which text is typed and a pointer moves."""
    tone = "black" if rng.random() < 0.3 else "white"
    back = tuple(int(v) for v in rng.integers(40, 220, 3))
    still = Image.new("RGB", size, back)
    draw = ImageDraw.Draw(still)
    boxes = []
    for _ in range(int(rng.integers(2, 4))):
        x, y = rng.uniform(0, 0.4) * size[0], rng.uniform(0, 0.4) * size[1]
        box = (x, y, x + rng.uniform(0.4, 0.6) * size[0], y + rng.uniform(0.4, 0.6) * size[1])
        draw.rectangle(box, tone, "gray")
        draw.rectangle((box[0], box[1], box[2], box[1] + 12), "#568")
        boxes.append(box)
        for line in np.arange(box[1] + 18, box[3] - 12, 14):
            words = "lorem ipsum dolor sit amet consectetur"[: int(rng.integers(5, 34))]
            draw.text((box[0] + 6, line), words, "gray")
    line = "def measure(look, before): return (look.luma.mean() / 255,)  # a quarter second"
    for index in range(FRAMES):
        frame = still.copy()
        pen = ImageDraw.Draw(frame)
        pen.text((boxes[-1][0] + 6, boxes[-1][1] + 30), line[: index // 2], "red")
        x, y = (0.2 + 0.5 * index / FRAMES) * size[0], (0.8 - 0.4 * index / FRAMES) * size[1]
        pen.polygon([(x, y), (x, y + 14), (x + 9, y + 9)], "black", "white")
        yield frame
