"""experts list, experts show: the trained deltas that are published."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from lifelong.cli import text
from lifelong.cli.shell import at_options, emit, reads, workspace

if TYPE_CHECKING:
    from datetime import datetime


@click.group()
def experts() -> None:
    """Look at the experts in use.

    \b
    Example:
      lifelong experts list
    """


@experts.command("list")
@at_options
@reads
def list_experts(*, as_of: str | None, valid_at: datetime | None, as_json: bool, home: Path | None) -> None:
    """List the experts in use, with their facts, job, pack and size.

    \b
    Example:
      lifelong experts list --json
    """
    rows = [row.to_dict() for row in workspace(home).experts(as_of=as_of, valid_at=valid_at)]
    emit(rows, as_json, lambda: _experts_text(rows))


def _experts_text(rows: list[dict[str, Any]]) -> str:
    shown = [{**row, "hash": text.short(row["hash"]), "pack": text.short(row["pack"])} for row in rows]
    return text.table(shown, ("hash", "facts", "job", "pack", "bytes"))


@experts.command()
@click.argument("hash_prefix", metavar="HASH")
@at_options
@reads
def show(hash_prefix: str, *, as_of: str | None, valid_at: datetime | None, as_json: bool, home: Path | None) -> None:
    """Show what one expert holds, in use or not.

    HASH is its hash or an unambiguous beginning of it. Each fact it was trained on is shown with where it stands.

    \b
    Example:
      lifelong experts show 3fa9c1
    """
    found = workspace(home).expert(hash_prefix, as_of=as_of, valid_at=valid_at).to_dict()
    emit(found, as_json, lambda: _expert_text(found))


def _expert_text(found: dict[str, Any]) -> str:
    columns = ("fact", "status", "holds", "prompt", "target", "source", "author", "actor", "job")
    about = {name: value for name, value in found.items() if name != "facts"}
    return f"{text.pairs(about)}\n\n{text.table(found['facts'], columns)}"
