"""Tokens: 256 random bits that a caller shows, of which only the sha256 is stored.

Scopes are steps, each with all that is below it: `read` looks, `search` asks, `submit` runs jobs
and cancels its own, `admin` does everything.
"""

from __future__ import annotations

import hashlib
import secrets
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from typing import Literal, get_args

from pipelines.service.database import Database, now

Scope = Literal["read", "search", "submit", "admin"]
SCOPES: tuple[Scope, ...] = get_args(Scope)
_PREFIX = "reelmill_"


@dataclass(frozen=True)
class Caller:
    """Who asks."""

    name: str
    """`token:` and its id, or `local` where no token is asked for."""
    scope: Scope
    """The highest step that the caller may do."""

    def may(self, scope: Scope) -> bool:
        """Whether that includes another step."""
        return SCOPES.index(self.scope) >= SCOPES.index(scope)


LOCAL = Caller("local", "admin")
"""Whoever reaches a server on loopback that has no tokens."""


@dataclass(frozen=True)
class Token:
    """A token as it is remembered, without its secret."""

    token_id: str
    name: str
    scope: Scope
    created: str
    expires: str | None
    revoked: str | None


class Tokens:
    """The tokens of one server."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def create(self, scope: Scope, name: str = "", days: float | None = None) -> str:
        """Makes a token and returns its secret, which is shown this once."""
        secret = _PREFIX + secrets.token_hex(32)
        ends = None
        if days is not None:
            ends = (datetime.now(timezone.utc) + timedelta(days=days)).isoformat(
                timespec="milliseconds"
            )
        with self._database.writing() as connection:
            connection.execute(
                "INSERT INTO tokens VALUES (?, ?, ?, ?, ?, ?, NULL)",
                (secrets.token_hex(6), digest(secret), name, scope, now(), ends),
            )
        return secret

    def find(self, secret: str) -> Caller | None:
        """Who shows this secret; None if it is unknown, has expired or was revoked."""
        row = self._database.row(
            "SELECT token_id, scope FROM tokens WHERE digest = ? AND revoked IS NULL"
            " AND (expires IS NULL OR expires > ?)",
            digest(secret), now(),
        )  # fmt: skip
        return Caller(f"token:{row['token_id']}", row["scope"]) if row else None

    def exist(self) -> bool:
        """Whether any was ever made: then every caller has to show one."""
        return self._database.row("SELECT 1 FROM tokens LIMIT 1") is not None

    def all(self) -> list[Token]:
        """Every token, oldest first."""
        rows = self._database.rows("SELECT * FROM tokens ORDER BY created")
        names = Token.__dataclass_fields__
        return [Token(**{name: row[name] for name in names}) for row in rows]

    def revoke(self, token_id: str) -> bool:
        """Ends a token at once; False if there is none that lives."""
        with self._database.writing() as connection:
            changed = connection.execute(
                "UPDATE tokens SET revoked = ? WHERE token_id = ? AND revoked IS NULL",
                (now(), token_id),
            )
            return changed.rowcount == 1


def digest(secret: str) -> str:
    """What is stored of a secret. It has 256 random bits, so that a plain hash is enough."""
    return hashlib.sha256(secret.encode("utf-8", "replace")).hexdigest()
