"""The command line: a thin shell over the Python API, loaded a command at a time.

Nothing heavy (torch, duckdb, pydantic, rich) is imported before a command needs it, so `--help` stays quick.
Exit codes: 0 done, 1 failed, 2 usage, 3 done but some facts were rejected, failed or held, 4 audit failed and
nothing published, 6 integrity failure, 75 busy, 130 interrupted.
"""

from __future__ import annotations

import errno
import logging
from importlib import import_module
from pathlib import Path
from typing import Any

import click

from editlog.errors import LifelongError
from lifelong import __version__

INTERRUPTED = 130

SECTIONS: dict[str, dict[str, str]] = {
    "Correct the model": {
        "init": "setup:init",
        "ingest": "job:ingest",
        "approve": "trust:approve",
        "reject": "trust:reject",
        "source": "source:source",
        "plan": "job:plan",
        "run": "job:run",
    },
    "Ask it": {
        "ask": "ask:ask",
        "blame": "ask:blame",
        "route": "route:route",
        "eval": "evaluate:evaluate",
        "bench": "bench:bench",
    },
    "Take it back": {
        "retract": "undo:retract",
        "revert": "undo:revert",
        "rollback": "undo:rollback",
        "rebuild": "undo:rebuild",
    },
    "See what is there": {
        "status": "setup:status",
        "doctor": "setup:doctor",
        "log": "log:log",
        "fact": "fact:fact",
        "experts": "experts:experts",
    },
    "Keep it running": {
        "schedule": "schedule:schedule",
        "report": "report:report",
        "rebase": "rebase:rebase",
    },
    "Set up and take away": {
        "recipes": "recipes:recipes",
        "config": "config:config",
        "merge": "merge:merge",
        "align": "align:align",
        "gc": "gc:gc",
        "keys": "trust:keys",
        "export": "export:export",
        "completion": "completion:completion",
    },
}


class LazyGroup(click.Group):
    """A group that imports a command's module when it is asked for, and turns errors into sentences."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Every command, in the order of the help page."""
        return [name for commands in SECTIONS.values() for name in commands]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import `lifelong.cli.<module>` and take the command from it; None for an unknown name."""
        for commands in SECTIONS.values():
            if cmd_name in commands:
                module, _, attribute = commands[cmd_name].partition(":")
                command = getattr(import_module(f"lifelong.cli.{module}"), attribute)
                assert isinstance(command, click.Command)
                return command
        return None

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the commands by section."""
        for title, names in SECTIONS.items():
            with formatter.section(title):
                commands = {name: self.get_command(ctx, name) for name in names}
                formatter.write_dl([(name, one.get_short_help_str(80)) for name, one in commands.items() if one])

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command; a failure becomes one sentence on stderr and the exit code of the contract."""
        try:
            return super().invoke(ctx)
        except LifelongError as error:
            _fail(ctx, str(error), error.exit_code)
        except KeyboardInterrupt:
            _fail(ctx, "interrupted; what is published stays, and the same command carries on.", INTERRUPTED)
        except OSError as error:
            if error.errno == errno.EPIPE:  # the reader left (`lifelong log list | head`): click ends quietly
                raise
            _fail(ctx, f"{error.strerror}: {error.filename}" if error.filename else str(error), 1)


def _fail(ctx: click.Context, sentence: str, code: int) -> None:
    if ctx.find_root().params.get("log_format") == "json":
        from lifelong.reports.logs import speak

        speak("json")
        logging.getLogger("lifelong").error("%s", sentence, extra={"fields": {"exit_code": code}})
    else:
        click.echo(f"Error: {sentence}", err=True)
    ctx.exit(code)


@click.group(cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110})
@click.option(
    "--home",
    type=click.Path(file_okay=False, path_type=Path),
    help="The workspace [default: LIFELONG_HOME, else ./lifelong-workspace].",
)
@click.option(
    "--log-format",
    type=click.Choice(["text", "json"]),
    help="How progress and errors are told on stderr [default: text].",
)
@click.version_option(__version__, prog_name="lifelong", message="%(prog)s %(version)s")
def main(home: Path | None, log_format: str | None) -> None:
    """Keep correcting a language model.

    \b
    Example:
      lifelong init
      lifelong ingest facts.jsonl
      lifelong run
      lifelong ask "The mother tongue of Danielle Darrieux is" --why
    """
