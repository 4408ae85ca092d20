"""int8 experts: half the bytes of fp16, nearly the same delta, and a pack of them is believed no more easily."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from editlog.errors import IntegrityError
from lifelong.editors import Edit, Lesson
from lifelong.experts.bank import Bank, Route
from lifelong.experts.expert import Expert
from lifelong.experts.kinds import LowRank, LowRankInt8, kind_of
from lifelong.experts.pack import decode_pack, encode_pack, read_pack, write_pack
from lifelong.experts.quantising import stored_as
from lifelong.models.base import Base

SITE = "model.layers.1.mlp.up_proj"


def factors(seed: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
    """A and B of rank 4 whose ranks differ a thousandfold in size, as those of trained experts do."""
    random = torch.Generator().manual_seed(seed)
    sizes = torch.tensor([1e-3, 1e-2, 0.1, 1.0])
    return torch.randn(4, 64, generator=random) * sizes[:, None], torch.randn(96, 4, generator=random) * sizes


def expert(number: int = 0, dtype: str = "int8") -> Expert:
    delta = stored_as(*factors(number), dtype)
    return Expert((f"fact-{number}",), {SITE: delta}, "recipe", "base", kind_of(delta))


def quantised(edit: Edit) -> list[Expert]:
    """The trained experts of the dozen facts, brought to int8."""
    return [
        replace(
            one,
            kind="lowrank-int8",
            tensors={s: stored_as(f.a, f.b, "int8") for s, f in one.tensors.items() if isinstance(f, LowRank)},
        )
        for one in edit.experts
    ]


def test_the_delta_keeps_within_a_hundredth_of_itself() -> None:
    a, b = factors()
    back = stored_as(a, b, "int8").floats()
    exact = b @ a
    assert (back.b @ back.a - exact).norm() < 0.01 * exact.norm()
    assert max(back.a.abs().max(), back.b.abs().max()) < 1e3  # neither side leaves what half precision can hold


def test_a_rank_of_zeros_stays_zero() -> None:
    a, b = factors()
    a[1], b[:, 2] = 0, 0
    back = stored_as(a, b, "int8").floats()
    delta = back.b[:, [1, 2]] @ back.a[[1, 2]]
    assert torch.equal(delta, torch.zeros_like(delta))


def test_it_takes_half_the_bytes_of_fp16() -> None:
    pack, half = (decode_pack(*encode_pack([expert(n, dtype) for n in range(3)])) for dtype in ("int8", "float16"))
    assert pack.bytes_per_expert == half.bytes_per_expert // 2 + 4 * 4  # a float32 scale for each of four ranks


def test_what_is_written_is_read_back_and_named_by_what_is_stored(tmp_path: Path) -> None:
    written = [expert(number) for number in range(3)]
    pack = read_pack(tmp_path, write_pack(tmp_path, written))
    assert [pack.expert(slot).hash for slot in range(3)] == [one.hash for one in written]
    assert len({expert(dtype=dtype).hash for dtype in ("int8", "float16", "float32")}) == 3


def test_one_bit_of_a_scale_shows_in_the_hash() -> None:
    one = expert()
    delta = one.tensors[SITE]
    assert isinstance(delta, LowRankInt8)
    changed = replace(delta, scale=torch.nextafter(delta.scale, delta.scale + 1))
    assert replace(one, tensors={SITE: changed}).hash != one.hash


def good() -> LowRankInt8:
    delta = expert().tensors[SITE]
    assert isinstance(delta, LowRankInt8)
    return delta


GOOD = good()


@pytest.mark.parametrize(
    "wrong",
    [
        replace(GOOD, a=GOOD.a.float(), b=GOOD.b.float()),
        replace(GOOD, a=torch.full_like(GOOD.a, -128)),
        replace(GOOD, scale=torch.full((4,), float("nan"))),
        replace(GOOD, scale=torch.full((4,), -1.0)),
        replace(GOOD, scale=torch.ones(3)),
        replace(GOOD, scale=torch.ones(4, dtype=torch.float64)),
    ],
    ids=["floats", "-128", "nan", "below zero", "too few scales", "scales of doubles"],
)
def test_a_pack_that_makes_no_sense_is_refused(tmp_path: Path, wrong: LowRankInt8) -> None:
    name = write_pack(tmp_path, [replace(expert(), tensors={SITE: wrong})])
    with pytest.raises(IntegrityError, match=SITE):
        read_pack(tmp_path, name)


def test_int8_experts_answer_beside_fp16_ones(base: Base, edit: Edit, lessons: list[Lesson]) -> None:
    """One bank serves packs of both kinds, as a workspace has them whose recipe changed."""
    small = quantised(edit)
    bank = Bank(base, [decode_pack(*encode_pack(small[:6])), decode_pack(*encode_pack(edit.experts[6:]))])
    with bank.serving([Route(slot, (slot,), (1.0,)) for slot in range(len(lessons))]):
        answers = base.generate([lesson.prompt for lesson in lessons])
    assert [answer.strip() for answer in answers] == [lesson.target for lesson in lessons]
