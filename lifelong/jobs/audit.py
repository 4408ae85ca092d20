"""The audit: what a candidate answers, measured through the real router before anything is published.

Every answer is generated greedily to its natural stop. Answers are kept by prompt and experts, so measuring
again without some facts costs a routing and little more.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from editlog.canonical import fold
from editlog.fact import Fact
from lifelong.evaluation.metrics import is_exact
from lifelong.experts.bank import MISS, Route
from lifelong.models.edited import EditedModel
from lifelong.snapshots.serving import Served, governing_moments
from policies.audit import Score


@dataclass(frozen=True)
class Failure:
    """Why a wording failed. Only `code` and `words` go into the log: what quotes a fact could never be erased."""

    code: str
    words: str
    wording: str
    answer: str


@dataclass(frozen=True)
class FactCheck:
    """What was seen of one new fact: how its prompt and learned rephrases were answered, and the first failure."""

    seq: int
    prompt_right: bool
    wordings_right: int
    wordings: int
    routed: bool
    failure: Failure | None


@dataclass(frozen=True)
class AuditReport:
    """One measurement: each new fact, near misses against the base, older edits against their targets.

    `suspects` counts, for each new fact, the near misses and older prompts it was seen to spoil. `taken` names, for
    each new fact that takes over a wording of an older one of another key and answers it otherwise, that older fact.
    """

    checks: dict[int, FactCheck]
    locality: Score
    retention: Score
    suspects: dict[int, int]
    taken: dict[int, int]

    @property
    def reliability(self) -> Score:
        """Prompts of new facts answered with their target."""
        return Score(sum(check.prompt_right for check in self.checks.values()), len(self.checks))

    @property
    def learned_rephrases(self) -> Score:
        """Learned wordings other than the prompt answered with the target."""
        good = sum(check.wordings_right - check.prompt_right for check in self.checks.values())
        return Score(good, sum(check.wordings - 1 for check in self.checks.values()))

    @property
    def routed(self) -> Score:
        """Prompts of new facts that the gate sends to their own fact."""
        return Score(sum(check.routed for check in self.checks.values()), len(self.checks))


class Answers:
    """Generated answers by prompt and the experts that act on it, so that nothing is generated twice."""

    def __init__(self, max_new_tokens: int, advance: Callable[[int], None] | None = None) -> None:
        self._max_new_tokens = max_new_tokens
        self._advance = advance
        self._known: dict[tuple[str, str, tuple[tuple[str, float], ...]], str] = {}

    def of(
        self, model: EditedModel, prompts: Sequence[str], routes: Sequence[Route], targets: Sequence[str] | None = None
    ) -> list[str]:
        """The greedy answer to each prompt under its route.

        Where it is one of the `targets` (one for each prompt), a single forward pass shows it; the rest is generated.
        """
        hoped: Sequence[str | None] = targets or [None] * len(prompts)
        asked = list(zip(prompts, routes, hoped, strict=True))
        keys = [(prompt, route.note, tuple(model.bank.acting(route))) for prompt, route, _ in asked]
        new = {key: one for key, one in zip(keys, asked, strict=True) if key not in self._known}
        pairs = {key: (prompt, target) for key, (prompt, _, target) in new.items() if target is not None}
        said = model.said(list(pairs.values()), routes=[new[key][1] for key in pairs], within=self._max_new_tokens)
        self._known.update((key, text) for key, text in zip(pairs, said, strict=True) if text is not None)
        left = {key: one for key, one in new.items() if key not in self._known}
        texts = model.generate(
            [prompt for prompt, _, _ in left.values()],
            routes=[route for _, route, _ in left.values()],
            max_new_tokens=self._max_new_tokens,
        )
        self._known.update(zip(left, texts, strict=True))
        if self._advance:
            self._advance(len(prompts))
        return [self._known[key] for key in keys]


@dataclass(frozen=True)
class _Question:
    """A prompt put to the candidate for a fact's sake, at a moment at which that fact governs its key."""

    prompt: str
    served: Served
    moment: datetime


_Seen = tuple[_Question, Route, str]


def questions(facts: Iterable[Fact]) -> int:
    """How many answers an audit of new facts asks for: each wording, and each near miss with and without them."""
    return sum(len(fact.wordings) + 2 * len(fact.near_misses) for fact in facts)


def audit(model: EditedModel, answers: Answers, *, new: Sequence[Served], older: Sequence[Served]) -> AuditReport:
    """Measure a candidate: the `new` facts and their near misses, and the `older` ones that were drawn.

    Beside those drawn, every older fact is asked the wordings that a new one shares with it and may not take: its own
    wording is nearest to itself, so it can lose its place nowhere else. A fact is asked at a moment at which it
    governs, so that one which holds only later, or held only earlier, is measured too; an older fact that never shows
    any more is not.
    """
    now = datetime.now(UTC)
    moments = governing_moments(model.facts.values(), now)
    wordings = [_Question(w, fact, moments.get(fact.seq, now)) for fact in new for w in fact.fact.wordings]
    near = [_Question(n.prompt, fact, moments.get(fact.seq, now)) for fact in new for n in fact.fact.near_misses]
    prompts = [_Question(fact.fact.prompt, fact, moments[fact.seq]) for fact in older if fact.seq in moments]
    shared = [
        _Question(wording, fact, moments[fact.seq])
        for fact, wording in _protected_wordings(model.facts.values(), new)
        if fact.seq in moments
    ]
    suspects: dict[int, int] = defaultdict(int)
    return AuditReport(
        checks=_check_wordings(_see(model, answers, wordings)),
        locality=_check_near_misses(model, answers, near, suspects),
        retention=_check_older(_see(model, answers, prompts), suspects),
        suspects=suspects,
        taken=_takers(_see(model, answers, shared), new),
    )


def _protected_wordings(live: Iterable[Served], new: Sequence[Served]) -> Iterator[tuple[Served, str]]:
    """The wordings of older live facts that no new fact may take: its prompt by any, a rephrase by another's rephrase.

    A new prompt that is worded as a rephrase corrects just that wording, so there the later fact governs.
    """
    prompts = {fold(served.fact.prompt) for served in new}
    rephrases = {fold(wording) for served in new for wording in served.fact.rephrases}
    numbers = {served.seq for served in new}
    for served in live:
        if served.expert and served.seq not in numbers:
            if fold(served.fact.prompt) in prompts | rephrases:
                yield served, served.fact.prompt
            yield from ((served, wording) for wording in served.fact.rephrases if fold(wording) in rephrases)


def _takers(seen: Sequence[_Seen], new: Sequence[Served]) -> dict[int, int]:
    """New facts that spoil a wording of an older one, by that one's number; also those that hide behind another.

    Where one of them answers it, the others that have it would once that one is gone.
    """
    having: dict[str, list[Served]] = defaultdict(list)
    for served in new:
        for wording in served.fact.wordings:
            having[fold(wording)].append(served)
    taken: dict[int, int] = {}
    numbers = {served.seq for served in new}
    for question, route, text in seen:
        if route.fact in numbers and not is_exact(text, question.served.fact.target):
            others = [s.seq for s in having[fold(question.prompt)] if s.fact.target != question.served.fact.target]
            taken.update(dict.fromkeys([route.fact, *others], question.served.seq))
    return taken


def _see(model: EditedModel, answers: Answers, questions: Sequence[_Question], *, hit: bool = True) -> list[_Seen]:
    """Each question with the route it takes at its moment and the answer it gets: mostly the target, if it is a hit."""
    prompts = [question.prompt for question in questions]
    routes = model.route_each(prompts, [question.moment for question in questions])
    targets = [question.served.fact.target for question in questions] if hit else None
    return list(zip(questions, routes, answers.of(model, prompts, routes, targets), strict=True))


def _check_wordings(seen: Sequence[_Seen]) -> dict[int, FactCheck]:
    by_fact: dict[int, list[_Seen]] = defaultdict(list)
    for one in seen:
        by_fact[one[0].served.seq].append(one)
    return {seq: _check(of_fact) for seq, of_fact in by_fact.items()}


def _check(seen: Sequence[_Seen]) -> FactCheck:
    """One fact's check from what was seen of its wordings, the prompt first."""
    right = [is_exact(text, question.served.fact.target) for question, _, text in seen]
    failures = (_failure(*one) for one, good in zip(seen, right, strict=True) if not good)
    prompt, route, _ = seen[0]
    return FactCheck(
        seq=prompt.served.seq,
        prompt_right=right[0],
        wordings_right=sum(right),
        wordings=len(right),
        routed=route.fact == prompt.served.seq or (route.fact is None and bool(route.slots)),
        failure=next(failures, None),
    )


def _failure(question: _Question, route: Route, text: str) -> Failure:
    if not route.slots:
        return Failure("not-routed", "the gate sends it to no fact", question.prompt, text)
    if route.fact not in (None, question.served.seq):
        return Failure("routed-elsewhere", f"the gate sends it to f{route.fact}", question.prompt, text)
    return Failure("not-answered", "its expert answers it otherwise", question.prompt, text)


def _check_near_misses(
    model: EditedModel, answers: Answers, near: Sequence[_Question], suspects: dict[int, int]
) -> Score:
    """Near misses answered as the base does; one that is itself a wording of a live fact is none any more."""
    live = [served for served in model.facts.values() if served.expert]
    governed = {fold(wording) for served in live for wording in served.fact.wordings}
    asked = [question for question in near if fold(question.prompt) not in governed]
    plain = answers.of(model, [question.prompt for question in asked], [MISS] * len(asked))
    good = 0
    for (_, route, after), before in zip(_see(model, answers, asked, hit=False), plain, strict=True):
        good += after == before
        if after != before and route.fact is not None:
            suspects[route.fact] += 1
    return Score(good, len(asked))


def _check_older(seen: Sequence[_Seen], suspects: dict[int, int]) -> Score:
    good = 0
    for question, route, text in seen:
        right = is_exact(text, question.served.fact.target)
        good += right
        if not right and route.fact is not None and route.fact != question.served.seq:
            suspects[route.fact] += 1
    return Score(good, len(seen))
