"""The report: one HTML file that shows people what an output holds and why."""

from __future__ import annotations

from pipelines.report.page import write_report

__all__ = ["write_report"]
