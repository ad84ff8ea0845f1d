"""What the presets of x264 cost and keep, so that a default can be chosen.

    python benchmarks/presets.py FOLDER [--frames 150] [--crf 18 23] [--presets NAME ...]

Encodes the first frames of every video of the folder. Prints CPU seconds without those of decoding,
as multiples of bare decodes of the same frames, the size of the files, and the PSNR of their luma,
that of all frames together.
"""

from __future__ import annotations

import argparse
import re
import resource
import subprocess
import tempfile
from pathlib import Path

import numpy as np

from curation.media.ffmpeg_command import ffmpeg_path

PRESETS = ("ultrafast", "superfast", "veryfast", "faster", "medium")
_PSNR = re.compile(r"PSNR Mean Y:([\d.]+)")


def run(source: Path, frames: int, *arguments: str) -> tuple[float, str]:
    """CPU seconds of ffmpeg and what it said."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    done = subprocess.run(
        [ffmpeg_path(), "-nostdin", "-hide_banner", "-threads", "1", "-i", str(source),
         "-map", "0:V:0", "-fps_mode", "passthrough", "-frames:v", str(frames), *arguments],
        check=True, capture_output=True, text=True, errors="replace",
    )  # fmt: skip
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu_s = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return cpu_s, done.stderr


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--frames", type=int, default=150)
    parser.add_argument("--crf", type=int, nargs="+", default=[18, 23])
    parser.add_argument("--presets", nargs="+", default=PRESETS)
    arguments = parser.parse_args()
    sources = sorted(arguments.folder.iterdir())
    bare = sum(run(source, arguments.frames, "-f", "null", "-")[0] for source in sources)
    print("| preset | crf | CPU s | / bare decode | MB | PSNR of luma, dB |\n" + "|---" * 6 + "|")
    for crf in arguments.crf:
        for preset in arguments.presets:
            cpu_s = size = 0.0
            noise = []
            with tempfile.TemporaryDirectory() as folder:
                for source in sources:
                    target = Path(folder) / "clip.mp4"
                    used, said = run(
                        source, arguments.frames, "-c:v", "libx264", "-threads", "1",
                        "-preset", preset, "-crf", str(crf), "-pix_fmt", "yuv420p",
                        "-x264-params", "psnr=1", "-y", str(target),
                    )  # fmt: skip
                    cpu_s, size = cpu_s + used, size + target.stat().st_size
                    noise.append(10 ** (-float(_PSNR.findall(said)[-1]) / 10))
            psnr = -10 * float(np.log10(np.mean(noise)))
            cpu_s -= bare
            print(f"| {preset} | {crf} | {cpu_s:.1f} | {cpu_s / bare:.1f} | {size / 1e6:.2f} |"
                  f" {psnr:.1f} |", flush=True)  # fmt: skip


if __name__ == "__main__":
    main()
