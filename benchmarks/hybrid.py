"""Search by words over captioned renders: by caption, by vector, and by both fused.

    python examples/train_clip.py runs/clip
    python benchmarks/hybrid.py runs/clip

Renders 200 clips of `captioned_clips`, half of them combinations that the model never
saw, scans them with the model as embedder, and gives each a caption that names each of its five
fields with probability 0.6. Then it searches:

- for each of the 100 held-out clips by its full description, by vector among those 100: recall@1;
- for 100 descriptions by three fields of some clip, by words, by vectors and by both: nDCG@10.

How well a clip fits a description of three fields is 2 if it has them all, 1 with two, else 0; its
gain is 2^grade − 1 (Järvelin and Kekäläinen, 2002, as used since Burges et al., 2005).
"""

import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]
sys.path.append(str(ROOT / "examples"))

import argparse  # noqa: E402
import subprocess  # noqa: E402
import tempfile  # noqa: E402

import numpy as np  # noqa: E402
from PIL import Image  # noqa: E402

from captioned_clips import FIELDS, Subject, Variation, clip_frames, describe  # noqa: E402
from curation import records  # noqa: E402
from curation.embed.base import table_name  # noqa: E402
from curation.embed.clip_embedder import OpenClip  # noqa: E402
from curation.records import Caption  # noqa: E402
from curation.sample.encode import encode  # noqa: E402
from curation.search import Search  # noqa: E402
from ndcg import by_each, say  # noqa: E402
from train_clip import GALLERY, split  # noqa: E402

FPS, SECONDS = 12, 2
PROFILE = """
scan:
  shots: {{ContentChange: {{}}}}
  scores: [Exposure]
  embedders: [OpenClip: {{model: "{model}"}}]
execution: {{executor: in_process}}
"""


def drawn(rng, clips):
    """Things by file name: the first hundred held out, the others trained on."""
    known, held = split()
    some = [held[i] for i in rng.choice(len(held), GALLERY, replace=False)]
    rest = [known[i] for i in rng.choice(len(known), max(clips - GALLERY, 0), replace=False)]
    names = [f"{'held' if i < GALLERY else 'known'}-{i:03d}.mp4" for i in range(clips)]
    return dict(zip(names, [*some, *rest][:clips], strict=True))


def render(folder, subjects, rng):
    for name, subject in subjects.items():
        chance = Variation.random(rng)
        if not (folder / name).exists():
            pictures = clip_frames(subject, chance, FPS * SECONDS, FPS)
            encode(folder / name, map(Image.fromarray, pictures), fps=FPS)


def scan(videos, out, model):
    profile = out.with_suffix(".yaml")
    profile.write_text(PROFILE.format(model=Path(model).resolve()))
    command = [sys.executable, "-m", "pipelines", "scan", str(videos), "--out", str(out)]
    subprocess.run([*command, "--config", str(profile)], cwd=ROOT, check=True)


def caption(search, of, rng):
    """Stores captions that leave out about two fields of five."""
    if search.dataset.catalog.open("captions/people") is not None:
        return
    rows = []
    for clip, source in of.items():
        named = [field for field in FIELDS if rng.random() < 0.6]
        rows.append(Caption(clip, source[0], describe(source[1], named)))
    search.dataset.catalog.append("captions/people", Caption, records.to_table(Caption, rows))


def recall(search, of, table):
    asked = {clip: subject for clip, (_, subject, held) in of.items() if held}
    found = [
        search.query(subject.caption, by="vectors", embeddings=table, where="uri like '%held-%'",
                     k=1, collapse=False)["clip_id"].to_pylist() == [clip]
        for clip, subject in asked.items()
    ]  # fmt: skip
    return sum(found) / len(found), len(found)


def grade(subject, other, fields):
    return max(0, sum(getattr(subject, f) == getattr(other, f) for f in fields) - 1)


def questions(of, rng, count=100):
    """Descriptions by three fields of some clip, and the gain of each clip."""
    clips = list(of)
    for _ in range(count):
        subject: Subject = of[clips[rng.integers(len(clips))]][1]
        fields = sorted(rng.choice(FIELDS, 3, replace=False), key=FIELDS.index)
        gains = {clip: 2 ** grade(subject, other, fields) - 1 for clip, (_, other, _) in of.items()}
        yield describe(subject, fields), gains


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("model", help="folder that examples/train_clip.py wrote")
    parser.add_argument("--clips", type=int, default=200)
    parser.add_argument("--keep", type=Path, help="folder for renders and output")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        place = options.keep or Path(scratch)
        videos, out = place / "videos", place / "out"
        videos.mkdir(parents=True, exist_ok=True)
        subjects = drawn(np.random.default_rng(0), options.clips)
        render(videos, subjects, np.random.default_rng(1))
        scan(videos, out, options.model)
        search = Search(out)
        rows = search.dataset.clips().select(["clip_id", "source_id", "uri"]).to_pylist()
        of = {
            row["clip_id"]: (row["source_id"], subjects[name], name.startswith("held"))
            for row in rows
            for name in [Path(row["uri"]).name]
        }
        caption(search, {c: v[:2] for c, v in of.items()}, np.random.default_rng(2))
        search.update()
        table = table_name(OpenClip(str(Path(options.model).resolve())))
        share, asked = recall(search, of, table)
        print(f"text to clip by vector among {asked} held-out clips: recall@1 {share:.2f}")
        say(by_each(search, questions(of, np.random.default_rng(3)), table))


if __name__ == "__main__":
    main()
