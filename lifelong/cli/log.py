"""log list, show, verify, export: the events themselves; diff, query and recover have files of their own."""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from editlog.errors import IntegrityError, UsageError
from lifelong.cli import text
from lifelong.cli.diff import diff
from lifelong.cli.output import Output, writes_rows
from lifelong.cli.query import query
from lifelong.cli.recover import recover
from lifelong.cli.redact import redact
from lifelong.cli.shell import at_options, emit, home_option, reads, workspace

if TYPE_CHECKING:
    from datetime import datetime

    from editlog.events import Event


@click.group()
def log() -> None:
    """Read, check and take away the edit log.

    \b
    Example:
      lifelong log list
    """


log.add_command(diff)
log.add_command(query)
log.add_command(recover)
log.add_command(redact)


@log.command("list")
@click.option("--limit", type=click.IntRange(min=0), default=20, show_default=True, help="At most N; 0: all.")
@click.option("--after", type=click.IntRange(min=0), default=0, help="Only events after this number.")
@click.option("--kind", "kinds", multiple=True, help="Only this kind, such as fact.put; may be repeated.")
@click.option("--job", help="Only events of this job.")
@click.option("--actor", help="Only what this actor did.")
@writes_rows
@at_options
@reads
def list_events(
    *,
    limit: int,
    after: int,
    kinds: tuple[str, ...],
    job: str | None,
    actor: str | None,
    form: str | None,
    output: Path | None,
    as_of: str | None,
    valid_at: datetime | None,
    as_json: bool,
    home: Path | None,
) -> None:
    """List events, the newest first.

    With --valid-at, facts that do not hold then are left out, and what happened to them alone.

    \b
    Examples:
      lifelong log list --kind facts.failed --json
      lifelong log list --actor ada --limit 0 --format csv --output ada.csv
    """
    out = Output.asked(form, output, as_json=as_json)
    opened = workspace(home).reader
    found = opened.events(
        kinds=kinds or None,
        after=after,
        as_of=as_of,
        limit=limit or None if valid_at is None else None,
        newest_first=True,
        job=job,
        actor=actor,
    )
    if valid_at is not None:
        holding = {fact.seq for fact in opened.facts() if fact.fact.valid_at(valid_at)}
        found = [event for event in found if event.fact is None or event.fact in holding][: limit or None]
    rows = [event.to_dict() for event in found]
    out.write(rows, rows=rows, text=lambda: text.events(rows))


@log.command()
@click.argument("seq", type=click.IntRange(min=1))
@at_options
@reads
def show(seq: int, *, as_of: str | None, valid_at: datetime | None, as_json: bool, home: Path | None) -> None:
    """Show one event, whole; with --valid-at, whether the fact that it is about holds then.

    \b
    Example:
      lifelong log show 12
    """
    opened = workspace(home).reader
    found = opened.events(after=seq - 1, as_of=as_of, limit=1)
    if not found or found[0].seq != seq:
        raise UsageError(f"there is no event {seq}{' yet' if as_of else ''}; `lifelong log list` shows the latest")
    data: dict[str, Any] = found[0].to_dict()
    if valid_at is not None and found[0].fact is not None:
        data["holds"] = opened.resolve(f"f{found[0].fact}").fact.valid_at(valid_at)
    emit(data, as_json, lambda: text.tree(data))


@log.command()
@click.option(
    "--against",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    metavar="WITNESS",
    help="Hold the log against the heads in a witness's file.",
)
@click.option("--key", help="The public key (ed25519:...) that must have signed these heads.")
@reads
def verify(*, against: Path | None, key: str | None, as_json: bool, home: Path | None) -> None:
    """Derive every hash and commitment again; exit code 6 if one does not fit.

    With --against, also notice a log that was put back to an earlier day together with its HEAD, or written anew:
    what the witness was told must be in it.

    \b
    Examples:
      lifelong log verify
      lifelong log verify --against /mnt/elsewhere/heads.jsonl
    """
    opened = workspace(home).log
    findings = [finding.to_dict() for finding in opened.verify(against=against, key=key)]
    redacted = [] if findings else [_redaction(event) for event in opened.events(kinds=["fact.redacted"])]
    told = {"intact": not findings, "findings": findings, "redacted": redacted}
    emit(told, as_json, lambda: _verdict(findings, redacted))
    if findings:
        raise IntegrityError(f"the log in {opened.directory} is not what was written; keep it as it is")


def _redaction(event: Event) -> dict[str, Any]:
    """When, why and by whom the words of a fact were destroyed."""
    said = event.to_dict()
    return {"fact": f"f{event.body['fact']}", **{name: said[name] for name in ("at", "actor", "reason", "seq")}}


def _verdict(findings: list[dict[str, Any]], redacted: list[dict[str, Any]]) -> str:
    if findings:
        return text.table(findings, ("seq", "code", "message"), widest=110)
    if not redacted:
        return "The log is intact."
    shown = text.table(redacted, ("fact", "at", "actor", "reason"))
    return f"The log is intact. {text.count(len(redacted), 'fact')} redacted:\n{shown}"


@log.command()
@click.argument("ref", metavar="FACT")
@click.option("--at", type=click.IntRange(min=1), help="In the tree of the first N events [default: of all].")
@click.option("--with-texts", is_flag=True, help="Add the fact's words and the secret of its commitment.")
@home_option
def proof(ref: str, at: int | None, with_texts: bool, home: Path | None) -> None:
    """Prove that a fact is in the log, to someone who knows a head of it.

    Prints one JSON object: the fact's event and the hashes that lead from it to the Merkle root that a witness was
    told. `examples/verify_proof.py` checks it with nothing of ours. FACT is a name (f12), also of a redacted fact.

    \b
    Examples:
      lifelong log proof f12 > proof.json
      lifelong log proof f12 --at 20 --with-texts
    """
    opened = workspace(home).log
    named = re.fullmatch(r"f([1-9][0-9]{0,17})", ref)
    seq = int(named[1]) if named else opened.resolve(ref).seq
    found = opened.proof(seq, at=at, with_texts=with_texts).to_dict()
    if found["event"]["kind"] != "fact.put":
        raise UsageError(f"event {seq} puts no fact; `lifelong fact show` says what a fact is called")
    emit(found, True, "")


@log.command()
@click.argument("file", type=click.Path(dir_okay=False, allow_dash=True, path_type=Path), default="-")
@click.option("--with-texts", is_flag=True, help="Add each fact's words and the secret of its commitment.")
@home_option
def export(file: Path, with_texts: bool, home: Path | None) -> None:
    """Write every event as a line of JSON with its hash (`-`, the default: standard output).

    \b
    Example:
      lifelong log export events.jsonl
    """
    opened = workspace(home).log
    if str(file) == "-":
        opened.export(sys.stdout.buffer, with_texts=with_texts)
        return
    with file.open("wb") as stream:
        head = opened.export(stream, with_texts=with_texts)
    click.echo(f"{text.count(head.seq, 'event')} written to {file}", err=True)
