"""int8 and int4 experts: fewer bytes, nearly the same delta, and a pack of them is believed no more easily."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from editlog.errors import IntegrityError
from lifelong.editors import Edit, Lesson
from lifelong.experts.bank import Bank, Route
from lifelong.experts.expert import Expert
from lifelong.experts.kinds import LowRank, LowRankInt4, LowRankInt8, kind_of
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


def quantised(edit: Edit, dtype: str) -> list[Expert]:
    """The trained experts of the dozen facts, brought to whole numbers."""
    return [
        replace(
            one,
            kind=f"lowrank-{dtype}",
            tensors={s: stored_as(f.a, f.b, dtype) for s, f in one.tensors.items() if isinstance(f, LowRank)},
        )
        for one in edit.experts
    ]


@pytest.mark.parametrize(("dtype", "far"), [("int8", 0.01), ("int4", 0.15)])
def test_the_delta_keeps_near_to_itself(dtype: str, far: float) -> None:
    a, b = factors()
    back = stored_as(a, b, dtype).floats()
    exact = b @ a
    assert (back.b @ back.a - exact).norm() < far * exact.norm()
    assert max(back.a.abs().max(), back.b.abs().max()) < 1e3  # neither side leaves what half precision can hold


@pytest.mark.parametrize("dtype", ["int8", "int4"])
def test_a_rank_of_zeros_stays_zero(dtype: str) -> None:
    a, b = factors()
    a[1], b[:, 2] = 0, 0
    back = stored_as(a, b, dtype).floats()
    delta = back.b[:, [1, 2]] @ back.a[[1, 2]]
    assert torch.equal(delta, torch.zeros_like(delta))


def test_it_takes_half_the_bytes_of_fp16() -> None:
    pack, half = (decode_pack(*encode_pack([expert(n, dtype) for n in range(3)])) for dtype in ("int8", "float16"))
    assert pack.bytes_per_expert == half.bytes_per_expert // 2 + 4 * 4  # a float32 scale for each of four ranks


def test_in_four_bits_b_takes_half_of_what_it_took() -> None:
    pack, whole = (decode_pack(*encode_pack([expert(n, dtype) for n in range(3)])) for dtype in ("int4", "int8"))
    assert whole.bytes_per_expert - pack.bytes_per_expert == 96 * 4 // 2
    assert kind_of(stored_as(torch.ones(2, 8), torch.ones(7, 2), "int4")) == "lowrank-int8", "seven rows make no pairs"


def test_four_bits_hold_what_four_bits_can() -> None:
    b = torch.arange(-7.0, 8.0).repeat(2)[:, None] * 3
    delta = stored_as(torch.ones(1, 5), b, "int4")
    assert isinstance(delta, LowRankInt4)
    assert delta.b.dtype == torch.uint8
    torch.testing.assert_close(delta.floats().b @ delta.floats().a, b @ torch.ones(1, 5))


def test_what_is_written_is_read_back_and_named_by_what_is_stored(tmp_path: Path) -> None:
    for dtype in ("int8", "int4"):
        written = [expert(number, dtype) for number in range(3)]
        pack = read_pack(tmp_path, write_pack(tmp_path, written))
        assert [pack.expert(slot).hash for slot in range(3)] == [one.hash for one in written]
    assert len({expert(dtype=dtype).hash for dtype in ("int4", "int8", "float16", "float32")}) == 4


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


def test_a_half_byte_that_is_no_number_is_refused(tmp_path: Path) -> None:
    one = expert(dtype="int4")
    delta = one.tensors[SITE]
    assert isinstance(delta, LowRankInt4)
    wrong = replace(delta, b=torch.where(delta.b == delta.b[0, 0], 0, delta.b).to(torch.uint8))
    with pytest.raises(IntegrityError, match=SITE):
        read_pack(tmp_path, write_pack(tmp_path, [replace(one, tensors={SITE: wrong})]))


def test_experts_of_all_dtypes_answer_beside_each_other(base: Base, edit: Edit, lessons: list[Lesson]) -> None:
    """One bank serves packs of each kind, as a workspace has them whose recipe changed."""
    parts = quantised(edit, "int8")[:4], quantised(edit, "int4")[4:8], edit.experts[8:]
    bank = Bank(base, [decode_pack(*encode_pack(part)) for part in parts])
    with bank.serving([Route(slot, (slot,), (1.0,)) for slot in range(len(lessons))]):
        answers = base.generate([lesson.prompt for lesson in lessons])
    assert [answer.strip() for answer in answers] == [lesson.target for lesson in lessons]
