"""Meta-training of hypernetworks: edits made of ordinary text, and the step through the normal equation."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated

import torch
from pydantic import Field
from torch import Tensor

from editlog.errors import UsageError
from lifelong.editors import Dials, Lesson, Wave, as_groups
from lifelong.editors.activations import UpperLayers
from lifelong.editors.hypernetwork import Hypernetwork, normal_equation
from lifelong.editors.parallel import chunks_of
from lifelong.editors.shifting import measured, shifted
from lifelong.editors.signals import signals
from lifelong.editors.views import wave_rows
from lifelong.models.base import Base
from lifelong.models.sites import Site

_PROMPT_WORDS = 12
_TARGET_WORDS = 2
_LONGEST_WORD = 20
"""Letters: a base that writes by itself may come to a word that never ends, and that is no answer to learn from."""
_CLIP = 1.0


class MetaDials(Dials):
    """Training takes `meta_steps` of Adam at `meta_rate`, each on `meta_batch` edits; the texts that are to stay weigh
    `locality`. `rate` is where value differences start, in what the layer puts out, `ridge` where λ does, in ‖k‖²."""

    meta_steps: Annotated[int, Field(ge=0, le=100_000)] = 100
    meta_batch: Annotated[int, Field(ge=2, le=16384)] = 64
    meta_rate: Annotated[float, Field(gt=0.0, le=1.0)] = 1e-3
    locality: Annotated[float, Field(ge=0.0)] = 1.0
    rate: Annotated[float, Field(gt=0.0, le=100.0)] = 1.0
    ridge: Annotated[float, Field(gt=0.0)] = 1e-2


def made_edits(texts: Sequence[str]) -> list[Lesson]:
    """An edit for each text that begins with at least four words, none endless: its beginning is to go on as the next
    text does, and the text after that is to stay. Raises UsageError where there are fewer than four such texts."""
    cuts = (text.split()[: _PROMPT_WORDS + _TARGET_WORDS] for text in dict.fromkeys(texts))
    words = [cut for cut in cuts if len(cut) >= 4 and max(map(len, cut)) <= _LONGEST_WORD]
    if len(words) < 4:
        raise UsageError(
            "the corpus has fewer than four texts of four words, too few to train on; give more by --corpus"
        )
    begun = [cut[: max(2, min(_PROMPT_WORDS, len(cut) - _TARGET_WORDS))] for cut in words]
    lessons = []
    for place, prompt in enumerate(begun):
        other, third = (place + 1) % len(words), (place + 2) % len(words)
        target = words[other][len(begun[other]) :][:_TARGET_WORDS]
        lesson = Lesson(str(place), " ".join(prompt), " ".join(target), near_misses=(" ".join(begun[third]),))
        lessons.append(lesson)
    return lessons


def meta_train(
    base: Base,
    sites: Sequence[Site],
    networks: Mapping[str, Hypernetwork],
    texts: Sequence[str],
    dials: MetaDials,
) -> None:
    """Train the networks of all sites together, in place; the same for the same texts and dials."""
    lessons = made_edits(texts)
    generator = torch.Generator().manual_seed(0)
    size = min(dials.meta_batch, len(lessons))

    def drawn() -> Wave:
        places = torch.randperm(len(lessons), generator=generator)[:size].tolist()
        return Wave(as_groups([lessons[place] for place in places]))

    first = signals(base, sites, wave_rows(base, drawn(), contexts=0, near_misses=0))
    for site in sites:
        keys = first.keys[site.path]
        weight = base.weight(site.path).detach().float().cpu()
        put_out = keys @ (weight.T if weight.shape[1] == keys.shape[1] else weight)
        size_of = float(put_out.square().mean().sqrt())
        networks[site.path].start(keys, first.gradients[site.path], size=size_of, rate=dials.rate, ridge=dials.ridge)
    parameters = [parameter for network in networks.values() for parameter in network.parameters()]
    optimiser = torch.optim.Adam(parameters, lr=dials.meta_rate)
    for _ in range(dials.meta_steps):
        optimiser.zero_grad()
        meta_step(base, sites, networks, drawn(), dials.locality)
        torch.nn.utils.clip_grad_norm_(parameters, _CLIP)
        optimiser.step()


def meta_step(
    base: Base, sites: Sequence[Site], networks: Mapping[str, Hypernetwork], wave: Wave, locality: float
) -> None:
    """Accumulate the networks' gradients of one batch of edits: of the model, then the equation, then the networks."""
    pairs = signals(base, sites, wave_rows(base, wave, contexts=0, near_misses=0))
    differences: dict[str, Tensor] = {}
    solved: dict[str, Tensor] = {}
    for path, network in networks.items():
        differences[path] = network.differences(pairs.keys[path], pairs.gradients[path]).requires_grad_()
        wide = (pairs.keys[path].double(), differences[path].double(), network.ridge.double().exp())
        solved[path] = normal_equation(*wide).float()
    shifts = {path: shift.detach().to(base.device).requires_grad_() for path, shift in solved.items()}
    upper = UpperLayers(base, list(sites))
    chunks = chunks_of(base, upper, wave_rows(base, wave, contexts=1, near_misses=1))
    measured(upper, chunks, lambda _: shifted(base, shifts), len(wave.lessons), locality)
    for path, network in networks.items():
        solved[path].backward(shifts[path].grad.cpu())  # type: ignore[no-untyped-call,union-attr]
        wanted = differences[path].grad
        assert wanted is not None
        network.learn(pairs.keys[path], pairs.gradients[path], wanted)
