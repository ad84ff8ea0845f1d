"""Speech, by Silero's voice activity detector (github.com/snakers4/silero-vad, MIT, ONNX form).

Its package carries the weights. It classifies 32 ms of 16 kHz mono at a time. Cost: about 5 ms of
CPU for a second of sound.
"""

from __future__ import annotations

import importlib.util
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt

from curation.errors import InfrastructureError
from curation.extras import install_command
from curation.records import ClipRow
from curation.scores import detector
from curation.scores.base import Float64Array, Row, SoundScore, field, tag
from curation.scores.detector import MissingModelError

_FRAME, _CONTEXT = 512, 64
_MIN_SPEECH_S = 0.5

VOICES = {
    "speech": "Somebody speaks.",
    "none": "There is sound, but no speech.",
}


@dataclass(frozen=True, slots=True)
class SpeechScores(ClipRow):
    """How much is spoken in one clip; all null without a sound track."""

    voice: str | None = tag(
        "Whether somebody speaks.",
        VOICES,
        ("unwanted_voice", "There is speech, or none, where the policy does not allow it."),
    )
    """`speech` from half a second and a tenth of the clip on."""
    speech_share: float | None = field(
        "How much of the time somebody speaks.",
        low=("little_speech", "There is less speech than the policy requires."),
        high=("speech", "There is more speech than the policy allows."),
    )
    """Share of the clip's sound that is speech, 0–1."""


@dataclass(frozen=True)
class Speech(SoundScore):
    """Detects speech."""

    threshold: float = 0.5
    """Least probability of speech, 0–1."""
    group: ClassVar[str] = "speech"
    record: ClassVar[type[SpeechScores]] = SpeechScores
    step_s: ClassVar[float] = _FRAME / 16_000

    def __post_init__(self) -> None:
        """Raises `MissingModelError` without the packages."""
        for package in ("onnxruntime", "silero_vad"):
            if importlib.util.find_spec(package) is None:
                raise MissingModelError(f"{package} is not installed: {install_command('speech')}")

    def load(self) -> None:
        """Loads the detector; `InfrastructureError` where this machine has none."""
        _session()

    def measure(self, samples: npt.NDArray[np.float32]) -> Float64Array:
        """Probability of speech in each 32 ms, 0–1."""
        frames = -(-len(samples) // _FRAME)
        padded = np.pad(samples, (_CONTEXT, frames * _FRAME - len(samples)))
        state = np.zeros((2, 1, 128), np.float32)
        rate, session, speech = np.array(16_000, np.int64), _session(), np.empty((frames, 1))
        for index in range(frames):
            chunk = padded[None, index * _FRAME : (index + 1) * _FRAME + _CONTEXT]
            probability, state = session.run(None, {"input": chunk, "state": state, "sr": rate})
            speech[index] = probability[0, 0]
        return speech

    def summarise(self, measures: Float64Array, loudness: Float64Array) -> Row:
        """The share of the frames that are speech."""
        speech = measures[:, 0] > self.threshold
        share = float(speech.mean())
        enough = speech.sum() * self.step_s >= _MIN_SPEECH_S and share >= 0.1
        return {"voice": "speech" if enough else "none", "speech_share": round(share, 5)}


@cache
def _session() -> Any:
    """The loaded model, found without importing its package, which would load torch."""
    spec = importlib.util.find_spec("silero_vad")
    if spec is None or spec.origin is None:
        raise InfrastructureError(f"silero_vad is missing: {install_command('speech')}")
    return detector.session(str(Path(spec.origin).parent / "data" / "silero_vad.onnx"))
