"""init, status, doctor: the workspace as a whole."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from editlog.errors import IntegrityError
from lifelong.cli import text
from lifelong.cli.shell import actor_option, at_options, dry_run_option, emit, reads, workspace

if TYPE_CHECKING:
    from datetime import datetime

    from lifelong.config import Dtype
    from lifelong.results import Check, Status
    from lifelong.verbs.probing import Trial


@click.command()
@click.option("--model", default="embedded", show_default=True, help="`embedded`, a folder, or a hub id.")
@click.option("--recipe", default="default", show_default=True, help="A name from `lifelong recipes list`.")
@click.option(
    "--corpus",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Text, a line each, of which a recipe learns what it must know of the base; else the base writes it.",
)
@click.option(
    "--device", default="cpu", show_default=True, help="cpu, cuda, cuda:1, mps, auto, or a device map (JSON)."
)
@click.option(
    "--dtype",
    type=click.Choice(["float32", "bfloat16", "float16"]),
    default="float32",
    show_default=True,
    help="What the base's weights are held in.",
)
@click.option("--trust-remote-code", is_flag=True, help="Run Python code that comes with the model.")
@click.option(
    "--chat/--no-chat", default=None, help="Put prompts through the chat template [default: where the model has one]."
)
@click.option("--preset", metavar="NAME", help="Where experts stand, without a probe: last-up, last-down, ...")
@click.option("--no-probe", is_flag=True, help="Take the recipe as it is; do not try what fits a new model.")
@actor_option
@dry_run_option
@reads
def init(
    *,
    model: str,
    recipe: str,
    corpus: Path | None,
    device: str,
    dtype: Dtype,
    trust_remote_code: bool,
    chat: bool | None,
    preset: str | None,
    no_probe: bool,
    actor: str | None,
    dry_run: bool,
    as_json: bool,
    home: Path | None,
) -> None:
    """Make a workspace.

    The first events of its log name the workspace and the base model, by fingerprint. For a model of your own, a short
    probe tries on a few facts where experts should stand; what it chose, and why, is printed and written into
    lifelong.toml.

    \b
    Example:
      lifelong init --home my-edits
    """
    import lifelong
    from lifelong.layout import resolve_home

    place = resolve_home(home)
    made = lifelong.init(
        place,
        model=model,
        recipe=recipe,
        corpus=corpus,
        device=device,
        dtype=dtype,
        trust_remote_code=trust_remote_code,
        chat=chat,
        preset=preset,
        probe=not no_probe,
        told=lambda trial: click.echo(f"probe: {_trial_text(trial)}", err=True),
        actor=actor,
        dry_run=dry_run,
    )
    choice = made.choice
    data = {
        "home": str(place),
        "model": model,
        "recipe": recipe,
        "chat": made.config.chat,
        "devices": (devices := made.load_base().devices),
        "choice": choice.to_dict() if choice else None,
        "dry_run": dry_run,
    }
    done = f"{'Would make' if dry_run else 'Made'} {place} (model {model}, recipe {recipe})."
    done += f"\nThe base lies on {', '.join(devices)}." if len(devices) > 1 else ""
    emit(data, as_json, f"{done}\nExperts: {choice.why}." if choice else done)


def _trial_text(trial: Trial) -> str:
    return (
        f"{trial.preset} at value rate {trial.value_rate:g}: answered {trial.answered:.0%}, reworded"
        f" {trial.reworded:.0%}, near misses {trial.near_misses:.0%}, {trial.seconds_per_fact:.2f} s and"
        f" {text.size(trial.bytes_per_fact)} a fact"
    )


@click.command()
@click.option(
    "--prometheus",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Also write the figures of now to this file, for node_exporter.",
)
@at_options
@reads
def status(
    *, prometheus: Path | None, as_of: str | None, valid_at: datetime | None, as_json: bool, home: Path | None
) -> None:
    """Show what is live, and what is pending since when.

    \b
    Example:
      lifelong status
    """
    opened = workspace(home)
    found = opened.status(as_of=as_of, valid_at=valid_at)
    if prometheus:
        opened.write_prometheus(prometheus)
    emit(found.to_dict(), as_json, lambda: _status_text(found))


def _status_text(found: Status) -> str:
    pending = found.oldest_pending_seconds
    behind = " (behind the log: `lifelong rebuild` brings it up)" if found.snapshot_behind else ""
    return text.pairs(
        {
            "workspace": found.home,
            "model": f"{found.model} ({text.short(found.base)})",
            "recipe": found.recipe,
            "log": f"at event {found.head:,}",
            "facts": found.facts,
            "pending, not admitted": found.held,
            "oldest pending": "nothing is pending" if pending is None else f"{text.span(pending)} ago",
            "experts": f"{found.experts:,} in {text.size(found.expert_bytes)}",
            "snapshot": f"{text.cell(text.short(found.snapshot))}{behind}",
            "last job": found.last_job,
        }
    )


@click.command()
@reads
def doctor(as_json: bool, home: Path | None) -> None:
    """Check everything from the log to the weights.

    Exit code 6 if something is not as it was written.

    \b
    Example:
      lifelong doctor
    """
    checks = workspace(home).doctor()
    emit([check.to_dict() for check in checks], as_json, lambda: "\n".join(map(_check_text, checks)))
    wrong = [check.name for check in checks if not check.ok]
    if wrong:
        raise IntegrityError(f"{text.count(len(wrong), 'check')} failed: {', '.join(wrong)}")


def _check_text(check: Check) -> str:
    return f"{'ok  ' if check.ok else 'BAD '}  {check.name}: {check.detail}"
