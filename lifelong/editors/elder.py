"""ELDER: a mixture of LoRA at several modules, one router each, guided to keep an allocation of every edit.

    y + Σ_i s_i B_i A_i x  over the k largest of  s = softmax(W q)

where q, one for the whole prompt, is what enters the first mixed layer at the prompt's last token. Which k of the
experts of each module are an edit's own is drawn beforehand by its target, so that equal targets share them, and a
guided loss teaches the routers to choose them, for every wording:

    L = L_edit + λ · -Σ_modules Σ_{i allocated} log s_i

The code of a prompt is which k experts each router chooses, one bit an expert and module. A prompt whose code is
within a Hamming distance of that of an edit is answered with the mixture as its own routers weigh it, every other one
by the base alone. Shared weights cannot give a fact back, so nothing is forgotten.

Other than the published code: the q of every edit is kept, and routers are guided by all edits so far, not by those of
the wave alone, since routers that move on leave the codes of earlier edits behind. A q is standardised by those of the
first wave and of a few plain sentences: what all prompts have in common decides nothing, and a rate means the same on
any base. In use only the chosen experts are computed, and the decision is made for each row and kept in its route.

Li et al., 2024, "ELDER: Enhancing Lifelong Model Editing with Mixture-of-LoRA" (arXiv 2408.11869).
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import datetime
from functools import cached_property
from typing import Annotated

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn.functional import normalize

from editlog.canonical import fold, sha256
from lifelong.editors import CannotForget, Edit, Editor, Lesson, Wave
from lifelong.editors.activations import UpperLayers
from lifelong.editors.parallel import IGNORED, Chunk
from lifelong.editors.pool import DescentDials, Pool, descend, lesson_chunks, pooled_experts, pooled_outcomes, standing
from lifelong.editors.reading import read_ends
from lifelong.editors.routers import NearestKey, Routed, Router, Scene
from lifelong.editors.state import State
from lifelong.editors.views import LEAD_INS
from lifelong.experts.bank import MISS, Route
from lifelong.models.base import Base
from lifelong.models.sites import Site, decoder_layers, find_sites

_TINY = 1e-6
_LITTLE = 0.1


class ElderDials(DescentDials):
    """`experts` of the recipe's rank at each of its sites, `top` of them chosen; `guide` is λ. A prompt is edited where
    its code differs from that of an edit in fewer than `within` bits."""

    experts: Annotated[int, Field(ge=1, le=256)] = 8
    top: Annotated[int, Field(ge=1, le=256)] = 2
    guide: Annotated[float, Field(ge=0.0, le=100.0)] = 1e-2
    within: Annotated[int, Field(ge=1, le=65536)] = 8


def allocation(target: str, sites: int, experts: int, top: int) -> Tensor:
    """Which experts are to answer with `target`: bool [sites, experts], `top` true in each row, drawn by the target."""
    seed = int.from_bytes(sha256(b"lifelong/elder/v1\x00", fold(target).encode())[:8], "big") >> 1
    drawn = torch.rand(sites, experts, generator=torch.Generator().manual_seed(seed))
    return chosen(drawn, top)


def chosen(scores: Tensor, top: int) -> Tensor:
    """The `top` largest of scores [..., experts], bool."""
    best = scores.topk(min(top, scores.shape[-1]), -1).indices
    return torch.zeros_like(scores, dtype=torch.bool).scatter(-1, best, True)


def mixing(logits: Tensor, top: int) -> Tensor:
    """s where it is among the `top` largest, and nothing elsewhere: [..., experts]."""
    scores = logits.softmax(-1)
    return scores * chosen(scores, top)


def logits_of(queries: Tensor, routers: Tensor) -> Tensor:
    """W q of each router [sites, experts, width]: [rows, width] -> [rows, sites, experts]."""
    return torch.einsum("bw,snw->bsn", queries, routers)


def guided_loss(logits: Tensor, allocated: Tensor) -> Tensor:
    """-Σ log s over what is allocated, for each row: logits and bool, both [rows, sites, experts] -> [rows]."""
    return -(logits.log_softmax(-1) * allocated).sum((-2, -1))


class _Mixtures(nn.Module):
    """A pool of experts and a router W [experts, width] at each site; all routers read the same query, standardised."""

    routers: nn.Parameter
    mean: Tensor
    spread: Tensor

    def __init__(self, sites: Sequence[Site], width: int, dials: ElderDials, rank: int, seed: int) -> None:
        super().__init__()
        self.top = dials.top
        self._pools = [Pool(site, dials.experts, rank, seed + i) for i, site in enumerate(sites)]
        for place, pool in enumerate(self._pools):
            self.add_module(str(place), pool)
        drawn = torch.randn(len(sites), dials.experts, width, generator=torch.Generator().manual_seed(seed))
        self.routers = nn.Parameter(drawn / width**0.5)
        self.register_buffer("mean", torch.zeros(width))
        self.register_buffer("spread", torch.ones(width))

    def standardise_by(self, queries: Tensor) -> None:
        """Read queries from here on by the mean and the spread of these [rows, width]."""
        self.mean, self.spread = queries.mean(0), queries.std(0).clamp_min(_TINY)

    @property
    def factors(self) -> dict[str, tuple[Tensor, Tensor]]:
        """A [experts, rank, in] and B [experts, out, rank] by site path."""
        return {pool.site.path: (pool.a, pool.b) for pool in self._pools}

    def logits(self, queries: Tensor) -> Tensor:
        """W q at each site: [rows, width] -> [rows, sites, experts]."""
        return logits_of((queries.float() - self.mean) / self.spread, self.routers)

    @contextlib.contextmanager
    def adding(self, base: Base, queries: Tensor) -> Iterator[None]:
        """Within this block every site adds its mixture on rows of these queries [rows, width]."""
        weights = mixing(self.logits(queries), self.top)
        with contextlib.ExitStack() as stack:
            for place, pool in enumerate(self._pools):
                stack.enter_context(pool.adding(base, weights[:, place]))
            yield


class ElderEditor(Editor):
    """Mixtures of all facts; each wave retires what the last one made."""

    Dials = ElderDials
    accumulates = True

    def fit(
        self,
        base: Base,
        wave: Wave,
        *,
        seed: int,
        state: State | None = None,
        steps: int | None = None,
        advance: Callable[[int], None] | None = None,
    ) -> Edit:
        """Train experts and routers on the wave, from where `state` ends, and keep its codes; see `Editor.fit`."""
        sites, lessons = self._sites(base), wave.lessons
        width = base.model.config.get_text_config().hidden_size
        mixtures = _Mixtures(sites, width, self.dials, self.recipe.experts.rank, seed)
        if state:
            mixtures.load_state_dict({name: state.tensors[name] for name in mixtures.state_dict()})
        memory = self._memory(base, len(sites), lessons, state)
        if not state:
            mixtures.standardise_by(torch.cat([self._query(base, LEAD_INS), *(q[None] for q, _ in memory.values())]))
        loss, right, taken = self._train(base, mixtures.to(base.device), lessons, memory, steps or self.dials.steps)
        if advance:
            advance(len(lessons))
        facts = tuple(memory)
        queries, allocated = (torch.stack(part) for part in zip(*memory.values(), strict=True))
        with torch.no_grad():
            found = codes(mixtures.logits(queries.to(base.device)), self.dials.top).cpu()
        known = dict(zip(facts, found, strict=True))
        experts = pooled_experts(base, self.recipe, mixtures.factors, facts, known)
        tensors = {**mixtures.state_dict(), "queries": queries, "allocated": allocated}
        kept = State(tensors, facts, {"experts": [expert.hash for expert in experts]})
        outcomes = pooled_outcomes(experts, lessons, loss, right, taken)
        return Edit(tuple(experts), outcomes, standing(state), kept)

    def forget(self, base: Base, gone: frozenset[str], state: State | None) -> Edit:
        """Always refuses: see the module's first words."""
        raise CannotForget(
            "the recipe elder trains all facts into the same experts and routers, and gradient steps cannot be taken"
            " out one by one; `lifelong rollback` serves the last snapshot without the fact"
        )

    def router(self, scene: Scene) -> Router:
        """The nearest code decides whether, the prompt's own routers say how much of each expert."""
        return _HammingRouter(
            scene,
            [site.path for site in self._sites(scene.base)],
            lambda prompts: self._query(scene.base, prompts),
            self.dials,
        )

    def _sites(self, base: Base) -> list[Site]:
        return find_sites(base.model, self.recipe.experts.layers, self.recipe.experts.modules)

    def _query(self, base: Base, prompts: Sequence[str]) -> Tensor:
        """q: what enters the first mixed layer at the last token of each prompt, float32 [prompts, width]."""
        first = min(site.layer for site in self._sites(base))
        return read_ends(base, f"{decoder_layers(base.model)[0]}.{first}", prompts)[0]

    def _memory(
        self, base: Base, sites: int, lessons: Sequence[Lesson], state: State | None
    ) -> dict[str, tuple[Tensor, Tensor]]:
        """q and what is allocated, by fact, of all edits up to these lessons; in the order of the facts' digests."""
        held = {}
        if state:
            held = dict(
                zip(state.facts, zip(state.tensors["queries"], state.tensors["allocated"], strict=True), strict=True)
            )
        dials: ElderDials = self.dials
        for lesson, query in zip(lessons, self._query(base, [one.prompt for one in lessons]), strict=True):
            held[lesson.digest] = (query, allocation(lesson.target, sites, dials.experts, dials.top))
        return dict(sorted(held.items()))

    def _train(
        self,
        base: Base,
        mixtures: _Mixtures,
        lessons: Sequence[Lesson],
        memory: Mapping[str, tuple[Tensor, Tensor]],
        steps: int,
    ) -> tuple[Tensor, Tensor, int]:
        """See `descend`; the guided loss is the mean over all wordings of the wave and the prompts of earlier edits."""
        dials: ElderDials = self.dials
        upper = UpperLayers(base, self._sites(base))
        chunks = lesson_chunks(base, upper, lessons, self.recipe)
        taught = [chunk for chunk in chunks if chunk.targets is not None]
        own = {lesson.digest for lesson in lessons}
        of_wave = torch.stack([memory[lesson.digest][1] for lesson in lessons]).to(base.device)
        earlier = [pair for fact, pair in memory.items() if fact not in own]
        queries = torch.cat([*map(queries_of, taught), *(query[None].to(base.device) for query, _ in earlier)])
        wanted = torch.cat(
            [of_wave[chunk.expert] for chunk in taught] + [one[None].to(base.device) for _, one in earlier]
        )
        return descend(
            upper,
            chunks,
            lambda chunk: mixtures.adding(base, queries_of(chunk)),
            mixtures.parameters(),
            facts=len(lessons),
            recipe=self.recipe,
            dials=dials,
            steps=steps,
            beside=lambda: dials.guide * guided_loss(mixtures.logits(queries), wanted).mean(),
        )


def queries_of(chunk: Chunk) -> Tensor:
    """q of each row of a chunk, [rows, width]: what is stored at the token that predicts the answer's first one."""
    tail = chunk.stored.hidden[:, -chunk.keep :]
    if chunk.targets is None:
        return tail[:, -1]
    ends = (chunk.targets != IGNORED).int().argmax(1)
    return tail[torch.arange(len(tail), device=tail.device), ends]


def codes(logits: Tensor, top: int) -> Tensor:
    """The code of each row of logits [rows, sites, experts]: 0 or 1, float32 [rows, sites * experts]."""
    return chosen(logits, top).float().flatten(1)


class _HammingRouter(NearestKey):
    """Keys are the codes of the edits; between codes, Euclid's distance is the root of Hamming's.

    A little of each q stands behind its code: of edits with one code, that with the nearest q is said to be hit.
    """

    def __init__(
        self, scene: Scene, paths: Sequence[str], query: Callable[[Sequence[str]], Tensor], dials: ElderDials
    ) -> None:
        self._paths, self._top = paths, dials.top
        self._slots = tuple(scene.bank.slot_of[one] for one in standing(scene.state))
        self._tensors = scene.state.tensors if scene.state else {}
        radius = (dials.within - 0.5) ** 0.5
        super().__init__(scene, query, lambda facts, keys: torch.full((len(keys),), radius))
        if scene.state and self._facts:
            place = {fact: i for i, fact in enumerate(scene.state.facts)}
            own = scene.state.tensors["queries"][[place[served.fact.digest] for served in self._facts]]
            self.keys = self._keys(self.keys, self._standard(own))

    @torch.no_grad()
    def route(self, prompts: Sequence[str], *, at: datetime | None = None) -> list[Routed]:
        """As the nearest code decides; a hit is mixed by the scores of its own prompt."""
        if not prompts or not self._facts:
            return super().route(prompts, at=at)
        queries = self._standard(self._query(prompts))
        logits = logits_of(queries, self._tensors["routers"].float())
        decisions = self.decided(self._keys(codes(logits, self._top), queries), at=at)
        mixed = self._mixed(logits, [one.fact for one in decisions])
        return [Routed(one, MISS if one.fact is None else own) for one, own in zip(decisions, mixed, strict=True)]

    def route_to(self, seq: int) -> Route:
        """The route of a fact's own prompt."""
        return self._own.get(seq, MISS)

    @cached_property
    def _own(self) -> dict[int, Route]:
        """The routes of all facts' own prompts."""
        seqs = [served.seq for served in self._facts]
        queries = self._standard(self._query([served.fact.prompt for served in self._facts]))
        return dict(zip(seqs, self._mixed(logits_of(queries, self._tensors["routers"].float()), seqs), strict=True))

    def _standard(self, queries: Tensor) -> Tensor:
        return (queries - self._tensors["mean"]) / self._tensors["spread"]

    @staticmethod
    def _keys(codes: Tensor, queries: Tensor) -> Tensor:
        """Codes [rows, bits] with so little of the queries [rows, width] that no distance grows by half a bit."""
        return torch.cat([codes, _LITTLE * normalize(queries, dim=1)], 1)

    def _mixed(self, logits: Tensor, facts: Sequence[int | None]) -> list[Route]:
        """Every expert of the pool, weighed at each site by the scores of logits [rows, sites, experts]."""
        weights = mixing(logits, self._top)
        return [
            Route(seq, self._slots, tuple(mean), "", tuple(zip(self._paths, map(tuple, own), strict=True)))
            for seq, mean, own in zip(facts, weights.mean(1).tolist(), weights.tolist(), strict=True)
        ]


EDITOR = ElderEditor
