"""log redact: the words of a fact, destroyed for good."""

from __future__ import annotations

import click

from lifelong.cli import text
from lifelong.cli.shell import Change, changes, emit, lines_of, workspace


@click.command()
@click.argument("facts", nargs=-1, required=True, metavar="FACT...")
@changes
def redact(facts: tuple[str, ...], *, change: Change) -> None:
    """Destroy the words of facts, for good.

    Their texts, the keys of their commitments, the experts that learned them and their anchors in every snapshot are
    gone after it; other facts with the same prompt and target go with them. The log still verifies, and says when,
    why and by whom. Facts that shared an expert are trained again by the next run. What cannot be reached is listed.

    FACT is a name such as f12; `-` reads one a line. The same command again finishes what a crash cut short.

    \b
    Examples:
      lifelong log redact f12 --reason "a request of 20 November" --dry-run
      lifelong log redact f12 --reason "a request of 20 November" --actor dpo
    """
    done = workspace(change.home).redact(lines_of(facts), **change.recorded)
    emit(done.to_dict(), change.as_json, lambda: text.outcome(done.to_dict()))
