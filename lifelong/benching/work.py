"""The work that jobs ask of the model, counted rather than timed: it is the same on a busy machine."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from torch import nn

    from lifelong.models.base import Base


@dataclass
class Work:
    """Forward passes of the model, and the rows that went through it in them."""

    passes: int = 0
    rows: int = 0


@contextlib.contextmanager
def counting(base: Base) -> Iterator[Work]:
    """Count what this process asks of the model within the block; waves that workers train are not seen."""
    work = Work()

    def see(_: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        read = args[0] if args else kwargs.get("input_ids")
        work.passes += 1
        work.rows += len(kwargs["inputs_embeds"] if read is None else read)

    hook = base.model.register_forward_pre_hook(see, with_kwargs=True)
    try:
        yield work
    finally:
        hook.remove()
