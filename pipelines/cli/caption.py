"""`reelmill caption`: what is said after the work: answers by question, and what had to wait."""

from __future__ import annotations

import pyarrow.compute as pc
from rich.markup import escape
from rich.table import Table

from curation.caption.step import CaptionStep
from curation.caption_tables import NoCaptionsError
from pipelines.cli import terminal
from pipelines.run.pipeline import Job
from pipelines.run.step_runner import Tally

SHORT = """\
Describe the clips that the newest selection keeps, in a table of captions of their own.

The captioner is `caption.captioner`: FactsCaption puts what was measured into words; VlmCaption
runs a vision-language model of transformers; ApiCaption asks a server such as vLLM or Ollama. Run
it again to resume, and with another captioner to fill another table: docs/captions.md.
"""
EXAMPLES = """\
Examples:

reelmill caption out

reelmill caption out -s captioner=VlmCaption -s VlmCaption.model=models/smolvlm

reelmill caption out -s captioner=ApiCaption -s url=http://gpu:8000/v1 -s ApiCaption.model=qwen3-vl

reelmill caption out -c captions.yaml --retry no_caption
"""
_HALF = 0.5


def caption(job: Job, retry: list[str] | None) -> Tally | None:
    """Captions what is kept, and shows what came of it."""
    with terminal.progress("caption", "clips") as watch:
        return job.caption(watch, frozenset(retry or ()))


def told(job: Job) -> None:
    """Prints where the captions are, and how often each question's answer is yes."""
    for step in job.captions:
        terminal.console.print(f"captions: {escape(step.captions)}")
        if step.stage.questions:
            _print_answers(step)


def _print_answers(step: CaptionStep) -> None:
    thresholds = {name: step.stage.thresholds.get(name, _HALF) for name in step.stage.questions}
    try:
        answers = step.dataset.answers(step.captions, thresholds)
    except NoCaptionsError:
        return
    table = Table(box=None, pad_edge=False)
    for title in ("question", "from", "yes", "no"):
        table.add_column(title, justify="left" if title == "question" else "right")
    for name, bound in thresholds.items():
        if name in answers.column_names:
            yes = pc.sum(answers[name]).as_py() or 0
            no = len(answers) - answers[name].null_count - yes
            table.add_row(escape(name), f"{bound:g}", f"{yes:,}", f"{no:,}")
    terminal.console.print(table)
