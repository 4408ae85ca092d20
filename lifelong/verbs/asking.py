"""Asking: answers with where they come from."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterator, Sequence
from datetime import datetime
from typing import Any

from editlog.errors import UsageError
from editlog.responses import RESPONSES, Response, append_responses
from editlog.store import utc_now
from lifelong.anchors.gate import Decision
from lifelong.experts.bank import MISS
from lifelong.layout import Layout
from lifelong.models.edited import EditedModel
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
    check_prompts(model, prompts)
    if not prompts:
        return []
    routed = model.routed(prompts, at=valid_at) if edits else None
    routes = [MISS] * len(prompts) if routed is None else [one.route for one in routed]
    texts = model.generate(prompts, routes=routes, max_new_tokens=max_new_tokens, **generate)
    each = len(texts) // len(prompts)
    decisions: Sequence[Decision | None] = [one.decision for one in routed] if routed else [None] * len(prompts)
    plain = model.generate(prompts, edits=False, max_new_tokens=max_new_tokens) if why else None
    return [
        _answer(model, prompts[i], text, decisions[i], base=None if plain is None else plain[i].strip(), as_of=as_of)
        for place, text in enumerate(texts)
        for i in [place // each]
    ]


def stream(
    model: EditedModel,
    prompt: str,
    *,
    edits: bool,
    valid_at: datetime | None,
    max_new_tokens: int,
    told: Callable[[Answer], None],
    **generate: Any,
) -> Iterator[str]:
    """The pieces of one answer; see `Workspace.stream`. `told` gets what was given of it, however it ends."""
    check_prompts(model, [prompt])
    decision, route = model.routed([prompt], at=valid_at)[0] if edits else (None, MISS)
    said: list[str] = []
    try:
        for piece in model.stream(prompt, route=route, max_new_tokens=max_new_tokens, **generate):
            shown = piece if said else piece.lstrip()  # white space before the first word is not part of an answer
            if shown:
                said.append(shown)
                yield shown
    finally:
        told(_answer(model, prompt, "".join(said), decision, base=None, as_of=None))


def check_prompts(model: EditedModel, prompts: Sequence[str]) -> None:
    """Raise UsageError for a prompt that is empty, or longer than the model reads with a token of its answer."""
    if not all(prompts):
        raise UsageError("a prompt is empty; every prompt must have at least one character")
    for prompt in prompts:
        if not model.base.fits(prompt):
            raise UsageError(
                f"a prompt has {len(model.base.prompt_ids(prompt)):,} tokens, and the model reads"
                f" {model.base.context:,} at most, its answer included; shorten it"
            )


def record(
    layout: Layout,
    answers: Sequence[Answer],
    snapshot: str,
    *,
    user: str | None,
    request_id: str | None,
    valid_at: datetime | None,
) -> None:
    """Tell the response log of answers, all under one request; returns once that is durable."""
    now, request = utc_now(), request_id or secrets.token_hex(8)
    responses = [
        Response(
            recorded_at=now,
            request_id=request,
            told_to=user,
            prompt=answer.prompt,
            answer=answer.text,
            fact=answer.fact,
            expert=answer.expert,
            similarity=answer.similarity,
            threshold=answer.threshold,
            snapshot=snapshot,
            valid_at=valid_at,
        )
        for answer in answers
    ]
    append_responses(layout.log / RESPONSES, responses)


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
        pending=served is not None and served.expert is None,
    )
