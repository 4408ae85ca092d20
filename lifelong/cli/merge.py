"""merge: several experts become one."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import click

from lifelong.cli import text
from lifelong.cli.shell import Change, changes, emit, workspace

if TYPE_CHECKING:
    from lifelong.results import Merge

# Those of policies/merging.py, which would load pydantic for a `--help`.
METHODS = ("mean_distil", "distil", "cat_distil", "cat", "mean", "linear", "ties", "dare_linear", "dare_ties")
_UNITS = {"": 0, "B": 1, "KB": 10**3, "MB": 10**6, "GB": 10**9}


class Budget(click.ParamType[tuple[int, int]]):
    """A number of experts, or bytes with a unit; (experts, bytes), the other of the two being 0."""

    name = "budget"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> tuple[int, int]:
        """Read what was typed; fails with a usage error."""
        found = re.fullmatch(r"([1-9][0-9]{0,14})\s*([KMG]?B|)", str(value).strip(), flags=re.IGNORECASE)
        if not found:
            self.fail(f"{value!r} is neither a number of experts nor a size such as 40MB", param, ctx)
        number, unit = int(found[1]), found[2].upper()
        return (0, number * _UNITS[unit]) if unit else (number, 0)


@click.command()
@click.option("--method", type=click.Choice(METHODS), help="How they become one [default: the recipe's, mean_distil].")
@click.option("--budget", type=Budget(), metavar="N|SIZE", help="As many experts at most, or a size such as 40MB.")
@changes
def merge(*, method: str | None, budget: tuple[int, int] | None, change: Change) -> None:
    """Merge experts, as the recipe's [merging] or a budget says.

    The most alike go first: facts that ask alike and answer the same. Each merged expert is audited on all its facts
    and kept only if it answers none of them worse; what does not hold stays as it was. The experts it was made of
    are retired, not overwritten. An expert that still holds a retracted fact is made again without it. `--dry-run`
    says what would be gained if all of it held.

    \b
    Examples:
      lifelong merge --budget 5000 --dry-run
      lifelong merge --budget 40MB --reason "before the release"
    """
    from lifelong.cli.progress import progress_bar

    experts, size = budget or (0, 0)
    with progress_bar(patience=2.0) as progress:
        done = workspace(change.home).merge(
            method=method, experts=experts, size=size, progress=progress, **change.recorded
        )
    emit(done.to_dict(), change.as_json, lambda: _told(done))


def _told(done: Merge) -> str:
    shown = {
        "merges": f"{done.kept} of {done.tried}" + (" planned" if done.dry_run else " hold"),
        "facts in them": done.facts,
        "experts": f"{done.experts_before} -> {done.experts_after}",
        "bytes": f"{text.size(done.bytes_before)} -> {text.size(done.bytes_after)}",
        "method": done.method,
        "dry_run": done.dry_run,
    }
    return text.outcome(shown)
