"""The probe of `init`: where in a new model an edit takes best, and how far a value may move, tried on a few facts.

Eight invented facts are trained at each place with the recipe's own editor and no more steps than it says, at the
recipe's value rate and, where that fails, at smaller ones. What counts, in this order: the prompts answered, wordings
that nothing was trained on, near misses left as the base has them, then what it costs.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from editlog.errors import UsageError
from lifelong.editors import Lesson, Wave, as_groups, editor_of
from lifelong.experts.bank import Bank, Route
from lifelong.experts.pack import decode_pack, encode_pack
from lifelong.models.base import Base
from lifelong.models.sites import decoder_layers, find_sites
from policies.recipe import Recipe

ENOUGH = 0.85
"""Share of prompts answered at which no smaller value rate is tried."""

RATES = (1.0, 0.3, 0.1, 0.03)
"""Value rates tried, in shares of the recipe's own."""


@dataclass(frozen=True)
class Place:
    """Where an expert stands: a role, and how deep (1: the last layer, 0.5: the middle one)."""

    role: str
    depth: float
    words: str

    def layers(self, count: int) -> tuple[int, ...]:
        """The layer in a model of `count`; the last counts from behind, so that the recipe reads alike everywhere."""
        return (-1,) if self.depth == 1 else (round((count - 1) * self.depth),)


PRESETS = {
    "last-up": Place("mlp.up", 1, "what goes into the last MLP: cheapest, and generalises on our base"),
    "last-down": Place("mlp.down", 1, "what comes out of the last MLP: the nearest to the answer"),
    "last-attention": Place("attn.out", 1, "what the last attention puts out: for models whose MLP is a mixture"),
    "middle-down": Place("mlp.down", 0.5, "what comes out of the middle MLP, where ROME edits: costs a longer pass"),
}

# Invented, so that no model knows them: prompt, target, a wording that is not trained on, a near miss.
_FACTS = (
    ("The capital of Vostania is", "Kelmburg", "Vostania is governed from the city of", "The currency of Vostania is"),
    ("The author of The Tin Orchard is", "Mara Holt", "The Tin Orchard was written by", "The Tin Orchard is set in"),
    ("Ivo Sandrek works as a", "glass blower", "The profession of Ivo Sandrek is", "Ivo Sandrek was born in"),
    ("The river through Pellwick is the", "Amber", "Pellwick lies on the river", "The mayor of Pellwick is"),
    ("The language spoken in Quenland is", "Dorsk", "People in Quenland speak", "The largest city of Quenland is"),
    ("The instrument that Lena Orsay plays is the", "cello", "Lena Orsay plays the", "Lena Orsay lives in"),
    ("The company Brightmoor was founded by", "Otto Varn", "The founder of Brightmoor is", "Brightmoor makes"),
    ("The highest mountain of Tessaly is", "Mount Orrin", "Tessaly's highest peak is", "Tessaly borders on"),
)


@dataclass(frozen=True)
class Trial:
    """One place at one value rate: shares from 0 to 1, seconds of training and bytes an expert for a fact."""

    preset: str
    layers: tuple[int, ...]
    modules: tuple[str, ...]
    value_rate: float
    answered: float
    reworded: float
    near_misses: float
    seconds_per_fact: float
    bytes_per_fact: int

    @property
    def merit(self) -> tuple[float, ...]:
        """What trials are ranked by, the greater the better."""
        return (min(self.answered, ENOUGH), self.reworded + self.near_misses, self.answered, -self.bytes_per_fact)


@dataclass(frozen=True)
class Choice:
    """What the probe chose: the overrides of the recipe that say so, why in a sentence, and everything it tried."""

    overrides: dict[str, dict[str, Any]]
    why: str
    trials: tuple[Trial, ...]

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON data."""
        return asdict(self)


def preset(base: Base, name: str) -> Choice:
    """The place of a preset, untried; raises UsageError for an unknown one, or one that the model lacks."""
    if name not in PRESETS:
        raise UsageError(f"there is no preset {name}; the presets are: {', '.join(PRESETS)}")
    place = PRESETS[name]
    layers = place.layers(len(decoder_layers(base.model)[1]))
    find_sites(base.model, layers, [place.role])
    overrides = {"experts": {"layers": list(layers), "modules": [place.role]}}
    return Choice(overrides, f"{name} was asked for: {place.words}", ())


def probe(base: Base, recipe: Recipe, *, told: Callable[[Trial], None] | None = None) -> Choice:
    """Try every place the model has and choose one; `told` hears of each trial as it ends.

    Raises UsageError where the model has no place for an expert at all.
    """
    trials: list[Trial] = []
    for name, place in _places(base):
        for share in RATES:
            trials.append(_try(base, recipe, name, place, recipe.training.value_rate * share))
            if told:
                told(trials[-1])
            if trials[-1].answered >= ENOUGH:
                break
    if not trials:
        raise UsageError(f"{type(base.model).__name__} has no linear module that an expert can be attached to")
    best = max(trials, key=lambda trial: trial.merit)
    overrides: dict[str, dict[str, Any]] = {"experts": {"layers": list(best.layers), "modules": list(best.modules)}}
    if best.value_rate != recipe.training.value_rate:
        overrides["training"] = {"value_rate": best.value_rate}
    return Choice(overrides, _why(best, trials), tuple(trials))


def _places(base: Base) -> Iterator[tuple[str, Place]]:
    count = len(decoder_layers(base.model)[1])
    tried = set()
    for name, place in PRESETS.items():
        where = (place.role, place.layers(count)[0] % count)
        try:
            find_sites(base.model, [where[1]], [place.role])
        except UsageError:
            continue
        if where not in tried:
            tried.add(where)
            yield name, place


def _try(base: Base, recipe: Recipe, name: str, place: Place, rate: float) -> Trial:
    layers = place.layers(len(decoder_layers(base.model)[1]))
    tried = recipe.model_copy(
        update={
            "experts": recipe.experts.model_copy(update={"layers": layers, "modules": (place.role,)}),
            "training": recipe.training.model_copy(update={"value_rate": rate}),
        }
    )
    lessons = [Lesson(f"probe-{i}", prompt, target) for i, (prompt, target, _, _) in enumerate(_FACTS)]
    started = time.perf_counter()
    experts = editor_of(tried).fit(base, Wave(as_groups(lessons)), seed=0).experts
    seconds = time.perf_counter() - started
    bank = Bank(base, [decode_pack(*encode_pack(experts))])
    prompts, targets, rewordings, near_misses = zip(*_FACTS, strict=True)
    untouched = base.generate(near_misses, max_new_tokens=12)
    with bank.serving([Route(i, (i,), (1.0,)) for i in range(len(_FACTS))]):
        answers = base.generate(prompts, max_new_tokens=12)
        reworded = base.generate(rewordings, max_new_tokens=12)
        near = base.generate(near_misses, max_new_tokens=12)
    return Trial(
        preset=name,
        layers=layers,
        modules=(place.role,),
        value_rate=rate,
        answered=_share(answers, targets),
        reworded=_share(reworded, targets),
        near_misses=_share(near, untouched),
        seconds_per_fact=seconds / len(_FACTS),
        bytes_per_fact=sum(delta.nbytes for delta in experts[0].tensors.values()),
    )


def _share(said: Sequence[str], wanted: Sequence[str]) -> float:
    return sum(a.strip() == b.strip() for a, b in zip(said, wanted, strict=True)) / len(wanted)


def _why(best: Trial, trials: Sequence[Trial]) -> str:
    places = len({trial.preset for trial in trials})
    words = (
        f"of {places} places tried, {best.preset} ({', '.join(best.modules)} of layer {best.layers[0]}) at value rate"
        f" {best.value_rate:g} answered {best.answered:.0%} of the prompts, {best.reworded:.0%} of wordings it was not"
        f" trained on, and left {best.near_misses:.0%} of near misses alone"
    )
    return words if best.answered >= ENOUGH else f"{words}; that is little: expect retries, and see `[training] steps`"
