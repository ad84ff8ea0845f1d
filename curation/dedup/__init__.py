"""De-duplication: which clips show the same footage, or the same kind of scene, as a better one."""

from __future__ import annotations

from curation.dedup.vectors import unpack

__all__ = ["unpack"]
