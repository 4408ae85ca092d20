"""What merging costs in reliability and generality, by method, with the right expert given.

    LIFELONG_DATA=... python -m benchmarks.merging [--limit 512] [--share 0.5] [--facts 4] [--rank 4] [--method distil]

Records of the tuning half of a stream get an expert each. Then at least `--share` of these experts are merged by the
policy `budget`, `--facts` of them into one of rank `--rank` (0: of the ranks that their different answers have): with 4
facts of one answer and 0, to a quarter of their bytes at equal dtype. One JSON line for the start, then one a method:
figures of all records, and the same of the merged ones alone, by generated exact match. Nothing is dropped because it
does not hold, as the audit would; `cat_distil` trains only the groups that do not answer all their prompts after
`cat`, `mean_distil` all of them.
"""

from __future__ import annotations

import json
import math
import time
from collections.abc import Sequence

import click

from benchmarks.tradeoff import answered, drawn, trained
from lifelong.config import read_recipe
from lifelong.experts.expert import Expert
from lifelong.experts.kinds import LowRank, kind_of
from lifelong.experts.merge import MIXES, merged
from lifelong.experts.quantising import stored_as
from lifelong.jobs.merging import trained_by
from lifelong.models.base import EMBEDDED, Base
from policies.grouping import Groupable
from policies.merging import Carried, Group, Merging, plan
from policies.recipe import Recipe
from pretraining.encoder.streams import STREAMS, Record

METHODS = ("mean_distil", "distil", "cat_distil", "cat", *MIXES)


def groups_of(records: Sequence[Record], *, share: float, facts: int) -> list[Group]:
    """The policy's groups of single experts until `share` of all stand in one."""
    carried = []
    for i, record in enumerate(records):
        one = Groupable(i, str(i), record.prompt, record.subject, record.relation, record.answers[0])
        carried.append(Carried(str(i), (i,), 1, one.pattern, one.answer))
    left = len(records) - math.ceil(share * len(records) * (facts - 1) / facts)
    dials = Merging(policy="budget", experts=max(1, left), facts_per_expert=facts)
    return plan(carried, dials, lambda _: 1)


def shares(right: Sequence[bool], rephrased: Sequence[bool], experts: Sequence[Expert]) -> dict[str, float]:
    """Reliability and generality of facts, and bytes of their experts' tensors a fact."""
    distinct, count = {expert.hash: expert for expert in experts}.values(), len(experts)
    size = sum(delta.nbytes for expert in distinct for delta in expert.tensors.values())
    return {
        "reliability": round(sum(right) / count, 4),
        "generality": round(sum(rephrased) / count, 4),
        "bytes_per_fact": round(size / count, 1),
    }


def rank_of(group: Group, experts: dict[int, Expert], recipe: Recipe) -> int:
    """The rank of what a group becomes: that of its different answers, as far as the recipe lets it."""
    ranks = {one.answer: max(_ranks(experts[seq])) for one in group for seq in one.facts}
    return min(recipe.experts.rank, sum(ranks.values()))


def _ranks(expert: Expert) -> list[int]:
    return [delta.rank for delta in expert.tensors.values() if isinstance(delta, LowRank)]


def mixed(method: str, group: Group, experts: dict[int, Expert], recipe: Recipe, rank: int) -> Expert:
    """One expert by arithmetic on a group's."""
    parents = [experts[seq] for one in group for seq in one.facts]
    rank = rank or rank_of(group, experts, recipe)
    tensors = {}
    for site in parents[0].tensors:
        deltas = [delta for parent in parents if isinstance(delta := parent.tensors[site], LowRank)]
        whole = merged(method, deltas, rank=rank, density=0.5, seed=0)
        tensors[site] = stored_as(whole.a, whole.b, recipe.experts.dtype)
    digests = tuple(sorted(str(seq) for one in group for seq in one.facts))
    return Expert(digests, tensors, method, parents[0].base, kind_of(next(iter(tensors.values()))))


@click.command()
@click.option("--model", default=EMBEDDED, help="A model folder; by default the embedded base.")
@click.option("--stream", type=click.Choice(list(STREAMS)), default="counterfact", show_default=True)
@click.option("--limit", default=512, show_default=True, help="Facts, drawn by seed; 0: all.")
@click.option("--share", default=0.5, show_default=True, help="Share of the experts to merge, at least.")
@click.option("--facts", default=4, show_default=True, help="Facts in a merged expert.")
@click.option("--rank", default=0, show_default=True, help="Rank of a merged expert; 0: by its answers.")
@click.option("--method", "methods", multiple=True, type=click.Choice(METHODS), default=METHODS)
def main(*, model: str, stream: str, limit: int, share: float, facts: int, rank: int, methods: tuple[str, ...]) -> None:
    """Print one JSON line before, and one for each method."""
    base, records, recipe = Base.load(model), drawn(stream, limit), read_recipe("default")
    experts = trained(base, recipe, records, [(i,) for i in range(len(records))])
    groups = groups_of(records, share=share, facts=facts)
    places = [seq for group in groups for one in group for seq in one.facts]

    def told(method: str, now: dict[int, Expert], seconds: float) -> None:
        right = answered(base, records, now, [record.prompt for record in records])
        rephrased = answered(base, records, now, [record.rephrases[0] for record in records])
        merged_alone = shares([right[i] for i in places], [rephrased[i] for i in places], [now[i] for i in places])
        line = {"method": method, "merged": len(places), "into": len(groups), "cpu_seconds": round(seconds, 2)}
        every = shares(right, rephrased, [now[i] for i in range(len(records))])
        click.echo(json.dumps({**line, **every, "of_merged": merged_alone}))

    told("none", experts, 0.0)
    for method in methods:
        began, now = time.process_time(), dict(experts)
        together = [tuple(seq for one in group for seq in one.facts) for group in groups]
        arithmetic = method.removesuffix("_distil")
        if method != "distil":
            made = [mixed(arithmetic, group, experts, recipe, rank) for group in groups]
            now.update((seq, expert) for seqs, expert in zip(together, made, strict=True) for seq in seqs)
        if method.endswith("distil"):
            left, begin = list(range(len(together))), list[Expert]() if method == "distil" else made
            if method == "cat_distil":
                right = answered(base, records, now, [record.prompt for record in records])
                left = [i for i, seqs in enumerate(together) if not all(right[seq] for seq in seqs)]
                begin = [made[i] for i in left]
            steps = recipe.training.retry_steps
            now.update(
                trained(
                    base,
                    trained_by(recipe, Merging(method=method, rank=rank)),
                    records,
                    [together[i] for i in left],
                    steps=steps,
                    begin=begin,
                )
            )
        told(method, now, time.process_time() - began)


if __name__ == "__main__":
    main()
