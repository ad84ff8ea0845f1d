"""The sound of some spans of a source, each as a WAV file of exactly the span's length.

One confined ffmpeg decodes the first sound track once for all spans. Its times are those of the
pictures: where the track is silent, missing or damaged there is silence, and where the container's
times restart or have a gap, the sound goes with the pictures. Damage in the sound is no verdict on
them.
"""

from __future__ import annotations

import os
from collections.abc import Sequence

import ffmpeg

from curation.media import allowlist, sandbox
from curation.media.cut import Span
from curation.media.segments import Stretch, sound_clock


def extract(
    path: str,
    spans: Sequence[Span],
    targets: Sequence[str],
    stretches: tuple[Stretch, ...],
    limits: sandbox.Limits,
) -> bool:
    """Writes the sound of each span to the target of the same place; whether there was any.

    `stretches` say when the container shows the source's frames. Raises `MediaError` for limits.
    """
    clock = sound_clock(stretches)
    if clock is None or not spans:
        return False
    options = {**allowlist.input_options(audio=True), "threads": "1"}
    source = ffmpeg.input("file:" + os.path.abspath(path), vn=None, **options)
    # With `first_pts` there is silence up to where a late track begins.
    whole = source["a:0"].filter("asetpts", clock).filter("atrim", start=0)
    whole = whole.filter("aresample", osf="s16", **{"async": 1, "first_pts": 0})
    parts = whole.filter_multi_output("asplit", len(spans)) if len(spans) > 1 else [whole]
    outputs = []
    for at, (span, target) in enumerate(zip(spans, targets, strict=True)):
        part = parts[at].filter("atrim", start=f"{span.start_s:.6f}", end=f"{span.end_s:.6f}")
        part = part.filter("asetpts", f"PTS-{span.start_s:.6f}/TB")
        part = part.filter("apad", whole_dur=f"{span.duration_s:.6f}")
        outputs.append(ffmpeg.output(part, target, format="wav", acodec="pcm_s16le"))
    merged = ffmpeg.merge_outputs(*outputs) if len(outputs) > 1 else outputs[0]
    head = [
        allowlist.ffmpeg(),
        "-hide_banner",
        "-nostdin",
        "-nostats",
        "-v",
        "error",
        "-copyts",
        "-y",
    ]
    try:
        sandbox.run([*head, "-filter_complex_threads", "1", *merged.get_args()], limits)
    except sandbox.ChildFailedError:
        return False
    return all(os.path.exists(target) for target in targets)
