"""retract, revert, rollback, rebuild: take facts back; make the caches again."""

from __future__ import annotations

from pathlib import Path

import click

from lifelong.cli import text
from lifelong.cli.shell import Change, changes, dry_run_option, emit, lines_of, reads, workspace


@click.command()
@click.argument("facts", nargs=-1, required=True, metavar="FACT...")
@changes
def retract(facts: tuple[str, ...], *, change: Change) -> None:
    """Withdraw facts.

    An older fact of the same key answers again, or else the base model does.

    FACT is what `ask --why`, `blame` and `log list` print, such as f12; `-` reads one a line.

    \b
    Example:
      lifelong retract f12 --reason "the source was wrong"
    """
    undo = workspace(change.home).retract(lines_of(facts), **change.recorded)
    emit(undo.to_dict(), change.as_json, lambda: text.outcome(undo.to_dict()))


@click.command()
@click.argument("job", required=False)
@click.option("--source", help="Retract every fact of this source instead.")
@changes
def revert(job: str | None, *, source: str | None, change: Change) -> None:
    """Retract every fact of a job, or of a source.

    \b
    Examples:
      lifelong revert job-3 --reason "it was trained on the wrong file"
      lifelong revert --source newswire --reason "the feed was wrong"
    """
    if (job is None) == (source is None):
        raise click.UsageError("Name either a job or a --source.")
    undo = workspace(change.home).revert(job=job, source=source, **change.recorded).to_dict()
    emit(undo, change.as_json, lambda: text.outcome(undo))


@click.command()
@click.option("--to", metavar="JOB", help="What was served when this job had published [default: before the last].")
@changes
def rollback(*, to: str | None, change: Change) -> None:
    """Serve again what was served before.

    Takes about a second: nothing is trained. The facts applied since are held, and the next job goes on without them;
    `lifelong approve` lets one wait for a job again, `lifelong revert JOB` takes all of a job back for good.

    \b
    Example:
      lifelong rollback --to job-2 --reason "job-3 broke the support answers"
    """
    done = workspace(change.home).rollback(to=to, **change.recorded).to_dict()
    emit(done, change.as_json, lambda: text.outcome(done))
    if done["held"] and not change.dry_run:
        held = f"No job applies the {text.count(len(done['held']), 'fact')} held here"
        click.echo(f"{held}; `lifelong approve` lets one wait again, `lifelong revert` withdraws a job's.", err=True)


@click.command()
@dry_run_option
@reads
def rebuild(dry_run: bool, as_json: bool, home: Path | None) -> None:
    """Make index, bank, snapshot and replica again.

    They are made from the log and the experts alone, byte for byte the same.

    \b
    Example:
      lifelong rebuild
    """
    rebuilt = workspace(home).rebuild(dry_run=dry_run)
    emit(rebuilt.to_dict(), as_json, lambda: text.outcome(rebuilt.to_dict()))
