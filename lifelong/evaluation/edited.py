"""What is measured: anything that routes prompts and answers them, such as `EditedModel` or an arm."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Protocol

from torch import Tensor

from editlog.fact import Fact

if TYPE_CHECKING:
    from lifelong.experts.bank import Route
    from lifelong.models.edited import TargetScore

MAX_NEW_TOKENS = 32


class Edited(Protocol):
    """An edited model; a `routes` of None lets it route by itself."""

    def lengths(self, prompts: Sequence[str]) -> list[int]:
        """How many tokens each prompt has, so that prompts of like length can share a batch."""

    def route(self, prompts: Sequence[str]) -> Sequence[Route]:
        """One route for each prompt, decided on the prompt alone."""

    def route_to(self, fact_seqs: Sequence[int]) -> Sequence[Route]:
        """The routes of the given facts, whatever the router would say."""

    def fact_of(self, fact: Fact) -> int | None:
        """The number of the fact that is served for this fact's key, None where none is."""

    def generate(
        self,
        prompts: Sequence[str],
        *,
        edits: bool = True,
        routes: Sequence[Route] | None = None,
        max_new_tokens: int = MAX_NEW_TOKENS,
    ) -> list[str]:
        """Greedy continuations without the prompt, each to its natural stop or to `max_new_tokens`."""

    def target_logits(
        self, pairs: Sequence[tuple[str, str]], *, edits: bool = True, routes: Sequence[Route] | None = None
    ) -> Sequence[TargetScore]:
        """Teacher forcing of each (prompt, target), end-of-text included."""

    def next_logits(
        self, prompts: Sequence[str], *, edits: bool = True, routes: Sequence[Route] | None = None
    ) -> Tensor:
        """Logits [prompts, vocabulary] of the token after each prompt, all prompts in one padded batch."""
