"""Every command of `reelmill`, declared once: where it is listed, what it does, and examples.

The program, its `--help`, `docs/cli.md` and the test that runs the examples read `commands()`. The
module of a command is imported when the command runs, so that listing them costs nothing.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from curation.steps import STEPS, StepInfo, load_object

RUN = "Run: from videos to training data"
LOOK = "Look at an output"
MAINTAIN = "Maintain an output"
SEARCH = "Search and label"
TRAIN = "Train"
SERVE = "Serve, and work with a server"


@dataclass(frozen=True)
class CommandInfo:
    """One command."""

    group: str
    """The heading under which it is listed."""
    function: str
    """`module:function` below `pipelines.cli`; a step's is made from its declaration."""
    help: str
    """What it does; the first sentence is its summary."""
    examples: tuple[str, ...]
    """Command lines."""
    step: StepInfo | None = None
    """The step that it runs alone."""

    @property
    def summary(self) -> str:
        """The first paragraph of its help."""
        return " ".join(self.help.partition("\n\n")[0].split())

    @property
    def epilog(self) -> str:
        """Its examples, as help shows them."""
        title = "Example" if len(self.examples) == 1 else "Examples"
        return "\n\n".join([f"{title}:", *self.examples])

    @property
    def is_job(self) -> bool:
        """Whether it does work that goes on when nobody reads its output any more."""
        return self.group in (RUN, MAINTAIN, TRAIN) or self.function == "serve:serve"

    @property
    def is_short(self) -> bool:
        """Whether it reads and writes tables alone, and starts no worker."""
        return self.group in (LOOK, MAINTAIN, SEARCH) or self.function == "steps:select"

    def load_function(self) -> Callable[..., Any]:
        """The function that it calls, whose parameters are its arguments and options."""
        function: Callable[..., Any] = load_object(f"pipelines.cli.{self.function}")
        return function(self.step) if self.step is not None else function


@dataclass(frozen=True)
class FamilyInfo:
    """Commands whose names begin with the same word."""

    group: str
    """The heading under which it is listed."""
    summary: str
    """What they do."""


FAMILIES = {
    "config": FamilyInfo(LOOK, "Show the configuration that a command would run with."),
    "tokenizer": FamilyInfo(TRAIN, "Train, fit and compare tokenizers, and decode stored tokens."),
    "key": FamilyInfo(SERVE, "Create, list and revoke the API keys of a server."),
}


def commands() -> dict[str, CommandInfo]:
    """The commands by name, in the order in which they are listed."""
    return {"curate": _CURATE, **{step.name: _step_command(step) for step in STEPS.values()}} | (
        _COMMANDS
    )


def _step_command(step: StepInfo) -> CommandInfo:
    special = {"scan": "steps:scan", "select": "steps:select"}.get(step.name)
    function, made_of = (special, None) if special else ("steps:clip_command", step)
    return CommandInfo(RUN, function, step.help, step.examples, made_of)


_CURATE = CommandInfo(
    RUN,
    "steps:curate",
    """Scan, select, render, caption and tokenize: the main job.

    Run it again to resume or to add videos. What failed is listed with its reason, and fails
    nothing else.
    """,
    (
        "reelmill curate ~/videos --out out",
        "reelmill curate ~/videos --out out --dry-run",
        "reelmill curate videos.csv --out s3://bucket/curated --set motion.min=0.01",
    ),
)

_COMMANDS = {
    "sample": CommandInfo(
        RUN,
        "sample:sample",
        "Render a few small sources with known truth: good ones, bad ones, and broken ones.",
        ("reelmill sample videos",),
    ),
    "plan": CommandInfo(
        RUN,
        "plan:plan",
        """Say what curating would take and make: processor hours, storage, time, bottleneck.

        Of videos, or of so many hours. The rates are shipped, and name the machine they were
        measured on; `--calibrate` measures them here on a few of the videos, and `--from` takes
        those of an output's runs.
        """,
        (
            "reelmill plan --hours 1e6 --cpus 4096",
            "reelmill plan ~/videos --from out",
            "reelmill plan ~/videos --calibrate --cpus 64",
        ),
    ),
    "doctor": CommandInfo(
        RUN,
        "doctor:doctor",
        """Show what this machine offers: versions, ffmpeg, confinement, room, GPU, weights, extras.

        The exit code is 1 if something that every run needs is missing.
        """,
        ("reelmill doctor", "reelmill doctor s3://bucket/curated"),
    ),
    "ls": CommandInfo(
        LOOK,
        "ls:ls",
        """List the outputs in a folder, or the clips or sources of an output.

        A condition is SQL over the columns of the list, such as: duration_s > 3 and verdict =
        'kept'. `--json` gives every column.
        """,
        (
            "reelmill ls out",
            "reelmill ls out --verdict kept --where 'duration_s > 3'",
            "reelmill ls out --sources --json",
        ),
    ),
    "show": CommandInfo(
        LOOK,
        "show:show",
        """Show where the files of a clip are, or what became of a source.

        Of a clip: source and span, its rendered file, captions, tokens and verdict.
        """,
        ("reelmill show out 3f2a", "reelmill show out a.mp4"),
    ),
    "why": CommandInfo(
        LOOK,
        "why:why",
        """Explain a clip: its verdict, every rule that it breaks, and what was measured.

        A source gives all of its clips.
        """,
        ("reelmill why out 3f2a", "reelmill why out a.mp4"),
    ),
    "keep": CommandInfo(
        LOOK,
        "review:keep",
        """Keep clips by hand, whatever the policy says.

        Who decided and when is stored in the output; the next `select` applies it. `--undo`
        withdraws it.
        """,
        ("reelmill keep out 3f2a", "reelmill keep out 3f2a --undo"),
    ),
    "drop": CommandInfo(
        LOOK,
        "review:drop",
        """Drop clips by hand, whatever the policy says.

        Who decided and when is stored in the output; the next `select` applies it. `--undo`
        withdraws it.
        """,
        ("reelmill drop out 3f2a --note 'a logo'", "reelmill drop out a.mp4"),
    ),
    "reviews": CommandInfo(
        LOOK,
        "review:reviews",
        "List the clips that were kept or dropped by hand, by whom and when.",
        ("reelmill reviews out", "reelmill reviews out --fiftyone exported"),
    ),
    "failed": CommandInfo(
        LOOK,
        "failed:failed",
        "List what failed: the input, the reason, and what to do about it.",
        ("reelmill failed out", "reelmill failed out --reason not_video --json"),
    ),
    "pending": CommandInfo(
        LOOK,
        "pending:pending",
        "List the inputs that were listed and never scanned, and the command that scans them.",
        ("reelmill pending out",),
    ),
    "report": CommandInfo(
        LOOK,
        "report:report",
        "Write one HTML file with the funnel, histograms, contact sheets and timings.",
        ("reelmill report out", "reelmill report out --html out/report.html --compare before"),
    ),
    "open": CommandInfo(
        LOOK,
        "report:open_report",
        "Open the report of an output in a browser, after writing it anew.",
        ("reelmill open out",),
    ),
    "verify": CommandInfo(
        LOOK,
        "verify:verify",
        """Check the invariants of an output, from storage alone.

        The exit code is 1 if one is broken.
        """,
        ("reelmill verify out",),
    ),
    "settings": CommandInfo(
        LOOK,
        "settings:settings",
        """Show the settings that each step of an output last ran with, where they are no defaults.

        They are a record: the next command does not use them unless they are given again.
        """,
        ("reelmill settings out",),
    ),
    "config show": CommandInfo(
        LOOK,
        "config:show",
        """Show every setting, its value, and where the value comes from.

        With a key, only the settings below it.
        """,
        (
            "reelmill config show",
            "reelmill config show policy.limits --set motion.min=0.3",
        ),
    ),
    "compact": CommandInfo(
        MAINTAIN,
        "maintenance:compact",
        """Merge the small files of all tables; readers and running jobs go on.

        Jobs do it on their own once a table has more than a hundred. The old files stay for those
        who read older versions: `reelmill gc` removes them.
        """,
        ("reelmill compact out",),
    ),
    "gc": CommandInfo(
        MAINTAIN,
        "maintenance:gc",
        """Remove files that no version in use names; without --delete, only say how many there are.

        In use are the newest version, those that were the newest within the period or since the
        oldest running job began, and those that a feed has read within the period.
        """,
        ("reelmill gc out", "reelmill gc out --older-than 7d --delete"),
    ),
    "search": CommandInfo(
        SEARCH,
        "search:search",
        "Find clips by a description, by example, by a condition, or by all of these.",
        (
            "reelmill search out 'a dark clip' --where 'duration_s > 1'",
            "reelmill search out --like videos/a.mp4#0.5-1 --export similar",
        ),
    ),
    "index": CommandInfo(
        SEARCH,
        "search:index",
        "Build or update the search index of an output; `search` does so by itself.",
        ("reelmill index out",),
    ),
    "label": CommandInfo(
        SEARCH,
        "label:label",
        "Label clips from stored open_clip vectors, without video: classes, safety, aesthetics.",
        ("reelmill label out examples/labels.yaml",),
    ),
    "export": CommandInfo(
        TRAIN,
        "export:export",
        """Copy a selection's clips, captions and tokens into shards; run it again to resume.

        Each clip comes with its licence, source, span and scores. The format is described in
        docs/export.md.
        """,
        ("reelmill export out shards --format webdataset",),
    ),
    "tokenizer pack": CommandInfo(
        TRAIN,
        "tokenizer:pack",
        "Pack crops of rendered clips into one file for training.",
        ("reelmill tokenizer pack out --by dup_group --allow '^CC'",),
    ),
    "tokenizer train": CommandInfo(
        TRAIN,
        "tokenizer:train",
        "Train a tokenizer; run it again to resume.",
        ("reelmill tokenizer train crops.safetensors run --device cuda",),
    ),
    "tokenizer eval": CommandInfo(
        TRAIN,
        "evaluation:evaluate",
        """Compare tokenizers on rendered clips.

        The figures are quality, bits, use of the codebook, seams between windows, and speed; they
        are explained in docs/evaluation.md.
        """,
        ("reelmill tokenizer eval out -t pca-8x8x8 -t mine.safetensors",),
    ),
    "tokenizer fit": CommandInfo(
        TRAIN,
        "tokenizer:fit",
        "Fit a PCA tokenizer on the rendered clips of an output.",
        ("reelmill tokenizer fit out --rate 8x8x8 --weights mine.safetensors",),
    ),
    "tokenizer decode": CommandInfo(
        TRAIN,
        "tokenizer:decode",
        """Decode the stored tokens of a clip to an mp4.

        An odd side is padded by one row or column of pixels.
        """,
        ("reelmill tokenizer decode out 3f2a --video look.mp4 --head latents",),
    ),
    "serve": CommandInfo(
        SERVE,
        "serve:serve",
        "Serve outputs and run jobs over HTTP: on this machine alone until an API key exists.",
        ("reelmill serve outputs --source videos=~/videos",),
    ),
    "submit": CommandInfo(
        SERVE,
        "service:submit",
        "Submit a job to a server.",
        ("reelmill submit curate drive videos/drive --set motion.min=0.01 --wait",),
    ),
    "jobs": CommandInfo(
        SERVE,
        "service:jobs",
        "List the jobs of a server.",
        ("reelmill jobs --state running",),
    ),
    "status": CommandInfo(
        SERVE,
        "service:status",
        "Show the progress and the events of a job.",
        ("reelmill status 0123456789abcdef",),
    ),
    "logs": CommandInfo(
        SERVE,
        "service:logs",
        "Show the log of a job.",
        ("reelmill logs 0123456789abcdef --follow",),
    ),
    "cancel": CommandInfo(
        SERVE,
        "service:cancel",
        "Cancel a job; its committed results are kept.",
        ("reelmill cancel 0123456789abcdef --reason 'wrong folder'",),
    ),
    "retry": CommandInfo(
        SERVE,
        "service:retry",
        "Queue an ended job again; it resumes where it stopped.",
        ("reelmill retry 0123456789abcdef",),
    ),
    "key create": CommandInfo(
        SERVE,
        "keys:create",
        "Create an API key and show it once; from then on every caller needs one.",
        ("reelmill key create outputs --scope search --name web --days 30",),
    ),
    "key list": CommandInfo(
        SERVE,
        "keys:list_keys",
        "List the API keys, without their secrets.",
        ("reelmill key list outputs",),
    ),
    "key revoke": CommandInfo(
        SERVE,
        "keys:revoke",
        "Revoke an API key.",
        ("reelmill key revoke outputs 1f0a33c0ffee",),
    ),
}
