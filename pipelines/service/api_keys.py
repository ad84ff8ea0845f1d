"""API keys: 256 random bits sent as bearer token, of which only the sha256 is stored.

A browser exchanges its key for a session, whose id it sends as a cookie: other random bits, of
which only the sha256 is stored too. A session ends with its key, by signing out, or after a week.

Each scope includes those before it: `read` looks, `search` queries, `submit` runs jobs and cancels
its own, `admin` does everything.
"""

from __future__ import annotations

import hashlib
import secrets
from dataclasses import dataclass
from datetime import timedelta
from typing import Literal, get_args

from pipelines.service.database import Database, timestamp

Scope = Literal["read", "search", "submit", "admin"]
SCOPES: tuple[Scope, ...] = get_args(Scope)
SESSION_DAYS = 7
_MAX_SESSIONS = 50
"""Of one key; the oldest ends where there are more."""
_IN_FORCE = "revoked IS NULL AND (api_keys.expires IS NULL OR api_keys.expires > ?)"


@dataclass(frozen=True)
class Caller:
    """Who sends a request."""

    name: str
    """`key:` and its id, or `local` without a key."""
    scope: Scope
    """The highest scope of the caller."""

    def may(self, scope: Scope) -> bool:
        """Whether the caller's scope includes another."""
        return SCOPES.index(self.scope) >= SCOPES.index(scope)


LOCAL = Caller("local", "admin")
"""Every caller of a server on loopback that has no keys."""


@dataclass(frozen=True)
class ApiKey:
    """A stored key, without its secret."""

    key_id: str
    name: str
    scope: Scope
    created: str
    expires: str | None
    revoked: str | None


class ApiKeys:
    """The keys of one server."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def create(self, scope: Scope, name: str = "", days: float | None = None) -> str:
        """Adds a key and returns its secret, which cannot be read again."""
        secret = f"reelmill_{secrets.token_hex(32)}"
        expires = None if days is None else timestamp(timedelta(days=days))
        with self._database.transaction() as connection:
            connection.execute(
                "INSERT INTO api_keys VALUES (?, ?, ?, ?, ?, ?, NULL)",
                (secrets.token_hex(6), digest(secret), name, scope, timestamp(), expires),
            )
        return secret

    def find(self, secret: str) -> Caller | None:
        """The caller with this secret; None if it is unknown, has expired or was revoked."""
        row = self._database.fetch_one(
            f"SELECT key_id, scope FROM api_keys WHERE digest = ? AND {_IN_FORCE}",
            digest(secret), timestamp(),
        )  # fmt: skip
        return Caller(f"key:{row['key_id']}", row["scope"]) if row else None

    def start_session(self, secret: str) -> str | None:
        """The id of a new session of the caller with this secret; None if it is not valid."""
        key = self._database.fetch_one(
            f"SELECT key_id FROM api_keys WHERE digest = ? AND {_IN_FORCE}",
            digest(secret), timestamp(),
        )  # fmt: skip
        if key is None:
            return None
        session_id, expires = secrets.token_hex(32), timestamp(timedelta(days=SESSION_DAYS))
        with self._database.transaction() as connection:
            connection.execute(
                "INSERT INTO sessions VALUES (?, ?, ?)",
                (digest(session_id), key["key_id"], expires),
            )
            connection.execute(
                "DELETE FROM sessions WHERE expires <= ?1 OR digest IN (SELECT digest FROM sessions"
                " WHERE key_id = ?2 ORDER BY rowid DESC LIMIT -1 OFFSET ?3)",
                (timestamp(), key["key_id"], _MAX_SESSIONS),
            )
        return session_id

    def find_session(self, session_id: str) -> Caller | None:
        """The caller of a session; None if it has ended, or its key is no longer valid."""
        row = self._database.fetch_one(
            "SELECT key_id, scope FROM sessions JOIN api_keys USING (key_id)"
            f" WHERE sessions.digest = ? AND sessions.expires > ? AND {_IN_FORCE}",
            digest(session_id), *[timestamp()] * 2,
        )  # fmt: skip
        return Caller(f"key:{row['key_id']}", row["scope"]) if row else None

    def end_session(self, session_id: str) -> None:
        """Ends a session; nothing happens if there is none."""
        with self._database.transaction() as connection:
            connection.execute("DELETE FROM sessions WHERE digest = ?", (digest(session_id),))

    def exist(self) -> bool:
        """Whether a key was ever created: from then on every caller needs one."""
        return self._database.fetch_one("SELECT 1 FROM api_keys LIMIT 1") is not None

    def all(self) -> list[ApiKey]:
        """Every key, oldest first."""
        columns = ", ".join(ApiKey.__dataclass_fields__)
        rows = self._database.fetch_all(f"SELECT {columns} FROM api_keys ORDER BY created")
        return [ApiKey(**row) for row in rows]

    def revoke(self, key_id: str) -> bool:
        """Revokes a key; False if there is no such key in force."""
        with self._database.transaction() as connection:
            cursor = connection.execute(
                "UPDATE api_keys SET revoked = ? WHERE key_id = ? AND revoked IS NULL",
                (timestamp(), key_id),
            )
            return cursor.rowcount == 1


def digest(secret: str) -> str:
    """The stored form of a secret. It has 256 random bits, so that a plain hash is enough."""
    return hashlib.sha256(secret.encode("utf-8", "replace")).hexdigest()
