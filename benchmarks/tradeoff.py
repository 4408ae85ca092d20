"""Facts per expert, rank, layers, modules and steps against generality, bytes and seconds a fact.

    LIFELONG_DATA=... python -m benchmarks.tradeoff [--stream counterfact --stream zsre] [--limit 64] [--dial rank]
        [--alike answer] [--plot FOLDER]

The default recipe, then one dial at a time set to other values. Records of the tuning half, `--limit` of each stream;
facts that share an expert stand together by `--alike`: `answer` (the same target), `pattern` (the same wording around
the subject) or `none` (as drawn). One JSON line a point: reliability is the share of own prompts, generality that of
first rephrases, by generated exact match with natural stop, the right expert given: no gate is asked. Seconds are CPU
time of this process in training. `--plot` writes tradeoff-bytes.svg and tradeoff-time.svg, where the default stands on
every line.
"""

from __future__ import annotations

import json
import random
import time
from collections.abc import Mapping, Sequence
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
from lifelong.reports.plots import Series, as_file, line_plot
from policies.grouping import Groupable
from policies.growth import expert_groups
from policies.recipe import Recipe
from pretraining.encoder.streams import STREAMS, Record, half, load

WAVE, ROWS, SEED, LONGEST_ANSWER = 256, 64, 0, 32
ALIKE = ("answer", "pattern", "none")
DIALS: Mapping[str, tuple[str, str, tuple[Any, ...]]] = {
    "facts": ("growth", "facts_per_expert", (2, 4, 8)),
    "rank": ("experts", "rank", (1, 2, 4, 8)),
    "layers": ("experts", "layers", ((-2,), (-2, -1))),
    "modules": ("experts", "modules", (("mlp.down",), ("attn.out",))),
    "steps": ("training", "steps", (15, 30, 120)),
}
"""By the name of its line: where a dial stands in a recipe, and the values it is set to beside the default."""
TOGETHER = {"rank": {"rank_per_token": 0}}
"""What is set with a dial: a rank is that of every expert, whatever its answer."""


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
    base: Base,
    recipe: Recipe,
    records: Sequence[Record],
    groups: Sequence[tuple[int, ...]],
    *,
    steps: int | None = None,
    begin: Sequence[Expert] = (),
) -> dict[int, Expert]:
    """The expert of each record, by place, trained wave by wave; `begin`: the expert each group goes on from."""
    found: dict[int, Expert] = {}
    for start in range(0, len(groups), WAVE):
        part = groups[start : start + WAVE]
        lessons = [
            tuple(Lesson(str(i), records[i].prompt, records[i].answers[0], records[i].subject) for i in group)
            for group in part
        ]
        edit = editor_of(recipe).fit(
            base, Wave(tuple(lessons), tuple(begin[start : start + WAVE])), seed=SEED, steps=steps
        )
        by_hash = {expert.hash: expert for expert in edit.experts}
        found.update((int(digest), by_hash[outcome.expert]) for digest, outcome in edit.outcomes.items())
    return found


def answered(
    base: Base, records: Sequence[Record], experts: Mapping[int, Expert], prompts: Sequence[str]
) -> list[bool]:
    """Whether each record's expert answers the record's prompt with its target."""
    distinct = {expert.hash: expert for expert in experts.values()}.values()
    bank = Bank(base, [decode_pack(*encode_pack(part)) for part in packs_of(distinct)])
    right = [False] * len(prompts)
    for index in batches_by_length([len(base.prompt_ids(prompt)) for prompt in prompts], ROWS):
        with bank.serving([Route(i, (bank.slot_of[experts[i].hash],), (1.0,)) for i in index]):
            told = base.generate([prompts[i] for i in index], max_new_tokens=LONGEST_ANSWER)
        for i, text in zip(index, told, strict=True):
            right[i] = is_exact(text, records[i].answers[0])
    return right


def figures(base: Base, records: Sequence[Record], experts: Mapping[int, Expert]) -> dict[str, float]:
    """Reliability and generality of records under their experts, and bytes of tensors a fact."""
    own = answered(base, records, experts, [record.prompt for record in records])
    rephrased = answered(base, records, experts, [record.rephrases[0] for record in records])
    distinct, count = {expert.hash: expert for expert in experts.values()}.values(), len(records)
    size = sum(delta.nbytes for expert in distinct for delta in expert.tensors.values())
    return {
        "reliability": round(sum(own) / count, 4),
        "generality": round(sum(rephrased) / count, 4),
        "bytes_per_fact": round(size / count, 1),
    }


def point(base: Base, streams: Mapping[str, Sequence[Record]], recipe: Recipe, alike: str) -> dict[str, Any]:
    """One line of the table: means over the streams, each record counting once."""
    found = []
    for records in streams.values():
        groups = in_groups(records, recipe.growth.facts_per_expert, alike)
        began = time.process_time()
        experts = trained(base, recipe, records, groups)
        seconds = (time.process_time() - began) / len(records)
        found.append({**figures(base, records, experts), "seconds_per_fact": seconds})
    return {name: round(sum(one[name] for one in found) / len(found), 4) for name in found[0]}


def recipes(names: Sequence[str]) -> list[tuple[str, Any, Recipe]]:
    """The name of a line, the value of its dial, and the recipe with it; the default first."""
    found: list[tuple[str, Any, Recipe]] = [("default", None, read_recipe("default"))]
    for name in names:
        section, dial, values = DIALS[name]
        for value in values:
            overrides = {section: {dial: value, **TOGETHER.get(name, {})}}
            found.append((name, value, read_recipe("default", overrides=overrides)))
    return found


def plotted(points: Sequence[dict[str, Any]], figure: str, label: str) -> str:
    """Generality over a figure as SVG, a line for each dial; the default is on all of them."""
    names = list(dict.fromkeys(one["dial"] for one in points[1:]))
    series = [
        Series(
            f"{name}: {', '.join(str(one['value']) for one in points if one['dial'] == name)}",
            sorted((one[figure], one["generality"]) for one in points if one["dial"] in (name, "default")),
        )
        for name in names
    ]
    return as_file(line_plot("Generality with the right expert given", series, x_label=label, log_x=True))


@click.command()
@click.option("--model", default=EMBEDDED, help="A model folder; by default the embedded base.")
@click.option("--stream", "names", multiple=True, type=click.Choice(list(STREAMS)), default=("counterfact", "zsre"))
@click.option("--limit", default=64, show_default=True, help="Facts of each stream, drawn by seed; 0: all.")
@click.option("--dial", "dials", multiple=True, type=click.Choice(list(DIALS)), default=tuple(DIALS))
@click.option("--alike", default="answer", show_default=True, type=click.Choice(ALIKE))
@click.option("--plot", type=click.Path(file_okay=False, path_type=Path), help="The folder to write the plots to.")
def main(
    *, model: str, names: tuple[str, ...], limit: int, dials: tuple[str, ...], alike: str, plot: Path | None
) -> None:
    """Print one JSON line for each point."""
    base, points = Base.load(model), list[dict[str, Any]]()
    streams = {name: drawn(name, limit) for name in names}
    for dial, value, recipe in recipes(dials):
        points.append({"dial": dial, "value": value, **point(base, streams, recipe, alike)})
        click.echo(json.dumps(points[-1]))
    if plot:
        for figure, label in (("bytes_per_fact", "bytes a fact"), ("seconds_per_fact", "CPU seconds a fact")):
            name = f"tradeoff-{figure.split('_')[0].replace('seconds', 'time')}.svg"
            (plot / name).write_text(plotted(points, figure, label), encoding="utf-8")


if __name__ == "__main__":
    main()
