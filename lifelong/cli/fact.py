"""fact show, fact history: one correction, and all that happened to it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from lifelong.cli import text
from lifelong.cli.output import Output, writes_rows
from lifelong.cli.shell import at_options, emit, reads, workspace

if TYPE_CHECKING:
    from datetime import datetime

    from editlog.history import LoggedFact


@click.group()
def fact() -> None:
    """Look at facts.

    FACT is a name (f12), the fact's own id, or 8 or more digits of its digest.

    \b
    Example:
      lifelong fact show f12
    """


@fact.command()
@click.argument("ref", metavar="FACT")
@at_options
@reads
def show(ref: str, *, as_of: str | None, valid_at: datetime | None, as_json: bool, home: Path | None) -> None:
    """Show a fact's words and where it stands.

    \b
    Example:
      lifelong fact show f12
    """
    opened = workspace(home).reader
    at = valid_at or opened.position(as_of).at
    data = _standing(opened.resolve(ref, as_of=as_of), at)
    emit(data, as_json, lambda: text.tree(data))


def _standing(logged: LoggedFact, at: datetime) -> dict[str, Any]:
    return {
        "fact": logged.ref,
        "status": logged.status,
        "why": logged.why,
        "governs": logged.governs,
        "holds": logged.fact.valid_at(at),
        "superseded_by": logged.superseded_by and f"f{logged.superseded_by}",
        "retracted_by": logged.retracted_by,
        "actor": logged.actor,
        "recorded_at": logged.at.isoformat(),
        "batch": logged.batch,
        "job": logged.job,
        "expert": logged.expert,
        "digest": logged.fact.digest,
        "record": logged.fact.record(),
    }


@fact.command()
@click.argument("ref", required=False, metavar="[FACT]")
@click.option("--subject", help="The facts about this subject instead.")
@click.option("--relation", help="The facts about this relation instead, or of the subject only these.")
@click.option("--prompt", help="The facts with this prompt instead.")
@writes_rows
@at_options
@reads
def history(
    *,
    ref: str | None,
    subject: str | None,
    relation: str | None,
    prompt: str | None,
    form: str | None,
    output: Path | None,
    as_of: str | None,
    valid_at: datetime | None,
    as_json: bool,
    home: Path | None,
) -> None:
    """Tell all that ever happened to a fact, or to the facts of a subject, relation or prompt.

    \b
    Examples:
      lifelong fact history f12
      lifelong fact history --subject "Danielle Darrieux" --format csv
    """
    out = Output.asked(form, output, as_json=as_json)
    found = workspace(home).reader.history(ref=ref, subject=subject, relation=relation, prompt=prompt, as_of=as_of)
    rows = [one.to_dict() for one in found if valid_at is None or one.fact.fact.valid_at(valid_at)]
    out.write(rows, rows=rows, text=lambda: text.history(rows, "fact", "prompt", "target"))
