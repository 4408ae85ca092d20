"""A mixture of low-rank experts beside one module, and the router that weighs them for each token.

    y + Σ_i p_i B_i A_i x,    p = softmax over the k largest of W_a a + W_x x

where a is the knowledge anchor of the row, the embedding of its entity, joined to what the module reads at the token;
both are brought to a root mean square of one. A matrix on a joined vector is the sum of one on each part. So what an
anchor says can be decided once a row and kept as the weight of a slot, exp(W_a a), and a token gate does the rest.
"""

from __future__ import annotations

import contextlib
import math
from collections.abc import Iterator

import torch
from torch import Tensor, nn

from lifelong.experts.operators.rows import RowSlots, by_row
from lifelong.models.base import Base
from lifelong.models.sites import Site

_TINY = 1e-6


def even(x: Tensor) -> Tensor:
    """Vectors [..., width] brought to a root mean square of one."""
    return x / x.square().mean(-1, keepdim=True).sqrt().clamp_min(_TINY)


def shares(logits: Tensor, top: int) -> Tensor:
    """Softmax over the `top` largest of logits [..., experts], nothing for the others."""
    kept = logits.topk(min(top, logits.shape[-1]), -1).indices
    hidden = torch.full_like(logits, -torch.inf).scatter(-1, kept, 0.0)
    return (logits + hidden).softmax(-1)


class Mixture(nn.Module):
    """A [experts, rank, in], B [experts, out, rank], the router's W_a [experts, anchor] and W_x [experts, in].

    At first A and the router are random, by `seed`, and B is zero: no edit yet.
    """

    def __init__(self, site: Site, experts: int, rank: int, *, anchor: int, top: int, seed: int) -> None:
        super().__init__()
        generator = torch.Generator().manual_seed(seed)
        self.top = top

        def drawn(*shape: int) -> nn.Parameter:
            return nn.Parameter(torch.randn(*shape, generator=generator) / math.sqrt(shape[-1]))

        self.a = drawn(experts, rank, site.in_features)
        self.by_anchor = drawn(experts, anchor)
        self.by_token = drawn(experts, site.in_features)
        self.b = nn.Parameter(torch.zeros(experts, site.out_features, rank))

    def forward(self, x: Tensor, anchors: Tensor) -> Tensor:
        """What is added: x [rows, length, in], anchors [rows, anchor] -> [rows, length, out]."""
        logits = even(anchors)[:, None] @ self.by_anchor.T + even(x) @ self.by_token.T
        inner = torch.einsum("blk,nrk->blnr", x, self.a) * shares(logits, self.top)[..., None]
        added: Tensor = torch.einsum("blnr,nor->blo", inner, self.b)
        return added

    @contextlib.contextmanager
    def adding(self, base: Base, site: Site, anchors: Tensor) -> Iterator[None]:
        """Within this block the site adds the mixture on rows of these anchors [rows, anchor], and it alone learns."""

        def add(_: nn.Module, inputs: tuple[Tensor, ...], y: Tensor) -> Tensor:
            x = by_row(inputs[0], len(anchors)).float()
            return y + self.forward(x, anchors).to(y.dtype).view(y.shape)

        with base.frozen():
            hook = base.model.get_submodule(site.path).register_forward_hook(add)
            try:
                yield
            finally:
                hook.remove()


class AnchoredTokens:
    """The token gate: slots' changes by the router's share, where a row's weights say exp(W_a a) of each expert.

    `slots` int64 [experts] are the experts' slots, `by_token` is W_x [experts, in].
    """

    def __init__(self, slots: Tensor, by_token: Tensor, top: int) -> None:
        self._slots, self._by_token, self._top = slots, by_token, top

    def __call__(self, site: str, x: Tensor, change: Tensor, routed: RowSlots) -> Tensor:
        """Each entry's change by its share over its weight, which the operator multiplies by again."""
        experts = len(self._slots)
        rows, row = torch.unique(routed.rows, return_inverse=True)
        expert = (routed.slots[:, None] == self._slots.to(x.device)).int().argmax(1)
        logits = torch.full((len(rows), x.shape[1], experts), -torch.inf, device=x.device)
        said = (even(x.float()) * self._by_token.to(x.device)[expert][:, None]).sum(-1)
        logits[row, :, expert] = said + routed.weights.float().log()[:, None]
        share = shares(logits, self._top)[row, :, expert]
        return change * (share / routed.weights.float()[:, None]).to(change.dtype)[..., None]
