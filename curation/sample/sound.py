"""Sounds with known truth: tones, noise, chords, silence, and speech by a synthesiser.

All are mono, 48 kHz, float32 from −1 to 1, the same each time.
"""

from __future__ import annotations

import ctypes
import importlib.util
import wave
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

RATE = 48_000
Sound = npt.NDArray[np.float32]
"""Samples at 48 kHz, shape [n]."""


def silence(seconds: float) -> Sound:
    """Nothing."""
    return np.zeros(round(seconds * RATE), np.float32)


def tone(seconds: float, *, hertz: float = 1000.0, peak_db: float = -20.0) -> Sound:
    """A sine; `peak_db` is its peak in dB of full scale."""
    time = np.arange(round(seconds * RATE)) / RATE
    return np.asarray(10 ** (peak_db / 20) * np.sin(2 * np.pi * hertz * time), np.float32)


def noise(seconds: float, *, level_db: float = -30.0, seed: int = 0) -> Sound:
    """White noise; `level_db` is its root mean square in dB of full scale."""
    samples = np.random.default_rng(seed).normal(0, 10 ** (level_db / 20), round(seconds * RATE))
    return np.asarray(np.clip(samples, -1, 1), np.float32)


def chords(seconds: float, *, root: float = 220.0) -> Sound:
    """A struck chord twice a second, as a simple accompaniment has."""
    time = np.arange(round(seconds * RATE)) / RATE
    struck = sum(np.sin(2 * np.pi * root * step * time) for step in (1, 1.26, 1.5, 2))
    return np.asarray(0.08 * struck * np.exp(-3 * (2 * time % 1)), np.float32)


def can_speak() -> bool:
    """Whether eSpeak NG is here, as the package espeakng-loader brings it."""
    return importlib.util.find_spec("espeakng_loader") is not None


def spoken(words: str, *, voice: str = "en") -> Sound:
    """The words as eSpeak NG speaks them; `ModuleNotFoundError` where it is not installed."""
    import espeakng_loader

    library = ctypes.CDLL(espeakng_loader.get_library_path())
    heard: list[npt.NDArray[np.int16]] = []
    kind = ctypes.CFUNCTYPE(
        ctypes.c_int, ctypes.POINTER(ctypes.c_short), ctypes.c_int, ctypes.c_void_p
    )

    def take(samples: Any, count: int, _events: Any) -> int:
        if samples and count:
            heard.append(np.ctypeslib.as_array(samples, (count,)).copy())
        return 0

    callback = kind(take)
    synchronous, position, by_character = 2, 0, 1
    rate = library.espeak_Initialize(synchronous, 0, espeakng_loader.get_data_path().encode(), 0)
    library.espeak_SetSynthCallback(callback)
    library.espeak_SetVoiceByName(voice.encode())
    text = words.encode()
    library.espeak_Synth(text, len(text) + 1, position, by_character, 0, 1, None, None)
    library.espeak_Synchronize()
    samples = np.concatenate(heard).astype(np.float32) / 32768
    times = np.arange(int(len(samples) * RATE / rate)) * rate / RATE
    return np.asarray(np.interp(times, np.arange(len(samples)), samples), np.float32)


def write(path: Path, samples: Sound, *, channels: int = 1) -> Path:
    """Writes a 16-bit WAV file, the same samples on each channel; returns its path."""
    levels = np.asarray(np.clip(samples, -1, 1) * 32767, "<i2")
    with wave.open(str(path), "wb") as file:
        file.setparams((channels, 2, RATE, 0, "NONE", ""))
        file.writeframes(np.repeat(levels[:, None], channels, axis=1).tobytes())
    return path
