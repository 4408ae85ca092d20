"""Measure an edited model on a stream of records and their probes.

Each prompt is routed once, by the router under test, and that route is kept for teacher forcing and for
decoding. Decoding is greedy and runs to its natural stop. Nothing is estimated or taken for granted: misses
too are generated and compared. One shortcut: where the router chose the right fact, the oracle's answer is
that very answer and is not computed twice.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import islice
from typing import TYPE_CHECKING, NamedTuple, TypedDict, TypeVar

from editlog.fact import Fact
from lifelong.evaluation.edited import MAX_NEW_TOKENS, Edited
from lifelong.evaluation.metrics import Exact, Metrics, is_exact, peak_mb
from lifelong.evaluation.predictions import Measure, Prediction, figures, nested
from lifelong.evaluation.probe_rules import KINDS
from lifelong.evaluation.probes import NO_TRUTHS, ProbeItem, ProbeSet, collect
from lifelong.evaluation.reference import Reference, SameProcess, digests
from lifelong.models.base import GENERATION_BATCH, batches_by_length

if TYPE_CHECKING:
    from lifelong.experts.bank import Route
    from lifelong.jobs.progress import Progress

_SPARE_TOKENS = 4  # behind the longest target, so that an answer which goes on shows that it does

R = TypeVar("R")


class Answer(NamedTuple):
    """A generated answer, whether it is right, and the share of expected tokens that teacher forcing put first."""

    text: str
    token: float
    exact: bool


class Found(NamedTuple):
    """A measurement: its figures, and every single prediction behind them."""

    metrics: Metrics
    predictions: list[Prediction]


class _How(TypedDict, total=False):
    edits: bool
    routes: Sequence[Route]


def evaluate(
    edited: Edited,
    records: Iterable[Fact],
    *,
    limit: int | None = None,
    others: Iterable[Fact] = (),
    reference: Reference | None = None,
    recipe: str | None = None,
    model: str | None = None,
    bytes_per_edit: float | None = None,
    truths: Mapping[str, Collection[str]] = NO_TRUTHS,
    progress: Progress | None = None,
) -> Metrics:
    """Score the first `limit` records (None: all) and their probes.

    A record that is not served (failed, held, never run) is scored like any other, as the base answers it.
    `others` are edits that are served beside the records: not scored, but a probe that one of them governs is
    counted apart. `reference` is the untouched base (None: the edited model without its edits).
    `truths` are what was true before edits, by the digests of their facts.
    What cannot be measured from here (`recipe`, `model`, `bytes_per_edit`) is passed in; retention needs answers
    from before the edits and is None. `progress` is told of each stage and each row.
    """
    probes = collect(islice(records, limit), others, truths=truths)
    found = measure(edited, probes, reference=reference, progress=progress)
    return replace(found.metrics, recipe=recipe, model=model, bytes_per_edit=bytes_per_edit)


def measure(
    edited: Edited,
    probes: ProbeSet,
    *,
    reference: Reference | None = None,
    progress: Progress | None = None,
) -> Found:
    """Ask every scored fact and every probe that counts."""
    run = Run(edited, progress)
    served = [edited.fact_of(fact) for fact in probes.facts]
    asked = [ProbeItem(index, fact.prompt, fact.target) for index, fact in enumerate(probes.facts)]
    predictions = [
        *run.in_scope("reliability", asked, served),
        *run.in_scope("generality", probes.generality, served),
        *run.portability([item for item in probes.portability if item.answer is not None], served),
        *run.locality(probes, reference or SameProcess(edited)),
    ]
    if progress:
        progress.done()
    metrics = Metrics(
        edits=probes.records,
        retention=Exact(),
        governed_probes=probes.governed.total(),
        peak_mb=peak_mb(),
        counts=counts(probes, served),
        **nested(figures(predictions)),
    )
    return Found(metrics, predictions)


def counts(probes: ProbeSet, served: Sequence[int | None]) -> dict[str, int]:
    """How many rows stand behind each figure, and what stands behind none."""
    unanswered = sum(item.answer is None for item in probes.portability)
    return {
        "records": probes.records,
        "superseded": probes.superseded,
        "facts": len(probes.facts),
        "edited": sum(seq is not None for seq in served),
        "missing": sum(seq is None for seq in served),
        "generality": len(probes.generality),
        **{f"locality_{kind}": len(items) for kind, items in probes.locality.items()},
        "portability": len(probes.portability) - unanswered,
        "portability_without_answer": unanswered,
        **{f"governed_{measures}": probes.governed[measures] for measures in ("generality", "locality", "portability")},
        "dropped_own_wording": probes.dropped.total(),
    }


class Run:
    """One measurement under way."""

    def __init__(self, edited: Edited, progress: Progress | None = None) -> None:
        self._edited = edited
        self._progress = progress

    def in_scope(self, measure: Measure, items: Sequence[ProbeItem], served: Sequence[int | None]) -> list[Prediction]:
        """Each item through the router, and with the right expert given; `served`: each fact's number in the log."""
        routes = self._routes(items)
        own = [served[item.fact] for item in items]
        routed = self.answers(measure, items, routes)
        oracle = list(routed)
        wrong = [i for i, route in enumerate(routes) if route.fact != own[i]]
        given = {i: seq for i in wrong if (seq := own[i]) is not None}
        without = [i for i in wrong if own[i] is None]
        for chosen, right in ((list(given), self._edited.route_to(list(given.values()))), (without, None)):
            answers = self.answers(f"{measure}, oracle", [items[i] for i in chosen], right)
            for i, answer in zip(chosen, answers, strict=True):
                oracle[i] = answer
        return [
            Prediction(
                measure,
                item.fact,
                item.prompt,
                answer.text,
                expected=item.answer,
                token=answer.token,
                exact=answer.exact,
                sent=route.fact,
                own=seq,
                oracle_answer=best.text,
                oracle_token=best.token,
                oracle_exact=best.exact,
            )
            for item, route, seq, answer, best in zip(items, routes, own, routed, oracle, strict=True)
        ]

    def portability(self, items: Sequence[ProbeItem], served: Sequence[int | None]) -> list[Prediction]:
        """Each consequence whose answer is known, through the router."""
        routes = self._routes(items)
        return [
            Prediction(
                "portability",
                item.fact,
                item.prompt,
                answer.text,
                expected=item.answer,
                token=answer.token,
                exact=answer.exact,
                sent=route.fact,
                own=served[item.fact],
            )
            for item, route, answer in zip(items, routes, self.answers("portability", items, routes), strict=True)
        ]

    def locality(self, probes: ProbeSet, reference: Reference) -> list[Prediction]:
        """Each prompt out of scope, with the edits against the untouched base, in the same batches."""
        kinds = [kind for kind in KINDS for _ in probes.locality[kind]]
        items = [item for kind in KINDS for item in probes.locality[kind]]
        compared = self.compared("locality", [item.prompt for item in items], reference)
        return [
            replace(found, fact=item.fact, kind=kind) for item, kind, found in zip(items, kinds, compared, strict=True)
        ]

    def compared(self, stage: str, prompts: Sequence[str], reference: Reference) -> list[Prediction]:
        """Prompts out of the scope of every fact, with the edits against the untouched base, in the same batches."""
        routes = self._edited.route(prompts) if prompts else []
        batches = list(self._batches(prompts))
        plain = reference.answers([[prompts[i] for i in index] for index in batches])
        found: dict[int, Prediction] = {}
        for index, bare in self._told(stage, len(prompts), batches, plain):
            asked, how = [prompts[i] for i in index], [routes[i] for i in index]
            texts = self._edited.generate(asked, routes=how, max_new_tokens=MAX_NEW_TOKENS)
            logits = digests(self._edited.next_logits(asked, routes=how))
            for place, i in enumerate(index):
                found[i] = Prediction(
                    "locality",
                    -1,
                    prompts[i],
                    texts[place],
                    sent=routes[i].fact,
                    base_answer=bare[place].text,
                    agrees=texts[place] == bare[place].text,
                    bit_identical=logits[place] == bare[place].logits,
                )
        return [found[i] for i in range(len(prompts))]

    def answers(self, stage: str, items: Sequence[ProbeItem], routes: Sequence[Route] | None) -> list[Answer]:
        """Teacher forcing and decoding along the given routes; None: by the base alone."""
        batches = list(self._batches([item.prompt for item in items]))
        found: dict[int, Answer] = {}
        for index, _ in self._told(stage, len(items), batches, batches):
            pairs = [(items[i].prompt, items[i].answer or "") for i in index]
            how: _How = {"edits": False} if routes is None else {"routes": [routes[i] for i in index]}
            forced = self._edited.target_logits(pairs, **how)
            room = max(one.total for one in forced) + _SPARE_TOKENS
            texts = self._edited.generate([prompt for prompt, _ in pairs], max_new_tokens=room, **how)
            for i, one, text, (_, target) in zip(index, forced, texts, pairs, strict=True):
                found[i] = Answer(text, one.matched / one.total, is_exact(text, target))
        return [found[i] for i in range(len(items))]

    def _routes(self, items: Sequence[ProbeItem]) -> Sequence[Route]:
        return self._edited.route([item.prompt for item in items]) if items else []

    def _batches(self, prompts: Sequence[str]) -> Iterator[list[int]]:
        """Indices in batches of like length, in the very order in which the edited model would take them."""
        return batches_by_length(self._edited.lengths(prompts) if prompts else [], GENERATION_BATCH)

    def _told(
        self, stage: str, total: int, batches: Sequence[list[int]], each: Iterable[R]
    ) -> Iterator[tuple[list[int], R]]:
        """The batches beside `each`, progress being told as they are done."""
        if total and self._progress:
            self._progress.stage(stage, total)
        for index, one in zip(batches, each, strict=True):
            yield index, one
            if self._progress:
                self._progress.advance(len(index))
