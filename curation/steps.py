"""The pipeline, declared once: its steps in their order, and what the other modules need of them.

Command line, configuration, runner, service, report, `verify` and the generated docs read `STEPS`.
A further step takes an entry here, a module with its stage and its `plan`, a record if its outcome
needs columns of its own, and its section of `configs/default.yaml` if it has settings.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from curation.errors import ReelmillError


class UnknownStepError(ReelmillError, ValueError):
    """There is no step of this name; the message says which there are."""


@dataclass(frozen=True)
class StepInfo:
    """One step of the pipeline."""

    name: str
    """Its command, and what `runs` calls it."""
    help: str
    """What it does; the first sentence is its summary."""
    examples: tuple[str, ...]
    """Command lines."""
    unit: str
    """What it counts: `sources` or `clips`."""
    section: str
    """The section of the configuration that decides its rows."""
    reads: tuple[str, ...]
    """Further sections that it reads."""
    record: str
    """`module:Class` of its outcomes: one row for each source or clip, with `outcome` and
    `reason`."""
    outcomes: str
    """Its table of outcomes, or the folder of those tables where other settings fill another."""
    success: str
    """What a good outcome is called."""
    plan: str
    """`module:function` from a `StepRequest` to a `Step`, imported when the step runs; none for
    `select`."""
    content: str | None = None
    """The folder of the tables with its rows, where the outcomes only mark these as committed."""
    settings: str | None = None
    """`module:Class`: a dataclass whose fields are the section's keys, where the configuration has
    no reader of its own for it."""

    @property
    def summary(self) -> str:
        """The first sentence of its help."""
        return self.help.partition("\n\n")[0].replace("\n", " ")

    @property
    def is_of_clips(self) -> bool:
        """Whether it gives kept clips an outcome: all but `scan` and `select`."""
        return bool(self.plan) and self.unit == "clips"

    @property
    def kind(self) -> str:
        """What its tables hold: `renders`, `captions`, `tokens`."""
        return self.content or self.outcomes

    def load_plan(self) -> Callable[[Any], Any]:
        """The function from a `curation.step.StepRequest` to the `Step`."""
        function: Callable[[Any], Any] = load_object(self.plan)
        return function

    def load_record(self) -> type:
        """The record of its outcomes."""
        record: type = load_object(self.record)
        return record


def load_object(name: str) -> Any:
    """What `module:attribute` names."""
    module, _, attribute = name.partition(":")
    return getattr(importlib.import_module(module), attribute)


_CAPTION_HELP = """\
Describe the clips that the newest selection keeps, in a table of captions of their own.

The captioner is `caption.captioner`: FactsCaption puts measured values into words; VlmCaption runs
a vision-language model of transformers; ApiCaption queries a server such as vLLM or Ollama. Run it
again to resume, and with another captioner to fill another table: docs/captions.md.
"""
_CAPTION_EXAMPLES = (
    "reelmill caption out",
    "reelmill caption out -s captioner=VlmCaption -s VlmCaption.model=models/smolvlm",
    "reelmill caption out -s captioner=ApiCaption -s url=http://gpu:8000/v1"
    " -s ApiCaption.model=qwen3-vl",
    "reelmill caption out -c captions.yaml --retry no_caption",
)

STEPS: dict[str, StepInfo] = {
    step.name: step
    for step in (
        StepInfo(
            name="scan",
            help="Decode each source once: shots, scores, thumbnails, embeddings.",
            examples=("reelmill scan videos.csv --out s3://bucket/curated",),
            unit="sources",
            section="scan",
            reads=("sandbox",),
            record="curation.records:Source",
            outcomes="sources",
            success="scanned",
            plan="curation.scan.step:plan",
        ),
        StepInfo(
            name="select",
            help="Apply a policy to the stored scores; takes seconds and reads no video.",
            examples=("reelmill select out --set motion.min=0.3",),
            unit="clips",
            section="policy",
            reads=(),
            record="curation.records:Verdict",
            outcomes="selection",
            success="kept",
            plan="",
        ),
        StepInfo(
            name="render",
            help="Write the clips that the newest selection keeps.",
            examples=("reelmill render out --set render.mode=copy",),
            unit="clips",
            section="render",
            reads=("sandbox",),
            record="curation.records:Render",
            outcomes="renders",
            success="rendered",
            plan="curation.render.step:plan",
        ),
        StepInfo(
            name="caption",
            help=_CAPTION_HELP,
            examples=_CAPTION_EXAMPLES,
            unit="clips",
            section="caption",
            reads=("render", "sandbox"),
            record="curation.records:CaptionedClip",
            outcomes="captioned",
            success="captioned",
            plan="curation.caption.step:plan",
            content="captions",
        ),
        StepInfo(
            name="tokenize",
            help="Turn rendered clips into token shards.",
            examples=("reelmill tokenize out --set tokenizer=pca-4x8x8",),
            unit="clips",
            section="tokenize",
            reads=("render", "sandbox"),
            record="curation.records:TokenizedClip",
            outcomes="tokenized",
            success="tokenized",
            plan="tokenizer.tokenize.step:plan",
            content="tokens",
        ),
    )
}
"""Every step by name, in the order of `reelmill curate`."""


def clip_steps() -> list[StepInfo]:
    """The steps that give kept clips an outcome, in order."""
    return [step for step in STEPS.values() if step.is_of_clips]


def steps_until(last: str | None) -> tuple[str, ...]:
    """The names of the steps up to one of them, or of all; `UnknownStepError` for another name."""
    names = tuple(STEPS)
    if last is None:
        return names
    if last not in names:
        raise UnknownStepError(f"until: there is no step {last!r}; there are {', '.join(names)}")
    return names[: names.index(last) + 1]


def step_of_kind(kind: str) -> StepInfo:
    """The step that fills tables such as `renders`, `captions` or `tokens`."""
    return next(step for step in STEPS.values() if step.kind == kind)
