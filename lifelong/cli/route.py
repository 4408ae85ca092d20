"""route explain: how the gate decides about a prompt."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from lifelong.cli import text
from lifelong.cli.shell import at_options, emit, reads, workspace

if TYPE_CHECKING:
    from datetime import datetime

    from lifelong.results import RouteExplanation


@click.group()
def route() -> None:
    """Look at the gate's decisions.

    \b
    Example:
      lifelong route explain "The mother tongue of Danielle Darrieux is"
    """


@route.command()
@click.argument("prompt")
@at_options
@reads
def explain(prompt: str, *, as_of: str | None, valid_at: datetime | None, as_json: bool, home: Path | None) -> None:
    """Show the nearest anchors to a prompt, the threshold, and hit or miss.

    \b
    Example:
      lifelong route explain "Danielle Darrieux was born in"
    """
    found = workspace(home).explain(prompt, as_of=as_of, valid_at=valid_at)
    emit(found.to_dict(), as_json, lambda: _explain_text(found))


def _explain_text(found: RouteExplanation) -> str:
    decision = {
        "prompt": found.prompt,
        "gate": f"{f'hit, {found.fact}' if found.hit else 'miss'}",
        "score": f"{text.cell(found.score)} against {text.cell(found.threshold)}",
        "nearest anchor": found.anchor,
        "subject": found.subject,
    }
    columns = tuple(found.candidates[0]) if found.candidates else ()
    return f"{text.pairs(decision)}\n\n{text.table(found.candidates, columns)}"
