"""bench: a recipe over a stream of edits, in a workspace of its own, and the whole measurement."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import click

from lifelong.cli.shell import emit, json_option

_FILE = click.Path(exists=True, dir_okay=False, path_type=Path)


def _names(_ctx: click.Context, _param: click.Parameter, value: tuple[str, ...]) -> tuple[str, ...]:
    """Names given one by one or with commas between them."""
    return tuple(dict.fromkeys(name.strip() for words in value for name in words.split(",") if name.strip()))


def _dials(_ctx: click.Context, _param: click.Parameter, value: tuple[str, ...]) -> dict[str, dict[str, Any]]:
    """`section.dial=JSON` settings by section."""
    found: dict[str, dict[str, Any]] = {}
    for setting in value:
        place, equals, text = setting.partition("=")
        section, dot, dial = place.partition(".")
        try:
            found.setdefault(section, {})[dial] = json.loads(text)
        except ValueError:
            equals = ""
        if not (equals and dot and section and dial):
            raise click.BadParameter(f"{setting!r} is not SECTION.DIAL=JSON, such as experts.rank=8")
    return found


def _sizes(_ctx: click.Context, _param: click.Parameter, value: str | None) -> tuple[int, ...]:
    """Sizes with commas between them."""
    words = [word.strip() for word in (value or "").split(",") if word.strip()]
    if not all(word.isdecimal() and int(word) for word in words):
        raise click.BadParameter(f"{value!r} is not a list of sizes, such as 1,64,4096")
    return tuple(dict.fromkeys(map(int, words)))


@click.command()
@click.option(
    "--data",
    type=_FILE,
    required=True,
    multiple=True,
    help="Records with probes, in any format that `ingest` reads; several files are interleaved.",
)
@click.option("--recipe", default="default", show_default=True, help="The recipe to bench (`lifelong recipes list`).")
@click.option("--model", default="embedded", show_default=True, help="A model folder, a hub id, or the embedded base.")
@click.option("--edits", type=click.IntRange(min=1), help="Edit with the first N records [default: all].")
@click.option("--repeats", type=click.IntRange(min=0), default=0, help="Records that come again, word for word.")
@click.option("--contradictions", type=click.IntRange(min=0), default=0, help="Records that come again, contradicted.")
@click.option("--seed", "seeds", type=int, multiple=True, help="Seed of the training; repeat it for several runs.")
@click.option("--out", type=click.Path(file_okay=False, path_type=Path), help="Keep everything here, and carry on.")
@click.option("--with", "extras", multiple=True, callback=_names, metavar="NAMES", help="Measure more; see below.")
@click.option("--ablate", multiple=True, callback=_names, metavar="NAMES", help="Leave parts out; see below.")
@click.option("--set", "overrides", multiple=True, callback=_dials, metavar="SECTION.DIAL=JSON", help="Set a dial.")
@click.option("--per-job", type=click.IntRange(min=1), help="Edits a job [default: 500 or more, at most ten jobs].")
@click.option(
    "--batch-sizes", "sizes", callback=_sizes, metavar="N,N,...", help="Bench once for each size of batch; see below."
)
@click.option("--half", type=click.Choice(["test", "tuning", "all"]), default="test", help="Which records are scored.")
@click.option("--pool", "pools", type=_FILE, multiple=True, help="A file of prompts that no edit is about.")
@click.option("--text", type=_FILE, help="A file of running text.")
@json_option
def bench(
    data: tuple[Path, ...], seeds: tuple[int, ...], sizes: tuple[int, ...], as_json: bool, **settings: Any
) -> None:
    """Bench a recipe on a stream of edits.

    Needs no workspace. The records are edited in sequence by real jobs; those of the test half (by the hash of the
    prompt) are scored at the end: reliability, generality, locality against the base in another process,
    portability, retention, router and oracle, with 95 % bootstrap intervals. A probe that reaches training, anchors
    or calibration is an error.

    --with ceiling (an isolated expert a fact), comparators (untouched base, oracle, subject string, retrieval in
    context, one continual LoRA), pools (prompts from elsewhere: --pool, else those under LIFELONG_DATA), text
    (perplexity: --text, else that under LIFELONG_DATA).

    --ablate gate, near-miss, contexts, isolation.

    --batch-sizes, for recipes that solve for facts in batches (method.batch_size): all edits in one job, a bench for
    each size; 1 is sequential editing, the number of edits one batch of all. DIR has batch-sizes.html.

    With --out, DIR holds the workspaces, result.json, report.html and each seed's predictions.jsonl; the same command
    again carries a killed bench on. An audit's verdict is recorded and stops nothing here. Exit code 0 once measured,
    whatever the figures are.

    \b
    Examples:
      lifelong bench --recipe default --data counterfact.json --edits 1000 --seed 0 --json
      lifelong bench --data zsre.json --seed 0 --seed 1 --with ceiling,comparators --out zsre-bench
      lifelong bench --data counterfact.json --data zsre.json --repeats 100 --contradictions 20
      lifelong bench --recipe memit --data counterfact.json --batch-sizes 1,16,256 --out sizes
    """
    from lifelong.benching.batches import bench_batches, format_batches
    from lifelong.benching.run import bench as run_bench
    from lifelong.benching.table import format_result
    from lifelong.cli.progress import progress_bar

    settings["seeds"] = seeds or (0,)
    if sizes:
        with progress_bar() as progress:
            results = bench_batches(data, sizes, progress=progress, **settings)
        told = {str(size): result.to_dict() for size, result in results.items()}
        emit({"batch_sizes": told}, as_json, lambda: format_batches(results))
    else:
        with progress_bar() as progress:
            result = run_bench(data, progress=progress, **settings)
        emit(result.to_dict(), as_json, lambda: format_result(result))
