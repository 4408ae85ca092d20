"""export peft, export merged: take experts away in another system's format."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from editlog.errors import PartlyDone
from lifelong.cli import text
from lifelong.cli.shell import emit, reads, workspace

if TYPE_CHECKING:
    from lifelong.export.merged import Merged
    from policies.audit import Score


@click.group()
def export() -> None:
    """Take experts away.

    \b
    Example:
      lifelong export peft adapters
    """


@export.command()
@click.argument("directory", type=click.Path(file_okay=False, path_type=Path))
@click.option("--fact", "facts", multiple=True, help="Only the expert of this fact, such as f12; may be repeated.")
@reads
def peft(directory: Path, facts: tuple[str, ...], as_json: bool, home: Path | None) -> None:
    """Write experts as PEFT adapter directories, which plain PEFT loads with equal logits.

    \b
    Example:
      lifelong export peft adapters --fact f12
    """
    written = workspace(home).export_peft(directory, refs=facts or None)
    emit([str(path) for path in written], as_json, lambda: "\n".join(map(str, written)))


@export.command()
@click.argument("directory", type=click.Path(file_okay=False, path_type=Path))
@click.option(
    "--max-new-tokens", type=click.IntRange(1, 1024), default=24, show_default=True, help="Length of an audited answer."
)
@reads
def merged(directory: Path, max_new_tokens: int, as_json: bool, home: Path | None) -> None:
    """Write one plain model with every fact in its weights.

    A plain model has no gate, so facts are taught anew to a copy of the base, together with what the base is to go on
    saying (experts that act on every prompt anyway are added as they are). What was written is asked every fact and
    near miss, and `merge.json` in DIRECTORY says what was lost. Exit code 3 where a fact is not answered.

    \b
    Example:
      lifelong export merged merged-model
    """
    from lifelong.cli.progress import progress_bar

    with progress_bar() as progress:
        done = workspace(home).export_merged(directory, max_new_tokens=max_new_tokens, progress=progress)
    emit(done.to_dict(), as_json, lambda: _merged_text(done))
    if done.lost:
        raise PartlyDone(f"{text.count(len(done.lost), 'fact')} of {done.facts} did not survive the merge")


def _merged_text(done: Merged) -> str:
    def of(score: Score) -> str:
        return f"{score.good:,} of {score.measured:,}"

    return text.pairs(
        {
            "written to": done.directory,
            "facts were": done.how,
            "facts answered": of(done.answered),
            "learned rephrases": of(done.rephrases),
            "near misses as the base": of(done.near_misses),
            "unrelated as the base": of(done.unrelated),
            "lost": ", ".join(done.lost) or None,
        }
    )
