"""Loudness of the sound, and the share of silence.

Integrated loudness of EBU R128 (ITU-R BS.1770-5): blocks of 0.4 s, one each tenth of a second, of
K-weighted sound on all channels; blocks below −70 LUFS do not count, nor those more than 10 LU
below the mean of the rest. A clip without a block above −70 LUFS has none. Silence is sound below
−60 dB of full scale, over tenths of a second.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import numpy.typing as npt

from curation.records import ClipRow
from curation.scores.base import Float64Array, Row, SoundScore, field, tag

_RATE = 16_000
_STEP = 1_600
_SILENT_DB = -60.0
_GATE, _RELATIVE = -70.0, -10.0
_SILENT_SHARE = 0.95

SOUNDS = {
    "silent": "There is a sound track, and nothing in it.",
    "audible": "The sound is audible.",
}


@dataclass(frozen=True, slots=True)
class LoudnessScores(ClipRow):
    """How loud one clip is; all null without a sound track."""

    sound: str | None = tag(
        "Whether anything is audible.",
        SOUNDS,
        ("unwanted_sound", "There is sound, or silence, where the policy does not allow it."),
    )
    """Silent where at least 95 % of the clip is silence."""
    loudness: float | None = field(
        "How loud the sound is.",
        low=("too_quiet", "The sound is quieter than the policy requires."),
        high=("too_loud", "The sound is louder than the policy allows."),
    )
    """Integrated loudness in LUFS; null for silence and for less than 0.4 s."""
    silence_share: float | None = field(
        "How much of the time is silent.",
        high=("mostly_silent", "Too much of the clip is silent."),
    )
    """Share of the tenths of a second below −60 dB of full scale, 0–1."""


@dataclass(frozen=True)
class Loudness(SoundScore):
    """Measures loudness and silence."""

    group: ClassVar[str] = "loudness"
    record: ClassVar[type[LoudnessScores]] = LoudnessScores
    step_s: ClassVar[float] = _STEP / _RATE

    def measure(self, samples: npt.NDArray[np.float32]) -> Float64Array:
        """Level of each tenth of a second in dB of full scale."""
        padded = np.pad(samples.astype(np.float64), (0, -len(samples) % _STEP))
        power = (padded.reshape(-1, _STEP) ** 2).mean(axis=1)
        return np.asarray(10 * np.log10(np.maximum(power, 1e-12)))[:, None]

    def summarise(self, measures: Float64Array, loudness: Float64Array) -> Row:
        """Gated mean of the loudness, and the share of silence."""
        silence = float((measures[:, 0] < _SILENT_DB).mean())
        return {
            "sound": "silent" if silence >= _SILENT_SHARE else "audible",
            "loudness": integrated_loudness(loudness),
            "silence_share": round(silence, 5),
        }


def integrated_loudness(momentary: Float64Array) -> float | None:
    """Integrated loudness in LUFS of momentary values [n]; None where all are below the gate."""
    loud = momentary[momentary > _GATE]  # NaN is not
    if not len(loud):
        return None
    loud = loud[loud > _mean_power_lufs(loud) + _RELATIVE]
    return round(_mean_power_lufs(loud), 2)


def _mean_power_lufs(loudness: Float64Array) -> float:
    return float(10 * np.log10((10 ** (loudness / 10)).mean()))
