"""What editing costs on a model of a size that people serve: training, memory, and generation with many experts.

    python benchmarks/gpu/throughput.py                  # Llama shapes of 1B and 8B, random weights, bfloat16, on cuda
    python benchmarks/gpu/throughput.py --shape 8b --experts 10000
    python benchmarks/gpu/throughput.py --tiny           # the same on a CPU in seconds: shows that it runs, no more

One JSON object a shape goes to stdout, a table to stderr; nothing is downloaded (the tokenizer is the embedded base's).

- **train**: facts a second of one wave of the default recipe, one expert a fact, each with a rephrase and a near miss,
  after a wave that warms up. Random weights know nothing, so how many facts converge, and in how many steps, is said
  beside it: the time is that of the steps taken. Hashing the base (once a process) is not in it.
- **generate**: new tokens a second by greedy decoding to a fixed length: the plain base, then the same prompts with a
  bank of N experts where every row is routed to another one, and where every second row is a miss. In turns, medians;
  so compare in a line. Experts here are random and small: what they say does not matter, where they are looked up does.
  Routing is not in it: the gate is the same whatever the base is (benchmarks/gate_cost.py).
- **memory**: of the device, highest and by the bank alone; null on a CPU.
"""

from __future__ import annotations

import json
import platform
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from statistics import median
from typing import Any

import click
import torch
from transformers import AutoTokenizer, LlamaConfig, LlamaForCausalLM

from lifelong.config import read_recipe
from lifelong.editors import Lesson, Wave, as_groups, editor_of
from lifelong.experts.bank import MISS, Bank, Route
from lifelong.experts.kinds import LowRankInt8
from lifelong.experts.pack import Pack
from lifelong.models.base import EMBEDDED_PATH, Base
from lifelong.models.sites import find_sites
from policies.recipe import Recipe

MIB = 1 << 20


@dataclass(frozen=True)
class Shape:
    """A Llama by its sizes; `1b` and `8b` are those of Llama 3.2 1B and Llama 3.1 8B."""

    hidden_size: int
    intermediate_size: int
    num_hidden_layers: int
    num_attention_heads: int
    num_key_value_heads: int
    vocab_size: int
    tie_word_embeddings: bool


SHAPES = {
    "tiny": Shape(64, 128, 2, 4, 2, 8192, True),
    "1b": Shape(2048, 8192, 16, 32, 8, 128_256, True),
    "8b": Shape(4096, 14_336, 32, 32, 8, 128_256, False),
}


def random_base(shape: Shape, device: torch.device, dtype: torch.dtype) -> Base:
    """A Llama of this shape with random weights, made on the device itself."""
    tokenizer = AutoTokenizer.from_pretrained(EMBEDDED_PATH)
    config = LlamaConfig(**asdict(shape), max_position_embeddings=2048, eos_token_id=tokenizer.eos_token_id)
    torch.manual_seed(0)
    default = torch.get_default_dtype()
    torch.set_default_dtype(dtype)
    try:
        with device:
            model = LlamaForCausalLM(config)
    finally:
        torch.set_default_dtype(default)
    return Base(model, tokenizer, "random Llama")


def lessons(count: int, first: int = 0) -> list[Lesson]:
    """Facts of one shape, no two alike."""
    return [
        Lesson(
            f"fact-{i}",
            f"The keeper of lighthouse number {i} is",
            f"Ada Finch {i}",
            rephrases=(f"Lighthouse number {i} is kept by",),
            near_misses=(f"The height of lighthouse number {i} is",),
        )
        for i in range(first, first + count)
    ]


def settle(device: torch.device) -> None:
    """Wait until the device has done all it was asked."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def memory(device: torch.device, *, highest: bool = False) -> float | None:
    """MiB in use on the device, or the most that were since the last reset; None on a CPU."""
    if device.type != "cuda":
        return None
    return round((torch.cuda.max_memory_allocated if highest else torch.cuda.memory_allocated)(device) / MIB, 1)


def seconds(call: Callable[[], Any], device: torch.device) -> float:
    """Wall time of a call, the device's work included; on a CPU, which others may share, the CPU time."""
    clock = time.process_time if device.type == "cpu" else time.perf_counter
    settle(device)
    began = clock()
    call()
    settle(device)
    return clock() - began


def training(base: Base, recipe: Recipe, facts: int) -> dict[str, Any]:
    """One wave of so many facts, behind a small one that warms up."""
    editor = editor_of(recipe)
    assert base.fingerprint
    editor.fit(base, Wave(as_groups(lessons(4, first=facts))), seed=0)
    before = memory(base.device)
    if base.device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(base.device)
    wave, made = Wave(as_groups(lessons(facts))), []
    took = seconds(lambda: made.append(editor.fit(base, wave, seed=0)), base.device)
    outcomes = list(made[0].outcomes.values())
    highest = memory(base.device, highest=True)
    return {
        "facts": facts,
        "facts a second": round(facts / took, 2),
        "converged": sum(outcome.converged for outcome in outcomes),
        "mean steps": round(sum(outcome.steps for outcome in outcomes) / facts, 1),
        "bytes an expert": sum(delta.nbytes for delta in made[0].experts[0].tensors.values()),
        "MiB above the base": None if highest is None or before is None else round(highest - before, 1),
    }


def random_bank(base: Base, recipe: Recipe, count: int) -> Bank:
    """A bank of so many random experts of the recipe's shape, held as int8."""
    draw = torch.Generator().manual_seed(1)
    stacks = {}
    for site in find_sites(base.model, recipe.experts.layers, recipe.experts.modules):
        rank = recipe.experts.rank
        a, b = (
            torch.randint(-127, 128, shape, generator=draw, dtype=torch.int8)
            for shape in ((count, rank, site.in_features), (count, site.out_features, rank))
        )
        stacks[site.path] = LowRankInt8(a, b, torch.full((count, rank), 1e-9))
    names = tuple(f"expert-{i}" for i in range(count))
    facts = tuple((name,) for name in names)
    return Bank(base, [Pack("random", stacks, names, facts, recipe.digest, base.fingerprint, "lowrank-int8")])


def routes(count: int, rows: int, *, every: int) -> list[Route]:
    """Each row to an expert of its own, far apart in the bank; only every second one where `every` is 2."""
    step = max(1, count // rows)
    return [Route(i, ((i * step) % count,), (1.0,)) if i % every == 0 else MISS for i in range(rows)]


def generation(base: Base, recipe: Recipe, *, experts: int, rows: int, tokens: int, rounds: int) -> dict[str, Any]:
    """New tokens a second of one batch: the plain base, all rows routed, half of them misses."""
    prompts = [lesson.prompt for lesson in lessons(rows)]
    settle(base.device)
    before = memory(base.device)
    bank = random_bank(base, recipe, experts)
    after = memory(base.device)
    ways = {
        "plain": [MISS] * rows,
        "routed": routes(experts, rows, every=1),
        "half misses": routes(experts, rows, every=2),
    }
    took: dict[str, list[float]] = {name: [] for name in ways}
    for turn in range(rounds + 1):
        for name, way in ways.items():
            with bank.serving(way):
                spent = seconds(
                    lambda: base.generate(prompts, min_new_tokens=tokens, max_new_tokens=tokens), base.device
                )
            if turn:  # the first one warms up
                took[name].append(spent)
    speed = {name: rows * tokens / median(each) for name, each in took.items()}
    return {
        "experts": experts,
        "rows": rows,
        **{f"{name}, tokens a second": round(each, 1) for name, each in speed.items()},
        "routed to plain": round(speed["routed"] / speed["plain"], 3),
        "half misses to plain": round(speed["half misses"] / speed["plain"], 3),
        "MiB of the bank": None if before is None or after is None else round(after - before, 1),
    }


def measured(name: str, device: torch.device, experts: Sequence[int], facts: int, rounds: int) -> dict[str, Any]:
    """Everything of one shape."""
    tiny = name == "tiny"
    base = random_base(SHAPES[name], device, torch.float32 if device.type == "cpu" else torch.bfloat16)
    recipe = read_recipe("default")
    tokens, batches = (8, (1, 4)) if tiny else (64, (1, 32))
    return {
        "shape": name,
        "parameters": sum(parameter.numel() for parameter in base.model.parameters()),
        "dtype": str(base.model.dtype).removeprefix("torch."),
        "device": torch.cuda.get_device_name(device) if device.type == "cuda" else platform.processor() or "cpu",
        "torch": torch.__version__,
        "MiB of the base": memory(device),
        "train": training(base, recipe, facts),
        "generate": [
            generation(base, recipe, experts=count, rows=rows, tokens=tokens, rounds=rounds)
            for count in experts
            for rows in batches
        ],
    }


def table(found: dict[str, Any]) -> str:
    """The same as Markdown."""
    train = found["train"]
    head = list(found["generate"][0])
    lines = [
        f"## {found['shape']}: {found['parameters'] / 1e6:,.0f}M parameters, {found['dtype']}, {found['device']}",
        f"\nThe base takes {found['MiB of the base']} MiB. "
        + ", ".join(f"{key}: {value}" for key, value in train.items()),
        f"\n| {' | '.join(head)} |\n|{'---|' * len(head)}",
        *(f"| {' | '.join(str(row[key]) for key in head)} |" for row in found["generate"]),
    ]
    return "\n".join(lines)


@click.command()
@click.option("--shape", "shapes", multiple=True, type=click.Choice(["1b", "8b"]), help="Default: both.")
@click.option("--experts", multiple=True, type=click.IntRange(1), help="Default: 1,000 and 10,000.")
@click.option("--facts", type=click.IntRange(1), default=256, show_default=True, help="Facts of the wave.")
@click.option("--rounds", type=click.IntRange(1), default=3, show_default=True, help="Turns of each generation.")
@click.option("--device", default="cuda", show_default=True)
@click.option("--tiny", is_flag=True, help="A Llama of 64 wide, on the CPU, with 10 and 100 experts and 8 facts.")
def main(
    *, shapes: tuple[str, ...], experts: tuple[int, ...], facts: int, rounds: int, device: str, tiny: bool
) -> None:
    """Measure, and say it as one JSON object a line."""
    if tiny:
        shapes, experts, facts, device = ("tiny",), experts or (10, 100), 8, "cpu"
    elif torch.device(device).type == "cuda" and not torch.cuda.is_available():
        raise click.ClickException("there is no CUDA device here; --tiny shows on a CPU that the benchmark runs")
    for name in shapes or ("1b", "8b"):
        found = measured(name, torch.device(device), experts or (1_000, 10_000), facts, rounds)
        click.echo(json.dumps(found))
        click.echo(table(found), err=True)


if __name__ == "__main__":
    main()
