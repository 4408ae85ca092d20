"""approve, reject, keys: whose facts count."""

from __future__ import annotations

from pathlib import Path

import click

from lifelong.cli import text
from lifelong.cli.shell import Change, changes, dry_run_option, emit, json_option, lines_of, reads, signs, workspace


@click.command()
@click.argument("facts", nargs=-1, required=True, metavar="FACT...")
@signs
@changes
def approve(facts: tuple[str, ...], *, sign: Path | None, sign_days: float | None, change: Change) -> None:
    """Approve facts that wait to be applied.

    With require_approval in lifelong.toml, a fact is applied once someone else than its author has approved it, and
    with require_signature as well, once that approval is signed. FACT is a name such as f12; `-` reads one a line.

    \b
    Example:
      lifelong approve f12 --actor bob --reason "checked against the register"
    """
    done = workspace(change.home).approve(lines_of(facts), sign=sign, sign_days=sign_days, **change.recorded)
    emit(done.to_dict(), change.as_json, lambda: text.outcome(done.to_dict()))
    if done.own:
        click.echo(
            f"{done.actor} wrote or put in {', '.join(done.own)}, so this approval admits none of them: somebody else"
            " has to approve.",
            err=True,
        )


@click.command()
@click.argument("facts", nargs=-1, required=True, metavar="FACT...")
@changes
def reject(facts: tuple[str, ...], *, change: Change) -> None:
    """Keep facts from being applied.

    No job applies them until someone else than their author approves them. FACT is a name such as f12; `-` reads one a
    line.

    \b
    Example:
      lifelong reject f12 --reason "the register says otherwise"
    """
    done = workspace(change.home).reject(lines_of(facts), **change.recorded)
    emit(done.to_dict(), change.as_json, lambda: text.outcome(done.to_dict()))


@click.group()
def keys() -> None:
    """Make keys for signatures, and see which are trusted.

    \b
    Example:
      lifelong keys list
    """


@keys.command()
@click.argument("name")
@click.option(
    "--directory",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    default=Path(),
    help="Where the key file goes [default: the current directory].",
)
@dry_run_option
@json_option
def new(name: str, directory: Path, dry_run: bool, as_json: bool) -> None:
    """Make a key: NAME.key, readable by you alone.

    What it prints goes into lifelong.toml wherever the key is to be trusted.

    \b
    Example:
      lifelong keys new ada
    """
    from lifelong.verbs.trust import new_key

    made = new_key(name, directory, dry_run=dry_run)
    emit({**made.to_dict(), "dry_run": dry_run}, as_json, lambda: _made(made.name, made.key, made.file))


def _made(name: str, key: str | None, file: str | None) -> str:
    if key is None:
        return f"Would make {file}."
    return (
        f'# {file} signs for {name}; keep it to yourself.\n[trusted_keys.{name}]\nkey = "{key}"\nauthors = ["{name}"]'
    )


@keys.command("list")
@reads
def list_keys(as_json: bool, home: Path | None) -> None:
    """List the keys that lifelong.toml trusts, and whom each may sign for.

    \b
    Example:
      lifelong keys list
    """
    from lifelong.verbs.trust import trusted_keys

    rows = [key.to_dict() for key in trusted_keys(workspace(home).config)]
    emit(rows, as_json, lambda: text.table(rows, ("name", "key", "authors"), widest=80))
