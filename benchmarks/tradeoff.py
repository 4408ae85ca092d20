"""Facts per expert, rank and module against generality, bytes and seconds a fact, with the right expert given.

    LIFELONG_DATA=... python -m benchmarks.tradeoff [--stream counterfact] [--limit 256] [--facts 1 --facts 4]
        [--rank 4] [--module mlp.up] [--dtype int8] [--alike answer] [--plot FILE.html]

Records of the tuning half, trained with the default recipe but for these dials; facts that share an expert stand
together by `--alike`: `answer` (the same target), `pattern` (the same wording around the subject) or `none` (as drawn).
One JSON line a point: reliability is the share of own prompts, generality that of first rephrases, by generated exact
match with natural stop. No gate is asked. Seconds are CPU time of this process.
"""

from __future__ import annotations

import json
import random
import time
from collections.abc import Mapping, Sequence
from itertools import product
from pathlib import Path
from typing import Any

import click

from lifelong.config import read_recipe
from lifelong.editors import Lesson, Wave, editor_of
from lifelong.evaluation.metrics import is_exact
from lifelong.experts.bank import Bank, Route
from lifelong.experts.expert import Expert
from lifelong.experts.pack import alike as packs_of
from lifelong.experts.pack import decode_pack, encode_pack
from lifelong.models.base import EMBEDDED, Base, batches_by_length
from lifelong.reports.html import page
from lifelong.reports.plots import Series, line_plot
from policies.grouping import Groupable
from policies.growth import expert_groups
from policies.recipe import Recipe
from pretraining.encoder.streams import STREAMS, Record, half, load

WAVE, ROWS, SEED, LONGEST_ANSWER = 256, 64, 0, 32
ALIKE = ("answer", "pattern", "none")


def drawn(stream: str, limit: int) -> list[Record]:
    """`limit` records of the tuning half that have a rephrase, drawn by seed."""
    records = [record for record in half(load(stream), "tuning") if record.rephrases]
    random.Random(SEED).shuffle(records)
    return records[: limit or None]


def in_groups(records: Sequence[Record], facts: int, alike: str) -> list[tuple[int, ...]]:
    """Places of the records, `facts` of them in each group at most, those alike together."""
    known = [Groupable(i, str(i), r.prompt, r.subject, r.relation, r.answers[0]) for i, r in enumerate(records)]
    kind = {"answer": lambda one: one.answer, "pattern": lambda one: one.pattern, "none": lambda _: ""}[alike]
    clusters: dict[str, list[int]] = {}
    for one in known:
        clusters.setdefault(kind(one), []).append(one.seq)
    return [group for cluster in clusters.values() for group in expert_groups(cluster, facts)]


def trained(
    base: Base, recipe: Recipe, records: Sequence[Record], groups: Sequence[tuple[int, ...]], steps: int | None = None
) -> dict[int, Expert]:
    """The expert of each record, by place, trained wave by wave."""
    found: dict[int, Expert] = {}
    for start in range(0, len(groups), WAVE):
        part = groups[start : start + WAVE]
        lessons = [
            tuple(Lesson(str(i), records[i].prompt, records[i].answers[0], records[i].subject) for i in group)
            for group in part
        ]
        edit = editor_of(recipe).fit(base, Wave(tuple(lessons)), seed=SEED, steps=steps)
        by_hash = {expert.hash: expert for expert in edit.experts}
        found.update((int(digest), by_hash[outcome.expert]) for digest, outcome in edit.outcomes.items())
    return found


def figures(base: Base, records: Sequence[Record], experts: Mapping[int, Expert]) -> dict[str, float]:
    """Reliability and generality of records under their experts, and bytes of tensors a fact."""
    distinct = list({expert.hash: expert for expert in experts.values()}.values())
    bank = Bank(base, [decode_pack(*encode_pack(part)) for part in packs_of(distinct)])
    prompts = [record.prompt for record in records] + [record.rephrases[0] for record in records]
    slots = [bank.slot_of[experts[i % len(records)].hash] for i in range(len(prompts))]
    right = [False] * len(prompts)
    for index in batches_by_length([len(base.prompt_ids(prompt)) for prompt in prompts], ROWS):
        with bank.serving([Route(i, (slots[i],), (1.0,)) for i in index]):
            told = base.generate([prompts[i] for i in index], max_new_tokens=LONGEST_ANSWER)
        for i, text in zip(index, told, strict=True):
            right[i] = is_exact(text, records[i % len(records)].answers[0])
    count = len(records)
    size = sum(delta.nbytes for expert in distinct for delta in expert.tensors.values())
    return {
        "reliability": round(sum(right[:count]) / count, 4),
        "generality": round(sum(right[count:]) / count, 4),
        "bytes_per_fact": round(size / count, 1),
    }


def point(base: Base, records: Sequence[Record], dials: dict[str, Any]) -> dict[str, Any]:
    """One line of the table."""
    experts = {"rank": dials["rank"], "modules": [dials["module"]], "dtype": dials["dtype"]}
    recipe = read_recipe("default", overrides={"experts": experts})
    groups = in_groups(records, dials["facts"], dials["alike"])
    began = time.process_time()
    found = trained(base, recipe, records, groups)
    seconds = time.process_time() - began
    return {**dials, **figures(base, records, found), "seconds_per_fact": round(seconds / len(records), 4)}


def plotted(points: Sequence[dict[str, Any]]) -> str:
    """A page with generality and seconds over bytes a fact, a line for each module and number of facts."""
    lines: dict[str, list[dict[str, Any]]] = {}
    for one in points:
        lines.setdefault(f"{one['module']}, {one['facts']} facts an expert", []).append(one)
    plots = []
    for figure in ("generality", "seconds_per_fact"):
        series = [
            Series(name, tuple(sorted((one["bytes_per_fact"], one[figure]) for one in of_line)))
            for name, of_line in lines.items()
        ]
        plots.append(line_plot(figure.replace("_", " "), series, x_label="bytes a fact"))
    return page("Facts per expert, rank and module", *plots)


@click.command()
@click.option("--model", default=EMBEDDED, help="A model folder; by default the embedded base.")
@click.option("--stream", type=click.Choice(list(STREAMS)), default="counterfact", show_default=True)
@click.option("--limit", default=256, show_default=True, help="Facts, drawn by seed; 0: all.")
@click.option("--facts", "facts", multiple=True, type=int, default=(1, 2, 4, 8), help="Facts per expert.")
@click.option("--rank", "ranks", multiple=True, type=int, default=(1, 2, 4, 8))
@click.option("--module", "modules", multiple=True, default=("mlp.up", "mlp.down", "attn.out"))
@click.option("--dtype", default="float16", show_default=True, type=click.Choice(["float32", "float16", "int8"]))
@click.option("--alike", default="answer", show_default=True, type=click.Choice(ALIKE))
@click.option("--plot", type=click.Path(dir_okay=False, path_type=Path), help="A page with plots to write.")
def main(
    *,
    model: str,
    stream: str,
    limit: int,
    facts: tuple[int, ...],
    ranks: tuple[int, ...],
    modules: tuple[str, ...],
    dtype: str,
    alike: str,
    plot: Path | None,
) -> None:
    """Print one JSON line for each point."""
    base, records, points = Base.load(model), drawn(stream, limit), []
    for module, share, rank in product(modules, facts, ranks):
        dials = {"module": module, "facts": share, "rank": rank, "dtype": dtype, "alike": alike}
        points.append(point(base, records, dials))
        click.echo(json.dumps(points[-1]))
    if plot:
        plot.write_text(plotted(points), encoding="utf-8")


if __name__ == "__main__":
    main()
