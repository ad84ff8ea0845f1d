"""What de-duplication finds, loses and costs, against truth by construction and exact search.

    python benchmarks/dedup.py --only truth [--videos FOLDER] [--bases 60] [--fresh]
    python benchmarks/dedup.py --only scale [--sizes 10000 100000 1000000] [--dim 512]
    python benchmarks/dedup.py --only real --videos FOLDER

*Truth*: copies of real and painted clips under known transforms go through scan and select. Printed
are recall by transform with 95 % confidence (Wilson 1927), precision over all pairs, B-cubed F1
(Bagga and Baldwin 1998) of the groups, what is removed, clips removed without a kept one, and what
classic descriptors of one vector a clip find at precision 0.99. `--fresh` takes other bases: other
windows of the videos, other table tops and other cards.

*Scale*: vectors in clusters of uneven size, a fifth of them copies. The same search beside exact
all-pairs search (timed on a sample of queries, and scaled) and beside the published SemDeDup rule
(Abbas et al. 2023): pairs within a k-means cell alone, and what is kept decided by the distance to
the centroid; up to 100,000 also beside faiss's own range search over inverted lists. Run on an
otherwise idle machine; trust the ratios.

*Real*: whole videos of a folder, of which `dup_group` in its MANIFEST.csv names those that are
copies of one another.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import tempfile
from pathlib import Path
from typing import Any

from curation.select.policy import Policy
from dedup_scale import measured_scale
from dedup_truth import MUST, Made, make, manifest
from dedup_verdicts import among_real, judged, scanned


def truth(arguments: argparse.Namespace) -> dict[str, Any]:
    """Makes the clips, scans them, selects, and compares."""
    with tempfile.TemporaryDirectory(prefix="reelmill-") as scratch:
        folder = arguments.keep or Path(scratch)
        made = make(folder / "clips", arguments.videos, arguments.bases, arguments.workers,
                    arguments.fresh)  # fmt: skip
        print(f"{len(made)} clips of {len({each.base for each in made})} bases", flush=True)
        dataset = scanned(folder / "out", made, arguments.workers)
        return judged(dataset, made, arguments.threshold)


def show_truth(found: dict[str, Any]) -> None:
    print(f"\n{'transform':<14}{'found':>10}{'recall':>9}   95 % confidence")
    for name, (hits, count, low, high) in found["recall"].items():
        mark = "*" if name in MUST else " "
        share = f"{hits / max(1, count):>9.3f}"
        print(f"{name + mark:<14}{f'{hits}/{count}':>10}{share}   {low:.3f}–{high:.3f}")
    hits, count, low, high = found["must"]
    print(f"{'all of *':<14}{f'{hits}/{count}':>10}{hits / count:>9.3f}   {low:.3f}–{high:.3f}")
    right, pairs, low, high = found["precision"]
    print(f"pair precision {right / pairs:.4f} ({right}/{pairs}; {low:.4f}–{high:.4f})")
    print(f"worst false pairs {found['false']}")
    print(f"B-cubed F1 {found['bcubed']:.4f}, removed {found['removed']:.1%}, "
          f"orphans {found['orphans']}")  # fmt: skip
    share, each_ms = found["candidates"]
    print(
        f"of pairs of different videos 1 in {1 / share:,.0f} is a candidate; {each_ms:.1f} ms each"
    )
    show_descriptors(found["descriptors"])


def show_descriptors(found: dict[str, dict[str, float]]) -> None:
    print("\nThreshold at precision 0.99 on one half of the bases; the rest on the other half")
    print(f"{'':<14}" + "".join(f"{name:>15}" for name in found))
    for row in next(iter(found.values())):
        mark = "*" if row in MUST else " "
        print(f"{row + mark:<14}" + "".join(f"{each[row]:>15.3f}" for each in found.values()))


def real(arguments: argparse.Namespace) -> dict[str, Any]:
    """Scans whole videos and compares the pairs found with the groups that are known."""
    made = [Made(arguments.videos / row["file"], row["dup_group"] or row["file"], "original")
            for row in manifest(arguments.videos)]  # fmt: skip
    with tempfile.TemporaryDirectory(prefix="reelmill-") as scratch:
        return among_real(scanned(Path(scratch), made, arguments.workers), made)


def show_real(found: dict[str, Any], threshold: float) -> None:
    copies = [similarity for similarity, *_ in found["copies"]]
    print(f"\n{sum(s >= threshold for s in copies)} of {len(copies)} pairs of known copies found:")
    for similarity, *names in found["copies"]:
        print(f"  {similarity:.3f}  {' '.join(names)}")
    print("other pairs that are stored:")
    for similarity, *names in found["others"]:
        print(f"  {similarity:.3f}  {' '.join(names)}")


def scale(arguments: argparse.Namespace) -> list[dict[str, Any]]:
    """Measures each size in a process of its own, so that its peak memory is its own."""
    results = []
    for size in arguments.sizes:
        with multiprocessing.get_context("spawn").Pool(1) as pool:
            given = (size, arguments.dim, arguments.floor)
            results.append(pool.apply(measured_scale, given))
        show_scale(results[-1])
    return results


def show_scale(found: dict[str, Any]) -> None:
    print(f"\n{found['vectors']:,} × {found['dim']}, pairs from {found['floor']}", flush=True)
    for name, value in found.items():
        if name not in ("vectors", "dim", "floor"):
            shown = f"{value:,}" if isinstance(value, int) else f"{value:,.4g}"
            print(f"  {name:<44}{shown:>14}", flush=True)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", choices=["truth", "scale", "real"])
    parser.add_argument("--videos", type=Path, help="a folder of real videos to cut from")
    parser.add_argument("--bases", type=int, default=60)
    parser.add_argument("--fresh", action="store_true", help="other bases than the usual ones")
    parser.add_argument("--threshold", type=float, default=Policy().near_duplicates)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--keep", type=Path, help="leave the clips here")
    parser.add_argument("--sizes", type=int, nargs="*", default=[10_000, 100_000, 1_000_000])
    parser.add_argument("--dim", type=int, default=512)
    parser.add_argument("--floor", type=float, default=0.8)
    parser.add_argument("--json", type=Path)
    asked = parser.parse_args()
    results: dict[str, Any] = {}
    if asked.only in (None, "truth"):
        results["truth"] = truth(asked)
        show_truth(results["truth"])
    if asked.only == "real" or (asked.videos and not asked.only):
        results["real"] = real(asked)
        show_real(results["real"], asked.threshold)
    if asked.only in (None, "scale"):
        results["scale"] = scale(asked)
    if asked.json:
        asked.json.write_text(json.dumps(results, indent=1))
