"""Experts into one weight change a site, in closed form.

A bank gives each prompt its own delta; a weight matrix has one for all. The change that comes nearest is the ridge
regression of what the experts add on what their sites read: over the positions that predict the facts' answers it
should give each expert's own delta, over those of near misses nothing. With more positions than a site is wide it
cannot give both, and what is lost is for the audit to say (`lifelong.export.merged`).

RegMean: Jin et al., 2022 (arXiv 2212.09849); the same system as MEMIT's: Meng et al., 2022 (arXiv 2210.07229).
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from lifelong.experts.bank import MISS, Bank, Route
from lifelong.models.base import GENERATION_BATCH, Base, batches_by_length
from lifelong.models.sites import linear_widths

RIDGE = 1e-3


@dataclass(frozen=True)
class MergeRow:
    """A text the merged weights are fitted to: `answer` (empty: nothing may change) is what `route` makes it say."""

    prompt: tuple[int, ...]
    answer: tuple[int, ...]
    route: Route


@dataclass
class _System:
    """The normal equations of one site: `gram` [in, in] and `cross` [out, in], float32."""

    gram: Tensor | None = None
    cross: Tensor | None = None

    def add(self, x: Tensor, change: Tensor) -> None:
        """Add positions: x [n, in] and what is added to the site's output there [n, out]."""
        gram, cross = x.T @ x, change.T @ x
        self.gram = gram if self.gram is None else self.gram + gram
        self.cross = cross if self.cross is None else self.cross + cross

    def solution(self) -> Tensor:
        """The change of the weight, [out, in]."""
        assert self.gram is not None
        assert self.cross is not None
        strength = RIDGE * self.gram.diagonal().mean()
        regular = self.gram + strength * torch.eye(len(self.gram), device=self.gram.device)
        solved: Tensor = torch.linalg.solve(regular, self.cross.T)
        return solved.T


@torch.no_grad()
def weight_changes(base: Base, bank: Bank, rows: Sequence[MergeRow], *, answers_only: bool) -> dict[str, Tensor]:
    """The change of each site's weight, [out, in] float32, by module path.

    `answers_only` fits the positions that predict answers, which is all that experts of a last layer can reach;
    otherwise every position of a row counts.
    """
    systems = {path: _System() for path in bank.sites}
    for index in batches_by_length([len(row.prompt) + len(row.answer) for row in rows], GENERATION_BATCH):
        batch = base.pad_left([(*rows[i].prompt, *rows[i].answer[:-1]) for i in index])
        counted = batch.attention_mask.bool()
        if answers_only:
            tail = torch.tensor([max(1, len(rows[i].answer)) for i in index], device=counted.device)
            counted &= torch.arange(counted.shape[1], 0, -1, device=counted.device) <= tail[:, None]
        with _watching(base, bank, [rows[i].route for i in index]) as seen:
            base.forward(batch, keep=1)
        for path, (x, change) in seen.items():
            systems[path].add(x[counted].float(), change[counted].float())
    return {path: system.solution() for path, system in systems.items()}


@torch.no_grad()
def standing_changes(base: Base, bank: Bank, route: Route) -> dict[str, Tensor]:
    """What linear experts that always act add to each site's weight, [out, in], by module path: nothing is fitted."""
    changes = {}
    for path in bank.sites:
        module = base.model.get_submodule(path)
        widths = linear_widths(module)
        assert widths is not None, "a bank takes no other site"
        x = torch.eye(widths[0], device=base.device, dtype=base.model.dtype)[None]
        untouched = module(x)
        with bank.serving([route]):
            changes[path] = (module(x) - untouched)[0].T
    return changes


@contextlib.contextmanager
def _watching(base: Base, bank: Bank, routes: Sequence[Route]) -> Iterator[dict[str, tuple[Tensor, Tensor]]]:
    """Within this block one pass leaves what each site read, and what its experts added: [rows, length, width] both."""
    before: dict[str, Tensor] = {}
    seen: dict[str, tuple[Tensor, Tensor]] = {}

    def see_before(path: str, output: Tensor) -> None:
        before[path] = output

    def see_after(path: str, x: Tensor, output: Tensor) -> None:
        by_row = (len(routes), -1)  # OPT multiplies all positions of a batch as one long list
        change = output - before[path]
        seen[path] = x.reshape(*by_row, x.shape[-1]), change.reshape(*by_row, change.shape[-1])

    with contextlib.ExitStack() as hooks:
        for path in bank.sites:
            module: nn.Module = base.model.get_submodule(path)
            hook = module.register_forward_hook(lambda _, __, y, path=path: see_before(path, y))
            hooks.callback(hook.remove)
        with bank.serving(routes):  # its hooks run behind those above and before those below
            for path in bank.sites:
                module = base.model.get_submodule(path)
                hook = module.register_forward_hook(lambda _, inputs, y, path=path: see_after(path, inputs[0], y))
                hooks.callback(hook.remove)
            yield seen


def add_to_weights(base: Base, changes: dict[str, Tensor]) -> None:
    """Add the changes to a model's weights; the model is one of its own, never the workspace's base."""
    for path, change in changes.items():
        weight = base.model.get_submodule(path).weight
        transposed = type(base.model.get_submodule(path)).__name__ == "Conv1D"
        assert isinstance(weight, Tensor)
        with torch.no_grad():
            weight += (change.T if transposed else change).to(weight.device, weight.dtype)


def untouched(base: Base, prompts: Sequence[str]) -> list[MergeRow]:
    """Rows on which nothing may change."""
    return [MergeRow(tuple(base.prompt_ids(prompt)), (), MISS) for prompt in prompts]
