"""How loud the sound is, and how much of the clip is silent.

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

from curation.scores.frame import Floats, Row, SoundScore, field, tag

_RATE = 16_000
_STEP = 1_600
_SILENT_DB = -60.0
_GATE, _RELATIVE = -70.0, -10.0
_SILENT_SHARE = 0.95

SOUNDS = {
    "silent": "There is a sound track, and nothing in it.",
    "audible": "Something can be heard.",
}


@dataclass(frozen=True, slots=True)
class LoudnessScores:
    """How loud one clip is; all null without a sound track."""

    clip_id: str
    """The clip."""
    source_id: str
    """Its source."""
    sound: str | None = tag(
        "Whether anything can be heard.",
        SOUNDS,
        ("unwanted_sound", "There is sound, or silence, where the policy does not want it."),
    )
    """Silent where at least 95 % of the clip is silence."""
    loudness: float | None = field(
        "How loud the sound is.",
        low=("too_quiet", "The sound is quieter than the policy asks for."),
        high=("too_loud", "The sound is louder than the policy allows."),
    )
    """Integrated loudness in LUFS; null for silence and for less than 0.4 s."""
    silence_share: float | None = field(
        "How much of the time nothing is to be heard.",
        high=("mostly_silent", "Nothing is to be heard for too much of the clip."),
    )
    """Share of the tenths of a second below −60 dB of full scale, 0–1."""


@dataclass(frozen=True)
class Loudness(SoundScore):
    """Measures loudness and silence."""

    group: ClassVar[str] = "loudness"
    record: ClassVar[type[LoudnessScores]] = LoudnessScores
    step_s: ClassVar[float] = _STEP / _RATE

    def measure(self, samples: npt.NDArray[np.float32]) -> Floats:
        """Level of each tenth of a second in dB of full scale."""
        steps = -(-len(samples) // _STEP)
        padded = np.pad(samples.astype(np.float64), (0, steps * _STEP - len(samples)))
        power = (padded.reshape(steps, _STEP) ** 2).mean(axis=1)
        return np.asarray(10 * np.log10(np.maximum(power, 1e-12)))[:, None]

    def summarise(self, measures: Floats, loudness: Floats) -> Row:
        """Gated mean of the loudness, and the share of silence."""
        silence = float((measures[:, 0] < _SILENT_DB).mean())
        return {
            "sound": "silent" if silence >= _SILENT_SHARE else "audible",
            "loudness": integrated(loudness),
            "silence_share": round(silence, 5),
        }


def integrated(momentary: Floats) -> float | None:
    """Integrated loudness in LUFS of momentary values [n]; None where all are below the gate."""
    loud = momentary[momentary > _GATE]  # NaN is not
    if not len(loud):
        return None
    loud = loud[loud > _mean(loud) + _RELATIVE]
    return round(_mean(loud), 2)


def _mean(loudness: Floats) -> float:
    """The loudness of the mean power."""
    return float(10 * np.log10((10 ** (loudness / 10)).mean()))
