"""Asking: answers with where they come from."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import Any

from editlog.errors import UsageError
from lifelong.anchors.gate import Decision
from lifelong.experts.bank import MISS
from lifelong.model import EditedModel
from lifelong.results import Answer


def ask(
    model: EditedModel,
    prompts: Sequence[str],
    *,
    edits: bool,
    why: bool,
    as_of: int | None,
    valid_at: datetime | None,
    max_new_tokens: int,
    **generate: Any,
) -> list[Answer]:
    """Answer each prompt; see `Workspace.ask`. Where several sequences are asked for, each is an answer."""
    if not all(prompts):
        raise UsageError("a prompt is empty; every prompt must have at least one character")
    if not prompts:
        return []
    decided = model.decide(prompts, at=valid_at) if edits else None
    routes = [MISS] * len(prompts) if decided is None else model.routes_of(decided)
    texts = model.generate(prompts, routes=routes, max_new_tokens=max_new_tokens, **generate)
    each = len(texts) // len(prompts)
    decisions: Sequence[Decision | None] = decided or [None] * len(prompts)
    plain = model.generate(prompts, edits=False, max_new_tokens=max_new_tokens) if why else None
    return [
        _answer(model, prompts[i], text, decisions[i], base=None if plain is None else plain[i].strip(), as_of=as_of)
        for place, text in enumerate(texts)
        for i in [place // each]
    ]


def stream(
    model: EditedModel, prompt: str, *, edits: bool, valid_at: datetime | None, max_new_tokens: int, **generate: Any
) -> Iterator[str]:
    """The pieces of one answer; see `Workspace.stream`."""
    route = model.route([prompt], at=valid_at)[0] if edits else MISS
    begun = False
    for piece in model.stream(prompt, route=route, max_new_tokens=max_new_tokens, **generate):
        shown = piece if begun else piece.lstrip()  # white space before the first word is not part of an answer
        begun = begun or bool(shown)
        if shown:
            yield shown


def _answer(
    model: EditedModel, prompt: str, text: str, decision: Decision | None, *, base: str | None, as_of: int | None
) -> Answer:
    if decision is None:
        return Answer(prompt, text.strip(), hit=False, base=base, as_of=as_of)
    served = None if decision.fact is None else model.facts[decision.fact]
    return Answer(
        prompt=prompt,
        text=text.strip(),
        hit=served is not None,
        fact=served.ref if served else None,
        similarity=decision.score,
        threshold=decision.threshold,
        anchor=decision.anchor,
        expert=served.expert if served else None,
        job=served.job if served else None,
        author=served.fact.author if served else None,
        actor=served.actor if served else None,
        recorded_at=served.recorded_at if served else None,
        base=base,
        as_of=as_of,
    )
