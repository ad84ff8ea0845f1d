"""Audio with known truth: tones, noise, chords, and synthesised speech.

All mono, 48 kHz, float32 from −1 to 1, and deterministic.
"""

from __future__ import annotations

import ctypes
import wave
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

SAMPLE_RATE = 48_000
Samples = npt.NDArray[np.float32]
"""Samples at 48 kHz, shape [n]."""


def tone(seconds: float, *, hertz: float = 1000.0, peak_db: float = -20.0) -> Samples:
    """A sine; `peak_db` is its peak in dB of full scale."""
    time = np.arange(round(seconds * SAMPLE_RATE)) / SAMPLE_RATE
    return np.asarray(10 ** (peak_db / 20) * np.sin(2 * np.pi * hertz * time), np.float32)


def noise(seconds: float, *, level_db: float = -30.0, seed: int = 0) -> Samples:
    """White noise; `level_db` is its root mean square in dB of full scale."""
    rng = np.random.default_rng(seed)
    samples = rng.normal(0, 10 ** (level_db / 20), round(seconds * SAMPLE_RATE))
    return np.asarray(np.clip(samples, -1, 1), np.float32)


def chords(seconds: float, *, root: float = 220.0) -> Samples:
    """A chord struck twice a second, as in a simple accompaniment."""
    time = np.arange(round(seconds * SAMPLE_RATE)) / SAMPLE_RATE
    chord = sum(np.sin(2 * np.pi * root * step * time) for step in (1, 1.26, 1.5, 2))
    return np.asarray(0.08 * chord * np.exp(-3 * (2 * time % 1)), np.float32)


def speech(text: str, *, voice: str = "en") -> Samples:
    """The text spoken by eSpeak NG; `ModuleNotFoundError` if espeakng-loader is missing."""
    import espeakng_loader

    library = ctypes.CDLL(espeakng_loader.get_library_path())
    chunks: list[npt.NDArray[np.int16]] = []
    callback_type = ctypes.CFUNCTYPE(
        ctypes.c_int, ctypes.POINTER(ctypes.c_short), ctypes.c_int, ctypes.c_void_p
    )

    def receive(samples: Any, count: int, _events: Any) -> int:
        if samples and count:
            chunks.append(np.ctypeslib.as_array(samples, (count,)).copy())
        return 0

    callback = callback_type(receive)
    synchronous, position, by_character = 2, 0, 1
    rate = library.espeak_Initialize(synchronous, 0, espeakng_loader.get_data_path().encode(), 0)
    library.espeak_SetSynthCallback(callback)
    library.espeak_SetVoiceByName(voice.encode())
    encoded = text.encode()
    library.espeak_Synth(encoded, len(encoded) + 1, position, by_character, 0, 1, None, None)
    library.espeak_Synchronize()
    samples = np.concatenate(chunks).astype(np.float32) / 32768
    times = np.arange(int(len(samples) * SAMPLE_RATE / rate)) * rate / SAMPLE_RATE
    return np.asarray(np.interp(times, np.arange(len(samples)), samples), np.float32)


def write_wav(path: Path, samples: Samples, *, channels: int = 1) -> Path:
    """Writes a 16-bit WAV file with the same samples on each channel; returns its path."""
    levels = np.asarray(np.clip(samples, -1, 1) * 32767, "<i2")
    with wave.open(str(path), "wb") as file:
        file.setparams((channels, 2, SAMPLE_RATE, 0, "NONE", ""))
        file.writeframes(np.repeat(levels[:, None], channels, axis=1).tobytes())
    return path
