"""The heads of a tokenizer by name: which it has, and decoding from one of them."""

from __future__ import annotations

from collections.abc import Sequence

from tokenizer.interface import Head, Tokenizer, Tokens, Video


def heads_of(tokenizer: Tokenizer) -> tuple[Head, ...]:
    """The heads that a tokenizer has, the discrete one first."""
    codes: tuple[Head, ...] = ("codes",) if tokenizer.levels else ()
    return (*codes, "latents") if tokenizer.channels else codes


def decode_windows(windows: Sequence[Tokens], tokenizer: Tokenizer, head: Head) -> list[Video]:
    """Each window as one head keeps it, uint8 [1 + time · k, H, W, 3].

    Raises `ValueError` for tokens without this head.
    """
    codes = [tokens.codes for tokens in windows if tokens.codes is not None]
    latents = [tokens.latents for tokens in windows if tokens.latents is not None]
    if len(codes if head == "codes" else latents) < len(windows):
        raise ValueError(f"tokens of {tokenizer.name} without {head}")
    return tokenizer.decode_codes(codes) if head == "codes" else tokenizer.decode_latents(latents)
