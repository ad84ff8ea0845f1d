"""The token that a Ray cluster asks for, from where Ray itself looks for it."""

from __future__ import annotations

import os
from pathlib import Path

from curation.errors import InfrastructureError


def ray_token() -> str | None:
    """`RAY_AUTH_TOKEN`, the file that `RAY_AUTH_TOKEN_PATH` names, or `~/.ray/auth_token`.

    None if there is none. Raises `EnvironmentFaultError` for a named file that cannot be read.
    """
    if token := os.environ.get("RAY_AUTH_TOKEN", "").strip():
        return token
    named = os.environ.get("RAY_AUTH_TOKEN_PATH")
    path = Path(named) if named else Path.home() / ".ray" / "auth_token"
    try:
        return path.read_text(encoding="utf-8").strip() or None
    except OSError as error:
        if named is None:
            return None
        raise InfrastructureError(f"RAY_AUTH_TOKEN_PATH: {error}") from error
