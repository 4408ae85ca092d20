"""Operators: how a kind of expert acts on the output of a site. One per kind, never per recipe.

A note acts on no site: it is read before the prompt (`EditedModel`), so it has no operator.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from torch import Tensor

from lifelong.experts.kinds import Delta
from lifelong.experts.operators.dense import change_dense, stack_dense
from lifelong.experts.operators.lowrank import change_int8, change_lowrank, stack_int8, stack_lowrank
from lifelong.experts.operators.rows import RowSlots, TokenGate, add_to_rows
from lifelong.experts.operators.value import change_value, stack_value


@dataclass(frozen=True)
class Operator:
    """`stack(parts, dtype=, device=)` joins the stacks of packs; `change(x, y, stack, routed)` is what each routed
    entry adds to the site's output y, x being what the site reads, both [entries, length, width]."""

    stack: Callable[..., Any]
    change: Callable[[Tensor, Tensor, Any, RowSlots], Tensor]

    def apply(
        self, x: Tensor, y: Tensor, *, stack: Delta, routed: RowSlots, site: str, gate: TokenGate | None = None
    ) -> Tensor:
        """The site's output with the routed rows edited: x [rows, length, in], y and result [rows, length, out]."""
        read = x[routed.rows]
        change = self.change(read, y[routed.rows], stack, routed)
        return add_to_rows(y, gate(site, read, change, routed) if gate else change, routed)


OPERATORS: dict[str, Operator] = {
    "lowrank": Operator(stack_lowrank, change_lowrank),
    "lowrank-int8": Operator(stack_int8, change_int8),
    "lowrank-int4": Operator(stack_int8, change_int8),
    "dense": Operator(stack_dense, change_dense),
    "value": Operator(stack_value, change_value),
}
