"""The report: one HTML file that shows people what an output holds and why."""

from __future__ import annotations

from pipelines.report.comparison import UnknownSelectionError
from pipelines.report.page import write_report

__all__ = ["UnknownSelectionError", "write_report"]
