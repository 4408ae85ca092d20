"""ask, blame: the edited model's answer, and where it comes from."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

import click

from lifelong.cli import text
from lifelong.cli.shell import at_options, emit, lines_of, reads, workspace

if TYPE_CHECKING:
    from datetime import datetime

    from lifelong.results import Answer, Blame


@click.command()
@click.argument("prompts", nargs=-1, metavar="PROMPT...")
@click.option(
    "--messages",
    type=click.File("rb"),
    help="A conversation in place of a prompt, for a chat model: a JSON list of messages (`-`: standard input).",
)
@click.option("--edits/--no-edits", default=True, help="Use the edits, or ask the base model alone.")
@click.option("--why", is_flag=True, help="Add fact, similarity, expert, job, author, and the base's answer.")
@click.option(
    "--max-new-tokens", type=click.IntRange(min=1), default=32, show_default=True, help="Stop after N tokens."
)
@click.option("--user", help="Whom the answer is told to, for the response log.")
@click.option("--request-id", help="Under which request, for the response log [default: a random one].")
@click.option("--stream", is_flag=True, help="Print the answer to one prompt as it is generated.")
@at_options
@reads
def ask(
    prompts: tuple[str, ...],
    *,
    messages: BinaryIO | None,
    edits: bool,
    why: bool,
    max_new_tokens: int,
    user: str | None,
    request_id: str | None,
    stream: bool,
    as_of: str | None,
    valid_at: datetime | None,
    as_json: bool,
    home: Path | None,
) -> None:
    """Ask the edited model.

    With --as-of, it answers with the experts, anchors, encoder and thresholds that were served then, and by that day's
    clock. `-` reads one prompt a line from standard input. One answer a line is printed; with --json an object for
    one prompt, a list for several or for `-`.

    \b
    Examples:
      lifelong ask "The mother tongue of Danielle Darrieux is" --why
      lifelong ask - --json < prompts.txt
      lifelong ask "The mother tongue of Danielle Darrieux is" --as-of job-1
      lifelong ask --messages conversation.json
    """
    if bool(prompts) == bool(messages):
        raise click.UsageError("Give prompts or a conversation (--messages), one of the two.")
    asked = [_turn(messages)] if messages else lines_of(prompts)
    opened = workspace(home)
    if stream:
        if len(asked) != 1 or why or as_json:
            raise click.UsageError("--stream prints one plain answer: one prompt, no --why, no --json.")
        for piece in opened.stream(
            asked[0],
            edits=edits,
            as_of=as_of,
            valid_at=valid_at,
            max_new_tokens=max_new_tokens,
            user=user,
            request_id=request_id,
        ):
            click.echo(piece, nl=False)
        click.echo()
        return
    answers = opened.ask(
        asked,
        edits=edits,
        why=why or as_json,
        as_of=as_of,
        valid_at=valid_at,
        max_new_tokens=max_new_tokens,
        user=user,
        request_id=request_id,
    )
    if as_of is not None and answers:
        click.echo(f"As of event {answers[0].as_of}, with what was served then.", err=True)
    data = [answer.to_dict() for answer in answers]
    one = len(asked) == 1 and prompts != ("-",)
    separator, shown = ("\n\n", _why_text) if why else ("\n", _plain_text)
    emit(data[0] if one else data, as_json, lambda: separator.join(map(shown, answers)))


def _turn(messages: BinaryIO) -> str:
    from lifelong.models.chat import read_messages

    return read_messages(messages.read())


def _plain_text(answer: Answer) -> str:
    return answer.text.strip()


def _why_text(answer: Answer) -> str:
    return text.pairs(
        {
            "prompt": answer.prompt,
            "answer": answer.text,
            "the base says": answer.base,
            "gate": _gate_text(answer.hit, answer.similarity, answer.threshold),
            "nearest anchor": answer.anchor,
            "fact": answer.fact,
            "expert": "note (not yet trained)" if answer.pending else text.short(answer.expert),
            "job": answer.job,
            "author": answer.author,
            "recorded": f"{text.when(answer.recorded_at)} by {answer.actor}" if answer.recorded_at else None,
        }
    )


def _gate_text(hit: bool, score: float | None, threshold: float | None) -> str:
    if score is None:
        return "not asked"
    return f"{'hit' if hit else 'miss'}, {text.cell(score)} against {text.cell(threshold)}"


@click.command()
@click.argument("prompt")
@at_options
@reads
def blame(prompt: str, *, as_of: str | None, valid_at: datetime | None, as_json: bool, home: Path | None) -> None:
    """Trace an answer to what is behind it.

    That is the fact with its words, the person, the job and the expert, and every event the fact was part of.

    \b
    Example:
      lifelong blame "The mother tongue of Danielle Darrieux is"
    """
    found = workspace(home).blame(prompt, as_of=as_of, valid_at=valid_at)
    emit(found.to_dict(), as_json, lambda: _blame_text(found))


def _blame_text(found: Blame) -> str:
    route = {
        "prompt": found.prompt,
        "gate": _gate_text(found.hit, found.similarity, found.threshold),
        "nearest anchor": found.anchor,
        "fact": found.fact,
        "expert": text.short(found.expert),
        "job": found.job,
    }
    parts = [text.pairs(route)]
    for name, pairs in (("fact", found.record), ("who", found.who), ("effect", found.effect)):
        if pairs:
            parts.append(f"[{name}]\n{text.pairs(pairs)}")
    if found.events:
        parts.append(text.history(found.events))
    return "\n\n".join(parts)
