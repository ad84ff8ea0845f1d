"""The authentication token of a Ray cluster, from where Ray itself reads it."""

from __future__ import annotations

import os
from pathlib import Path

from curation.errors import InfrastructureError


def ray_token() -> str | None:
    """`RAY_AUTH_TOKEN`, the file that `RAY_AUTH_TOKEN_PATH` names, or `~/.ray/auth_token`.

    None if there is none. Raises `InfrastructureError` for a named file that cannot be read.
    """
    if token := os.environ.get("RAY_AUTH_TOKEN", "").strip():
        return token
    token_path = os.environ.get("RAY_AUTH_TOKEN_PATH")
    path = Path(token_path) if token_path else Path.home() / ".ray" / "auth_token"
    try:
        return path.read_text(encoding="utf-8").strip() or None
    except OSError as error:
        if token_path is None:
            return None
        raise InfrastructureError(f"RAY_AUTH_TOKEN_PATH: {error}") from error
