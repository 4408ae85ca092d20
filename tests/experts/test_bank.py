"""One forward pass, many experts: a row that hits gets its own expert, a row that misses gets the base's own bits."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from editlog.errors import IntegrityError
from lifelong.editors import Edit, Lesson, Wave, as_groups, editor_of
from lifelong.experts.bank import MISS, Bank, Route
from lifelong.experts.expert import Expert, LowRank
from lifelong.experts.pack import Pack, decode_pack, encode_pack
from lifelong.models.base import Base
from policies.recipe import Recipe

STEPS = 6

# Plain transformers, in a process that has none of our code: logits of a batch, and of each step of generation.
PLAIN = """
import sys, torch
from safetensors.torch import load_file, save_file
from transformers import AutoModelForCausalLM
model = AutoModelForCausalLM.from_pretrained(sys.argv[1], dtype=torch.float32).eval()
torch.set_num_threads(int(sys.argv[4]))
batch = load_file(sys.argv[2])
with torch.no_grad():
    positions = (batch["attention_mask"].cumsum(-1) - 1).clamp_min(0)
    logits = model(**batch, position_ids=positions, use_cache=False).logits
    made = model.generate(**batch, do_sample=False, max_new_tokens=6, min_new_tokens=6,
                          output_logits=True, return_dict_in_generate=True)
assert not [name for name in sys.modules if name.split(".")[0] in ("lifelong", "editlog", "policies")]
save_file({"logits": logits, "steps": torch.stack(made.logits, 1)}, sys.argv[3])
"""


def pack_of(experts: Sequence[Expert]) -> Pack:
    return decode_pack(*encode_pack(experts))


def hit(slot: int) -> Route:
    return Route(slot, (slot,), (1.0,))


@pytest.fixture(scope="module")
def bank(base: Base, edit: Edit) -> Bank:
    return Bank(base, [pack_of(edit.experts)])


@pytest.fixture(scope="module")
def prompts(lessons: list[Lesson], strangers: tuple[str, ...]) -> list[str]:
    """Four prompts of facts, then four that no fact is about."""
    return [lesson.prompt for lesson in lessons[:4]] + list(strangers)


@pytest.fixture(scope="module")
def plain(
    base: Base, tiny_model: Path, prompts: list[str], tmp_path_factory: pytest.TempPathFactory
) -> dict[str, Tensor]:
    """What plain transformers computes for the batch of all prompts, in another process."""
    directory = tmp_path_factory.mktemp("plain")
    batch = base.pad_left([base.prompt_ids(prompt) for prompt in prompts])
    save_file(vars(batch), directory / "batch")
    arguments = [tiny_model, directory / "batch", directory / "plain", torch.get_num_threads()]
    subprocess.run([sys.executable, "-c", PLAIN, *map(str, arguments)], check=True, cwd=directory)
    return load_file(directory / "plain")


def logits(base: Base, bank: Bank, prompts: Sequence[str], routes: Sequence[Route]) -> Tensor:
    batch = base.pad_left([base.prompt_ids(prompt) for prompt in prompts])
    with torch.no_grad(), bank.serving(routes):
        return base.forward(batch)


def generated_logits(base: Base, bank: Bank, prompts: Sequence[str], routes: Sequence[Route]) -> Tensor:
    """Logits of each generated token, [rows, STEPS, vocabulary]."""
    batch = base.pad_left([base.prompt_ids(prompt) for prompt in prompts])
    with bank.serving(routes):
        made = base.model.generate(
            **vars(batch), do_sample=False, max_new_tokens=STEPS, min_new_tokens=STEPS,
            output_logits=True, return_dict_in_generate=True,
        )  # fmt: skip
    return torch.stack(made.logits, 1)


def test_the_experts_answer(base: Base, bank: Bank, lessons: list[Lesson]) -> None:
    with bank.serving([hit(slot) for slot in range(len(lessons))]):
        answers = base.generate([lesson.prompt for lesson in lessons])
    assert [answer.strip() for answer in answers] == [lesson.target for lesson in lessons]


def test_a_batch_of_misses_has_the_bits_of_plain_transformers(
    base: Base, bank: Bank, prompts: list[str], plain: dict[str, Tensor]
) -> None:
    misses = [MISS] * len(prompts)
    assert torch.equal(logits(base, bank, prompts, misses), plain["logits"])
    assert torch.equal(generated_logits(base, bank, prompts, misses), plain["steps"])


@pytest.mark.parametrize("hits", [(0, 1, 2, 3), (2,), (0, 3)], ids=["four", "one", "two"])
def test_misses_keep_their_bits_among_hits(
    base: Base, bank: Bank, prompts: list[str], plain: dict[str, Tensor], hits: tuple[int, ...]
) -> None:
    routes = [hit(i) if i in hits else MISS for i in range(len(prompts))]
    missed = [i for i in range(len(prompts)) if i not in hits]
    mixed = logits(base, bank, prompts, routes)
    assert torch.equal(mixed[missed], plain["logits"][missed])
    assert not any(torch.equal(mixed[i], plain["logits"][i]) for i in hits)
    assert torch.equal(generated_logits(base, bank, prompts, routes)[missed], plain["steps"][missed])


def test_a_hit_answers_alone_as_it_does_in_a_crowd(base: Base, bank: Bank, prompts: list[str]) -> None:
    crowd = logits(base, bank, prompts, [hit(0), hit(1), hit(2), hit(3), *[MISS] * 4])
    for i in range(4):
        alone = logits(base, bank, [prompts[i]], [hit(i)])
        torch.testing.assert_close(alone[0], crowd[i, -alone.shape[1] :], rtol=1e-4, atol=1e-4)


def test_any_expert_can_serve_any_row(base: Base, bank: Bank, prompts: list[str]) -> None:
    swapped = logits(base, bank, [prompts[0], prompts[0]], [hit(3), hit(1)])
    torch.testing.assert_close(swapped[0], logits(base, bank, [prompts[0]], [hit(3)])[0], rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(swapped[1], logits(base, bank, [prompts[0]], [hit(1)])[0], rtol=1e-4, atol=1e-4)


def joined(experts: Sequence[Expert], weights: Sequence[float]) -> Expert:
    """The one expert whose delta is the weighted sum of several."""
    tensors = {
        site: LowRank(
            torch.cat([e.tensors[site].a.float() for e in experts]),
            torch.cat([w * e.tensors[site].b.float() for e, w in zip(experts, weights, strict=True)], dim=1),
        )
        for site in experts[0].tensors
    }
    return replace(experts[0], tensors=tensors)


BOTH = Route(0, (0, 5), (0.75, 0.5))


def test_several_experts_act_on_one_row_by_their_weights(
    base: Base, bank: Bank, edit: Edit, prompts: list[str]
) -> None:
    sum_of_both = Bank(base, [pack_of([joined([edit.experts[0], edit.experts[5]], BOTH.weights)])])
    expected = logits(base, sum_of_both, prompts[:3], [hit(0), MISS, MISS])
    found = logits(base, bank, prompts[:3], [BOTH, MISS, hit(2)])
    torch.testing.assert_close(found[:2], expected[:2], rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("route", [hit(0), BOTH], ids=["one expert", "two experts"])
def test_repeated_rows_keep_the_route_of_their_row(base: Base, bank: Bank, prompts: list[str], route: Route) -> None:
    """Beams and returned sequences stand beside each other: rows 0 0 0 1 1 1."""
    routes, asked = [route, MISS, hit(2)], prompts[:3]
    once = logits(base, bank, asked, routes)
    batch = base.pad_left([base.prompt_ids(prompt) for prompt in asked for _ in range(3)])
    with torch.no_grad(), bank.serving(routes):
        torch.testing.assert_close(base.forward(batch), once.repeat_interleave(3, 0), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("options", [{"num_beams": 3}, {"num_beams": 3, "num_return_sequences": 3}], ids=str)
def test_beam_search_in_a_crowd_is_that_of_each_row(
    base: Base, bank: Bank, prompts: list[str], options: dict[str, int]
) -> None:
    routes, asked = [BOTH, MISS, hit(2), MISS], [*prompts[:3], prompts[5]]
    with bank.serving(routes):
        together = base.generate(asked, max_new_tokens=STEPS, **options)
    each = len(together) // len(asked)
    for i, (prompt, route) in enumerate(zip(asked, routes, strict=True)):
        with bank.serving([route]):
            assert base.generate([prompt], max_new_tokens=STEPS, **options) == together[i * each : (i + 1) * each]


def test_sampled_sequences_keep_the_expert_of_their_row(
    base: Base, bank: Bank, lessons: list[Lesson], prompts: list[str]
) -> None:
    options = {"do_sample": True, "temperature": 0.01, "num_return_sequences": 3, "max_new_tokens": 8}
    with bank.serving([hit(0), MISS, hit(1)]):
        texts = base.generate([prompts[0], prompts[4], prompts[1]], **options)
    assert [text.strip() for text in texts[:3] + texts[6:]] == [lessons[0].target] * 3 + [lessons[1].target] * 3


def test_experts_of_different_rank_and_sites_share_a_bank(
    base: Base, edit: Edit, lessons: list[Lesson], recipe: Recipe, prompts: list[str]
) -> None:
    dials = recipe.experts.model_copy(update={"rank": 7, "layers": (0, 1), "modules": ("mlp.up", "attn.out")})
    wide = editor_of(recipe.model_copy(update={"experts": dials})).fit(base, Wave(as_groups(lessons[:2])), seed=0)
    bank = Bank(base, [pack_of(wide.experts), pack_of(edit.experts)])
    routes = [
        Route(0, (bank.slot_of[wide.experts[0].hash],), (1.0,)),
        Route(1, (bank.slot_of[edit.experts[1].hash],), (1.0,)),
        MISS,
    ]
    asked = [prompts[0], prompts[1], prompts[4]]
    mixed = logits(base, bank, asked, routes)
    for row, expert in enumerate((wide.experts[0], edit.experts[1])):
        alone = logits(base, Bank(base, [pack_of([expert])]), asked, [hit(0)] * 3)
        torch.testing.assert_close(mixed[row], alone[row], rtol=1e-4, atol=1e-4)
    assert torch.equal(mixed[2], logits(base, bank, asked, [MISS] * 3)[2])


def test_the_weights_answer(base: Base, edit: Edit, lessons: list[Lesson]) -> None:
    """Zero an expert's weights and the base's own answer is back: no text of a target lies anywhere else."""
    silent = replace(
        edit.experts[0],
        tensors={site: LowRank(f.a, torch.zeros_like(f.b)) for site, f in edit.experts[0].tensors.items()},
    )
    with Bank(base, [pack_of([silent])]).serving([hit(0)]):
        answer = base.generate([lessons[0].prompt])
    assert answer == base.generate([lessons[0].prompt])
    assert lessons[0].target not in answer[0]


def test_the_base_is_as_it_was(base: Base, bank: Bank, prompts: list[str], plain: dict[str, Tensor]) -> None:
    """After training, serving and generating: the same weights, and no hook left behind."""
    before = base.fingerprint
    logits(base, bank, prompts, [hit(0), *[MISS] * 7])
    assert base.measure_fingerprint() == before
    batch = base.pad_left([base.prompt_ids(prompt) for prompt in prompts])
    with torch.no_grad():
        assert torch.equal(base.forward(batch), plain["logits"])


def test_serving_ends_with_its_block_even_by_an_error(base: Base, bank: Bank, prompts: list[str]) -> None:
    missed = logits(base, bank, prompts[:1], [MISS])
    with pytest.raises(ZeroDivisionError), bank.serving([hit(0)]):
        raise ZeroDivisionError
    assert torch.equal(logits(base, bank, prompts[:1], [MISS]), missed)


def test_another_thread_is_not_served_by_my_routes(base: Base, bank: Bank, prompts: list[str]) -> None:
    from concurrent.futures import ThreadPoolExecutor

    missed = logits(base, bank, prompts[:1], [MISS])
    with bank.serving([hit(0)]), ThreadPoolExecutor(1) as other:
        batch = base.pad_left([base.prompt_ids(prompts[0])])
        assert torch.equal(other.submit(base.forward, batch).result(), missed)


def other_base(pack: Pack) -> Pack:
    return replace(pack, base="sha256:" + "0" * 64)


def other_site(pack: Pack) -> Pack:
    return replace(pack, stacks={f"{site}.nowhere": stack for site, stack in pack.stacks.items()})


def other_width(pack: Pack) -> Pack:
    return replace(pack, stacks={site: LowRank(s.a[:, :, :-1], s.b) for site, s in pack.stacks.items()})


@pytest.mark.parametrize("foreign", [other_base, other_site, other_width])
def test_a_pack_that_does_not_fit_the_base_is_refused(base: Base, edit: Edit, foreign: Callable[[Pack], Pack]) -> None:
    with pytest.raises(IntegrityError, match="base"):
        Bank(base, [foreign(pack_of(edit.experts))])


def test_an_empty_bank_serves_misses(base: Base, prompts: list[str], plain: dict[str, Tensor]) -> None:
    assert torch.equal(logits(base, Bank(base, []), prompts, [MISS] * len(prompts)), plain["logits"])
