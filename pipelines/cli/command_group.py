"""The program as typer sees it: groups whose commands are loaded when one of them runs."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from typing import Annotated, Any

import typer
from typer.core import TyperCommand, TyperGroup
from typer.main import get_command

from pipelines.cli import terminal
from pipelines.cli.commands import FAMILIES, CommandInfo, commands
from pipelines.run.startup import leave_out_pandas, use_jemalloc

CONTEXT = {"help_option_names": ["-h", "--help"]}
Json = Annotated[
    bool,
    typer.Option(
        "--json",
        help="Print results as JSON, one object a line.",
    ),
]
Quiet = Annotated[
    bool,
    typer.Option("--quiet", "-q", help="Print results and errors alone."),
]
Verbose = Annotated[
    bool,
    typer.Option(
        "--verbose",
        "-v",
        help="Name all inputs that failed, not the first five; show where an error was raised.",
    ),
]


class CommandGroup(TyperGroup):
    """The declared commands whose names begin with a word, or all of them.

    To list commands imports none of them.
    """

    family: str = ""

    def list_commands(self, ctx: Any) -> list[str]:
        """Their names without the common word, in the order in which they are declared."""
        start = f"{self.family} " if self.family else ""
        names = (name.removeprefix(start) for name in commands() if name.startswith(start))
        return list(dict.fromkeys(name.partition(" ")[0] for name in names))

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        """A command with its parameters, or one to be listed; None if there is none."""
        if cmd_name not in self.list_commands(ctx):
            return None
        full_name = f"{self.family} {cmd_name}".strip()
        if full_name in FAMILIES:
            return _family(full_name)
        return _command(cmd_name, commands()[full_name])

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        """The command that is asked for; an error names one that is spelt alike."""
        names = self.list_commands(ctx)
        self.commands = {name: TyperCommand(name) for name in names}
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: Any, formatter: Any) -> None:
        """Lists the commands by group."""
        groups: dict[str, list[tuple[str, str]]] = {}
        for name in self.list_commands(ctx):
            full_name = f"{self.family} {name}".strip()
            family = FAMILIES.get(full_name)
            info = family or commands()[full_name]
            groups.setdefault(info.group, []).append((name, info.summary))
        for group, rows in groups.items():
            with formatter.section(group):
                formatter.write_dl(rows, col_max=12)


class _Command(TyperCommand):
    """A command whose help ends with its examples, each on a line of its own."""

    def format_epilog(self, ctx: Any, formatter: Any) -> None:
        """Writes the examples as they are."""
        title, *examples = (self.epilog or "").split("\n\n")
        formatter.write(f"\n{title}\n")
        formatter.write("".join(f"  {example}\n" for example in examples))


def _family(name: str) -> CommandGroup:
    info = FAMILIES[name]
    group = CommandGroup(
        name=name, help=info.summary, short_help=info.summary, rich_markup_mode=None,
        no_args_is_help=True, context_settings=CONTEXT,
    )  # fmt: skip
    group.family = name
    return group


def _command(name: str, info: CommandInfo) -> Any:
    use_jemalloc()
    if info.is_short:
        leave_out_pandas()
    app = typer.Typer(add_completion=False, rich_markup_mode=None, context_settings=CONTEXT)
    app.command(name, cls=_Command, help=info.help, short_help=info.summary, epilog=info.epilog)(
        with_output_options(info.load_function(), is_job=info.is_job)
    )
    return get_command(app)


def with_output_options(function: Callable[..., Any], *, is_job: bool) -> Callable[..., Any]:
    """The function with the options that say what is printed."""

    @functools.wraps(function)
    def command(
        *args: Any, json_lines: bool, quiet: bool, verbose: bool, **options: Any
    ) -> Any:  # fmt: skip
        terminal.set_output(json_lines=json_lines, quiet=quiet, verbose=verbose, is_job=is_job)
        return function(*args, **options)

    signature = inspect.signature(function, eval_str=True)
    added = {"json_lines": Json, "quiet": Quiet, "verbose": Verbose}
    parameters = [
        *signature.parameters.values(),
        *(
            inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=False, annotation=kind)
            for name, kind in added.items()
        ),
    ]
    command.__signature__ = signature.replace(parameters=parameters)  # type: ignore[attr-defined]
    command.__annotations__ = {p.name: p.annotation for p in parameters}
    return command
