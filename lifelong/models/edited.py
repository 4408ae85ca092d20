"""The edited model: each prompt is routed once, then answered by the base with that row's expert, or without.

`EditedModel` is what `ask`, the audit and the harness all go through; no text of a target takes part in it,
only weights.
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator, Mapping, Sequence
from copy import copy
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from editlog.fact import Fact
from lifelong.anchors.gate import Decision, Gate
from lifelong.editors import Editor
from lifelong.editors.routers import GateRouter, Routed, Router, Scene
from lifelong.editors.state import STATES, State, read_state
from lifelong.experts.bank import MISS, Bank, Route
from lifelong.experts.pack import Pack, read_pack
from lifelong.models.base import GENERATION_BATCH, Base, batches_by_length
from lifelong.snapshots.serving import Served
from lifelong.snapshots.snapshot import Snapshot

_CHANGE_NO_GREEDY_TOKEN = {
    *("transformers_version", "_from_model_config", "use_cache", "cache_implementation"),
    *("do_sample", "temperature", "top_k", "top_p", "min_p", "typical_p", "max_length", "max_new_tokens"),
    *("bos_token_id", "eos_token_id", "pad_token_id", "output_attentions", "output_hidden_states"),
}
"""The settings of transformers' decoding under which the next token is simply the likeliest one."""


@dataclass(frozen=True)
class TargetScore:
    """Teacher forcing on one (prompt, target): how many of the target's tokens, end-of-text included, came first.

    `leading` are those before the first that did not.
    """

    matched: int
    leading: int
    total: int
    predicted: tuple[int, ...]


class EditedModel:
    """Base, bank and gate of one snapshot, with the router and the token gate of the editor that made its experts."""

    def __init__(
        self,
        base: Base,
        bank: Bank,
        gate: Gate,
        facts: Sequence[Served],
        *,
        editor: Editor | None = None,
        state: State | None = None,
    ) -> None:
        """Without an `editor` prompts are routed by the gate; `state` is the editor's, as of the snapshot."""
        self.base = base
        self.bank = bank
        self.gate = gate
        self.facts = {served.seq: served for served in facts}
        self._by_key = {served.fact.key: served.seq for served in facts if served.expert}
        scene = Scene(base, bank, gate, self.facts, state)
        self.router: Router = editor.router(scene) if editor else GateRouter(scene)
        self._token_gate = editor.token_gate(scene) if editor else None

    @classmethod
    def of(
        cls,
        base: Base,
        snapshot: Snapshot,
        experts: Path,
        *,
        editor: Editor | None = None,
        known: Mapping[str, Pack] | None = None,
    ) -> EditedModel:
        """The model of an opened snapshot, its packs and the editor's state read from the folder `experts`, checked.

        `known` are packs that were read and checked already, by name: a pack never changes.
        """
        opened = known or {}
        packs = [opened[name] if name in opened else read_pack(experts, name) for name in snapshot.manifest.packs]
        gate, kept = Gate.load(snapshot.directory), snapshot.manifest.state
        state = read_state(experts / STATES, kept) if kept else None
        return cls(base, Bank(base, packs), gate, snapshot.facts, editor=editor, state=state)

    def through(self, router: Router, more: Sequence[Served]) -> EditedModel:
        """The same model behind another router, which knows `more` facts; base and bank are shared."""
        other = copy(self)
        other.router = router
        other.facts = {**self.facts, **{served.seq: served for served in more}}
        return other

    def decide(self, prompts: Sequence[str], *, at: datetime | None = None) -> list[Decision]:
        """What the router says of each prompt, on the prompt alone; `at` is the time in the world (None: now)."""
        return [routed.decision for routed in self.routed(prompts, at=at)]

    def routed(self, prompts: Sequence[str], *, at: datetime | None = None) -> list[Routed]:
        """The same with the route that each decision means."""
        return self.router.route(prompts, at=at)

    def route(self, prompts: Sequence[str], *, at: datetime | None = None) -> list[Route]:
        """One route for each prompt, to be kept for its whole decode."""
        return [routed.route for routed in self.routed(prompts, at=at)]

    def route_each(self, prompts: Sequence[str], moments: Sequence[datetime]) -> list[Route]:
        """One route for each prompt, each at a time in the world of its own."""
        routes: dict[int, Route] = {}
        for moment in dict.fromkeys(moments):
            places = [place for place, other in enumerate(moments) if other == moment]
            routes.update(zip(places, self.route([prompts[place] for place in places], at=moment), strict=True))
        return [routes[place] for place in range(len(prompts))]

    @property
    def weighs_tokens(self) -> bool:
        """Whether an expert acts more on some tokens of a routed row than on others."""
        return self._token_gate is not None

    def route_to(self, fact_seqs: Sequence[int]) -> list[Route]:
        """The routes of the given facts whatever the router would say: the oracle."""
        return [self.router.route_to(seq) for seq in fact_seqs]

    def fact_of(self, fact: Fact) -> int | None:
        """The number of the live fact of this fact's key, None where none is served."""
        return self._by_key.get(fact.key)

    def generate(
        self,
        prompts: Sequence[str],
        *,
        edits: bool = True,
        routes: Sequence[Route] | None = None,
        max_new_tokens: int = 32,
        at: datetime | None = None,
        **options: Any,
    ) -> list[str]:
        """Continue each prompt to its natural stop; greedy unless `options` (for transformers) say otherwise.

        Hits and misses of any experts may stand in one batch. Returns the new text of each prompt, or of each
        of its `num_return_sequences` in turn.
        """
        if routes is None:
            routes = self.route(prompts, at=at) if edits else [MISS] * len(prompts)
        answers: list[list[str]] = [[] for _ in prompts]
        asked = _asked(prompts, routes)
        lengths = [len(self.base.prompt_ids(text)) for text in asked]
        for index in batches_by_length(lengths, GENERATION_BATCH):
            with self._serving([routes[i] for i in index]):
                texts = self.base.generate([asked[i] for i in index], max_new_tokens=max_new_tokens, **options)
            each = len(texts) // len(index)
            for place, i in enumerate(index):
                answers[i] = texts[place * each : (place + 1) * each]
        return [text for texts in answers for text in texts]

    def stream(self, prompt: str, *, route: Route, max_new_tokens: int = 32, **options: Any) -> Iterator[str]:
        """The pieces of one answer as they are generated."""
        from transformers import TextIteratorStreamer

        pieces = TextIteratorStreamer(self.base.tokenizer, skip_prompt=True, skip_special_tokens=True)
        failure: list[BaseException] = []

        def produce() -> None:
            try:
                with self._serving([route]):
                    asked = _asked([prompt], [route])
                    self.base.generate(asked, max_new_tokens=max_new_tokens, streamer=pieces, **options)
            except BaseException as error:  # noqa: BLE001 - handed to the reader's thread below
                failure.append(error)
                pieces.end()

        thread = threading.Thread(target=produce, daemon=True)
        thread.start()
        yield from pieces
        thread.join()
        if failure:
            raise failure[0]

    def lengths(self, prompts: Sequence[str]) -> list[int]:
        """How many tokens each prompt has: what `generate` sorts its batches by."""
        return [len(self.base.prompt_ids(prompt)) for prompt in prompts]

    @torch.no_grad()
    def target_logits(
        self, pairs: Sequence[tuple[str, str]], *, edits: bool = True, routes: Sequence[Route] | None = None
    ) -> list[TargetScore]:
        """Teacher forcing: for each (prompt, target) how many target tokens, end-of-text included, come first."""
        if routes is None:
            routes = self.route([prompt for prompt, _ in pairs]) if edits else [MISS] * len(pairs)
        asked = _asked([prompt for prompt, _ in pairs], routes)
        heads = [self.base.prompt_ids(prompt) for prompt in asked]
        answers = [self.base.answer_ids(prompt, target) for prompt, (_, target) in zip(asked, pairs, strict=True)]
        scores: dict[int, TargetScore] = {}
        for index in batches_by_length(
            [len(h) + len(a) for h, a in zip(heads, answers, strict=True)], GENERATION_BATCH
        ):
            batch = self.base.pad_left([(*heads[i], *answers[i][:-1]) for i in index])
            keep = max(len(answers[i]) for i in index)
            with self._serving([routes[i] for i in index], after=[len(answers[i]) - 1 for i in index]):
                likeliest = self.base.forward(batch, keep=keep).argmax(-1).tolist()
            for row, i in zip(likeliest, index, strict=True):
                predicted = tuple(row[len(row) - len(answers[i]) :])
                came_first = [p == a for p, a in zip(predicted, answers[i], strict=True)]
                leading = [*came_first, False].index(False)
                scores[i] = TargetScore(sum(came_first), leading, len(answers[i]), predicted)
        return [scores[i] for i in range(len(pairs))]

    def said(self, pairs: Sequence[tuple[str, str]], *, routes: Sequence[Route], within: int) -> list[str | None]:
        """The greedy answer to each (prompt, target) where it is the target, of at most `within` tokens; else None.

        Greedy decoding says the target where each of its tokens, end-of-text included, comes first behind those before
        it: one forward pass shows it. None, too, for a model whose own settings change what is decoded, and where
        tokens are weighed.
        """
        settings = getattr(self.base.model, "generation_config", None)
        if self.weighs_tokens or settings is None or not settings.to_diff_dict().keys() <= _CHANGE_NO_GREEDY_TOKEN:
            return [None] * len(pairs)
        decode = partial(self.base.tokenizer.decode, skip_special_tokens=True, clean_up_tokenization_spaces=False)
        scores = self.target_logits(pairs, routes=routes)
        return [str(decode(one.predicted[:-1])) if one.matched == one.total <= within else None for one in scores]

    @torch.no_grad()
    def next_logits(
        self, prompts: Sequence[str], *, edits: bool = True, routes: Sequence[Route] | None = None
    ) -> Tensor:
        """Logits of the token after each prompt, [prompts, vocabulary], all prompts in one padded batch.

        Those behind a note are read in a batch of their own: a longer padding would move the others' last bits.
        """
        if routes is None or not edits:
            routes = self.route(prompts) if edits else [MISS] * len(prompts)
        logits = self._next(prompts, routes)
        noted = [i for i, route in enumerate(routes) if route.note]
        if noted:
            asked = _asked([prompts[i] for i in noted], [routes[i] for i in noted])
            logits[noted] = self._next(asked, [routes[i] for i in noted])
        return logits

    def _next(self, asked: Sequence[str], routes: Sequence[Route]) -> Tensor:
        batch = self.base.pad_left([self.base.prompt_ids(text) for text in asked])
        with self._serving(routes):
            return self.base.forward(batch, keep=1)[:, -1]

    def _serving(
        self, routes: Sequence[Route], *, after: Sequence[int] | None = None
    ) -> contextlib.AbstractContextManager[None]:
        return self.bank.serving(routes, after=after, gate=self._token_gate)


def _asked(prompts: Sequence[str], routes: Sequence[Route]) -> list[str]:
    """What the base reads: each prompt behind the note of its route, where it has one."""
    return [route.note + prompt for prompt, route in zip(prompts, routes, strict=True)]
