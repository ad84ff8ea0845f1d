"""Clips with known duplicates, by construction: for `benchmarks/dedup.py`.

Base clips are cut from real videos and painted; each is written again under every transform, all by
one ffmpeg. Two files are copies if they are made from one base. Bases are hard for one another on
purpose: windows of one video (same camera, another event), painted tables that differ in what
slides over them (same scene, another actor), and title cards that differ in their words.
"""

from __future__ import annotations

import csv
import subprocess
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import av
import numpy as np
from PIL import Image, ImageDraw, ImageFont

from curation.media.ffmpeg_command import ffmpeg_path
from curation.sample.encode import Coding, encode
from curation.sample.film import Camera, Scene, compose
from curation.sample.scenes import SCENES, Canvas, disc, ground

SIZE = (320, 180)
SECONDS = 4.0
_FPS = 24

TRANSFORMS: dict[str, str] = {
    "crf": "null",
    "scale": "scale=trunc(iw*0.55/2)*2:trunc(ih*0.55/2)*2",
    "letterbox": "pad=iw:trunc(ih*1.3/2)*2:0:(oh-ih)/2",
    "fps": "fps=12",
    "small logo": "drawbox=iw*0.84:ih*0.05:iw*0.12:ih*0.1:white@0.9:fill,"
                  "drawbox=iw*0.87:ih*0.07:iw*0.06:ih*0.05:red:fill",
    "colour": "eq=brightness=0.06:contrast=0.85:saturation=0.6,hue=h=25",
    "grey": "hue=s=0",
    "faster": "setpts=PTS/1.05",
    "slower": "setpts=PTS/0.95",
    "trim": "trim=start={trim},setpts=PTS-STARTPTS",
    "crop 4 %": "crop=trunc(iw*0.96/2)*2:trunc(ih*0.96/2)*2",
    "crop 10 %": "crop=trunc(iw*0.9/2)*2:trunc(ih*0.9/2)*2:iw*0.1:0",
    "mirror": "hflip",
    "all at once": "trim=start=0.4,setpts=(PTS-STARTPTS)/1.03,"
                   "scale=trunc(iw*0.7/2)*2:trunc(ih*0.7/2)*2,eq=brightness=-0.05:contrast=1.1,"
                   "drawbox=iw*0.04:ih*0.85:iw*0.1:ih*0.1:white@0.9:fill",
}  # fmt: skip
"""Transforms by name, as filters of ffmpeg; `concat` is made of two finished files."""
MUST = ("crf", "scale", "letterbox", "fps", "small logo", "colour", "faster", "slower")
"""Those that have to be found nearly always; the others are reported."""
_CRF = {"crf": 36, "all at once": 32}


@dataclass(frozen=True)
class Made:
    """One file."""

    path: Path
    base: str
    transform: str
    """A name of `TRANSFORMS`, `original`, or `concat`."""
    also: str = ""
    """For `concat`: the base that comes after."""


def make(
    folder: Path, videos: Path | None, most: int, workers: int, fresh: bool = False
) -> list[Made]:
    """Writes bases and copies into the folder; at most `most` bases, evenly of what there are.

    `fresh` bases are others than those of the default.
    """
    folder.mkdir(parents=True, exist_ok=True)
    listed = [*painted(fresh), *(cut_from(videos, fresh) if videos else ())]
    step = max(1.0, len(listed) / most)
    chosen = [listed[int(at * step)] for at in range(min(most, len(listed)))]
    with ThreadPoolExecutor(workers) as pool:
        groups = list(pool.map(lambda base: _copies(folder, *base), chosen))
        pairs = zip(groups[::2], groups[1::2], strict=False)
        joined = list(pool.map(lambda pair: _concat(folder, pair[0][0], pair[1][0]), pairs))
    return [made for group in groups for made in group] + joined


Base = tuple[str, Callable[[Path], None]]
"""A name, and what writes it."""


def painted(fresh: bool) -> Iterator[Base]:
    """Scenes at two times, tables with other discs on them, and title cards."""
    for name in () if fresh else SCENES:
        for start in (0.0, 6.0):
            yield f"{name} {start:g}", _painter(lambda name=name: SCENES[name](SIZE), start)
    for table in range(3, 9) if fresh else range(3):
        for actors in range(4):
            name = f"table {table} {actors}"
            yield name, _painter(lambda table=table, actors=actors: _table(table, actors), 0.0)
    for number, words in enumerate(_FRESH_CARDS if fresh else _CARDS):
        yield f"card-{number} 0", _painter(lambda words=words, n=number: _card(words, n % 2 < 1), 0)


_CARDS = ("In a world of rain", "Coming this summer", "Directed by no one", "The end",
          "Chapter two: home", "A film in six parts", "Twenty years on",
          "Music by the sea")  # fmt: skip
_FRESH_CARDS = ("Somewhere in winter", "To be continued", "Based on a true story", "Part one",
                "Written on a train", "With thanks to all", "The next morning",
                "A river runs north")  # fmt: skip


def _painter(scene: Callable[[], Scene], start: float) -> Callable[[Path], None]:
    def write(path: Path) -> None:
        paint = scene()
        pictures = (paint(start + at / _FPS) for at in range(round(SECONDS * _FPS)))
        encode(path, pictures, fps=_FPS, coding=Coding(crf=14))

    return write


def _table(table: int, actors: int) -> Scene:
    """The same table each time, and discs of their own colours, places and ways."""
    on = Canvas(np.random.default_rng(table), SIZE[0] + 216, 234, SIZE[1])
    parts = [ground(on, "#321 #853 #c95", (0.16 + 0.1 * (table % 5), 1.1), (0.04, 1.2))]
    rng = np.random.default_rng(100 * table + actors)
    for colours in rng.permutation(("#149 #6ae #fff", "#911 #e53 #fd7", "#053 #7c5 #ffc"))[:2]:
        at, speed = rng.uniform(-0.6, 0.6, 2), rng.uniform(-0.3, 0.3, 2)
        parts.append(disc(on, str(colours), rng.uniform(0.2, 0.4), tuple(at), tuple(speed)))
    return compose(SIZE, Camera(), parts)


def _card(words: str, dark: bool) -> Scene:
    """White words on black or the reverse, which fade in."""
    font = ImageFont.load_default(size=26)

    def at(time: float) -> Image.Image:
        back, ink = (8, 255) if dark else (248, 0)
        level = round(back + (ink - back) * min(1.0, time))
        picture = Image.new("L", SIZE, back)
        box = ImageDraw.Draw(picture).textbbox((0, 0), words, font)
        place = ((SIZE[0] - box[2]) / 2, (SIZE[1] - box[3]) / 2)
        ImageDraw.Draw(picture).text(place, words, level, font)
        return picture.convert("RGB")

    return at


def cut_from(videos: Path, fresh: bool) -> Iterator[Base]:
    """Windows of each real video, of one file of each group of copies; fresh ones lie between."""
    groups: set[str] = set()
    for row in manifest(videos):
        if row["dup_group"] and row["dup_group"] in groups:
            continue
        groups.add(row["dup_group"])
        path = videos / row["file"]
        last = float(row["seconds"]) - SECONDS + 0.1
        starts = np.arange(4.5 if fresh else 0.0, max(0.1, last), 9.0)
        for start in starts[:4]:
            yield f"{path.name} {start:g}", _cutter(path, float(start))


def manifest(videos: Path) -> list[dict[str, str]]:
    """What is known of the videos of a folder: `MANIFEST.csv`, or else only what a header says."""
    listed = videos / "MANIFEST.csv"
    if listed.exists():
        with listed.open(encoding="utf-8", newline="") as file:
            return list(csv.DictReader(file))
    rows = []
    for path in sorted(p for p in videos.iterdir() if p.is_file()):
        with av.open(str(path)) as container:
            seconds = (container.duration or 0) / av.time_base
        rows.append({"file": path.name, "seconds": str(seconds), "dup_group": ""})
    return rows


def _cutter(video: Path, start: float) -> Callable[[Path], None]:
    def write(path: Path) -> None:
        fit = "scale=w=320:h=320:force_original_aspect_ratio=decrease:force_divisible_by=2"
        # Seeked in what is decoded: some files have frames marked as keys that are none.
        _run(["-i", f"file:{video}", "-ss", f"{start}", "-t", f"{SECONDS}", "-map", "0:v:0",
              "-vf", f"{fit},setsar=1,format=yuv420p", *_coding(14), str(path)])  # fmt: skip

    return write


def _copies(folder: Path, base: str, write: Callable[[Path], None]) -> list[Made]:
    """The base and its transforms; a trim takes another part off each base, 10 to 30 %."""
    stem = base.replace(" ", "_")
    original = folder / f"{stem}.mp4"
    write(original)
    made = [Made(original, base, "original")]
    filters = TRANSFORMS | {
        "trim": TRANSFORMS["trim"].format(trim=SECONDS * (0.1 + sum(base.encode()) % 21 / 100))
    }
    labels = "".join(f"[s{at}]" for at in range(len(filters)))
    graph = [f"[0:v]split={len(filters)}{labels}"]
    outputs: list[str] = []
    for at, (name, chain) in enumerate(filters.items()):
        graph.append(f"[s{at}]{chain},format=yuv420p[o{at}]")
        path = folder / f"{stem}.{name.replace(' ', '_').replace('%', 'percent')}.mp4"
        outputs += ["-map", f"[o{at}]", *_coding(_CRF.get(name, 24)), str(path)]
        made.append(Made(path, base, name))
    _run(["-i", f"file:{original}", "-filter_complex", ";".join(graph), *outputs])
    return made


def _concat(folder: Path, first: Made, second: Made) -> Made:
    """The first base, and after it the second, scaled to the first's size."""
    path = first.path.with_suffix(".concat.mp4")
    with av.open(str(first.path)) as container:
        picture = container.streams.video[0]
        size = f"{picture.width}:{picture.height}"
    graph = (f"[0:v]fps=25,setsar=1[a];[1:v]fps=25,scale={size},setsar=1[b];"
             "[a][b]concat=n=2:v=1,format=yuv420p[o]")  # fmt: skip
    _run(["-i", f"file:{first.path}", "-i", f"file:{second.path}", "-filter_complex", graph,
          "-map", "[o]", *_coding(24), str(path)])  # fmt: skip
    return Made(path, first.base, "concat", second.base)


def _coding(crf: int) -> list[str]:
    return ["-c:v", "libx264", "-preset", "superfast", "-crf", str(crf), "-an", "-threads", "1"]


def _run(arguments: list[str]) -> None:
    command = [ffmpeg_path(), "-hide_banner", "-loglevel", "error", "-nostdin", "-y", *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"ffmpeg: {done.stderr[-800:]}")
