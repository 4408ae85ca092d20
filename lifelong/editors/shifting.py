"""Changed layers: what answers cost while something is added at some sites, and matrices as such a change."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import AbstractContextManager

import torch
from torch import Tensor, nn
from torch.nn.functional import kl_div, log_softmax

from lifelong.editors.activations import UpperLayers
from lifelong.editors.parallel import IGNORED, Chunk, answer_loss
from lifelong.models.base import Base

Changed = Callable[[Chunk], AbstractContextManager[None]]
"""Within what it returns, the sites put out something else on the rows of a chunk, and only the change learns."""


@contextlib.contextmanager
def shifted(base: Base, shifts: Mapping[str, Tensor]) -> Iterator[None]:
    """Within this block each module puts out S x more on every row, S [out, in] by path; only shifts learn."""
    with contextlib.ExitStack() as stack:
        stack.enter_context(base.frozen())
        for path, shift in shifts.items():

            def add(_: nn.Module, inputs: tuple[Tensor, ...], y: Tensor, shift: Tensor = shift) -> Tensor:
                return y + (inputs[0].to(shift.dtype) @ shift.T).to(y.dtype)

            stack.callback(base.model.get_submodule(path).register_forward_hook(add).remove)
        yield


def measured(
    upper: UpperLayers, chunks: Iterable[Chunk], changed: Changed, facts: int, near_miss_weight: float
) -> tuple[Tensor, Tensor]:
    """Each fact's worst loss over its rows (nats a token), and whether all their tokens came first; both [facts].

    A chunk's `expert` numbers its rows' facts. Where gradients are on, those of the facts' mean loss and, weighted, of
    the near misses' KL to the base are accumulated, chunk by chunk, so that memory does not grow with the rows.
    """
    device = upper.device
    loss = torch.zeros(facts, device=device)
    right = torch.ones(facts, dtype=torch.bool, device=device)
    for chunk in chunks:
        with changed(chunk):
            if chunk.targets is not None:
                logits = upper.forward_at(chunk.stored, chunk.targets != IGNORED).float()
            else:
                logits = upper.forward(chunk.stored, 1)[:, -1].float()
        if chunk.targets is not None:
            of_row, correct = answer_loss(logits, chunk.targets)
            loss.scatter_reduce_(0, chunk.expert, of_row.detach(), "amax")
            right[chunk.expert[~correct]] = False
            total = of_row.sum()
        else:
            assert chunk.reference is not None
            far = kl_div(log_softmax(logits, -1), chunk.reference, log_target=True, reduction="none")
            total = near_miss_weight * far.sum()
        if total.requires_grad:
            (total / facts).backward()  # type: ignore[no-untyped-call]
    return loss, right
