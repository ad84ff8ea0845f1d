"""Errors of an evaluation."""

from __future__ import annotations

from curation.errors import ReelmillError


class EvaluationError(ReelmillError, ValueError):
    """An evaluation that cannot be done as requested; the message says why."""


class NoClipsError(EvaluationError):
    """No clip to evaluate on; the message says why and what to do."""
