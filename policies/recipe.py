"""A recipe names one policy of each kind, an editor, and every dial; it is read from TOML and validated here.

The dials are part of an expert's identity (`Recipe.digest`), so an expert says exactly how it was made.
"""

from __future__ import annotations

import hashlib
import json
import tomllib
from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from policies.grouping import GroupingPolicy
from policies.growth import GrowthPolicy
from policies.merging import Merging
from policies.recalibration import Recalibration

Share = Annotated[float, Field(ge=0.0, le=1.0)]
Role = Literal["mlp.down", "mlp.up", "attn.out"]
OPTIONS = (
    ("training", "rect_keep"),
    ("training", "saul_facts"),
    ("training", "lti_weight"),
    ("experts", "rank_per_token"),
)
"""Dials that shape an expert only where they are on: one that is off stands in no digest."""


class _Section(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Grouping(_Section):
    """Which facts form a mini-batch, and how many facts are trained in one pass (a wave)."""

    policy: GroupingPolicy = "similar"
    mini_batch: Annotated[int, Field(ge=1, le=4096)] = 32
    wave: Annotated[int, Field(ge=1, le=16384)] = 256


class Growth(_Section):
    """Which facts share an expert, and how many at most; `pool`: the places of a fixed pool (policies/growth.py)."""

    policy: GrowthPolicy = "mini_batch"
    facts_per_expert: Annotated[int, Field(ge=1, le=1024)] = 1
    pool: Annotated[int, Field(ge=1, le=16384)] = 64


class Experts(_Section):
    """Shape and place of an expert. `layers` count from the first (0) or, negative, from the last (-1).

    `rank_per_token`: ranks for each token of the different answers that an expert is to give, their ends included, and
    `rank` at most; 0: `rank` whatever the answers. A fact that is trained again, for longer, has `rank`.
    """

    rank: Annotated[int, Field(ge=1, le=256)] = 4
    rank_per_token: Annotated[int, Field(ge=0, le=16)] = 0
    layers: Annotated[tuple[int, ...], Field(min_length=1)] = (-1,)
    modules: Annotated[tuple[Role, ...], Field(min_length=1)] = ("mlp.up",)
    dtype: Literal["float32", "float16", "int8", "int4"] = "float16"


class Training(_Section):
    """How an expert is fitted.

    `value_rate`: how far a value may move in a step, in norms of what it is added to; `key_rate`: how far a key
    may move, in its own answer to itself. `contexts`: how many wordings there should be beside the prompt;
    short lead-ins before it make up for missing rephrases. `near_misses`: prompts per expert held to the base's
    own prediction, weighted by `near_miss_weight`. An expert stops once every wording is predicted and its loss
    (nats per target token) is under `stop_loss`. `retry_steps`: for a fact that failed its audit.

    Options of gradient recipes, off unless said (lifelong/editors/regularisers.py). `rect_keep`: the share of a change
    that stays, the largest relative to the weights; experts then store whole matrices. `saul_facts`: random sentences
    of the corpus read behind each target. `lti_weight`: of the divergence from a base that reads the fact.
    """

    steps: Annotated[int, Field(ge=1, le=10_000)] = 30
    retry_steps: Annotated[int, Field(ge=1, le=10_000)] = 120
    value_rate: Annotated[float, Field(gt=0.0, le=100.0)] = 3.0
    key_rate: Annotated[float, Field(ge=0.0, le=100.0)] = 3.0
    stop_loss: Annotated[float, Field(ge=0.0)] = 0.05
    contexts: Annotated[int, Field(ge=0, le=16)] = 1
    near_misses: Annotated[int, Field(ge=0, le=64)] = 1
    near_miss_weight: Annotated[float, Field(ge=0.0)] = 0.05
    rect_keep: Annotated[float, Field(gt=0.0, le=1.0)] = 1.0
    saul_facts: Annotated[int, Field(ge=0, le=16)] = 0
    lti_weight: Annotated[float, Field(ge=0.0, le=100.0)] = 0.0


class Audit(_Section):
    """The limits below which nothing, or less, is published. Shares of greedy answers.

    `locality`: near misses that must answer as the base does. `retention`: of `sample` older edits, the share
    that must still be answered with their target; every `full_days` a job asks all of them. `unanswered`: whether facts
    that are not answered, and so fail, are taken out of weights that they share with others (`forget`, round by round
    until all that is left is answered) or stay in them (`keep`).
    """

    locality: Share = 0.98
    retention: Share = 0.99
    sample: Annotated[int, Field(ge=0)] = 64
    full_days: Annotated[float, Field(ge=0, le=100_000)] = 7.0
    max_new_tokens: Annotated[int, Field(ge=1, le=1024)] = 24
    unanswered: Literal["forget", "keep"] = "forget"


class Routing(_Section):
    """What turns a wording into an anchor: the shipped encoder, or `sentence-transformers:` and a folder or hub id.

    `pending`: how a fact acts before a job has trained it, as a `note` read before the prompt, or not at all (`none`).
    `recalibrate`: when thresholds are made anew (policies/recalibration.py): by every publication, once the facts have
    `grown` by the share `recalibrate_growth`, or once the promise was seen to be `broken`.
    """

    encoder: Annotated[str, Field(pattern=r"^(masked|sentence-transformers:.+)$", max_length=4096)] = "masked"
    pending: Literal["none", "note"] = "none"
    recalibrate: Recalibration = "always"
    recalibrate_growth: Annotated[float, Field(ge=0.0, le=100.0)] = 0.1


class Budget(_Section):
    """False hits the gate may make: share of out-of-scope prompts, by kind (near: same subject or relation)."""

    unrelated: Share = 0.001
    near: Share = 0.02


class Recipe(_Section):
    """One policy of each kind, an editor, and their dials.

    `method` is what the editor alone can be told; the editor itself checks it (`lifelong.editors.Dials`).
    """

    name: Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9_-]{0,63}$")] = "default"
    summary: str = ""
    editor: Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]{0,63}$")] = "lora"
    grouping: Grouping = Grouping()
    growth: Growth = Growth()
    experts: Experts = Experts()
    training: Training = Training()
    audit: Audit = Audit()
    merging: Merging = Merging()
    routing: Routing = Routing()
    locality_budget: Budget = Budget()
    method: dict[str, Any] = {}

    @property
    def digest(self) -> str:
        """Hash of what shapes an expert: editor, its dials, growth, experts, training; not of name, audit or gate."""
        shaping = self.model_dump(mode="json", include={"editor", "growth", "experts", "training"})
        off = {"training": Training(), "experts": Experts()}
        for section, option in OPTIONS:  # so the digests from before there was such a dial are as they were
            if shaping[section][option] == getattr(off[section], option):
                del shaping[section][option]
        if self.method:
            shaping["method"] = self.method
        text = json.dumps(shaping, sort_keys=True, separators=(",", ":"))
        return "sha256:" + hashlib.sha256(b"lifelong/recipe/v1\x00" + text.encode()).hexdigest()


def parse_recipe(toml: str, overrides: dict[str, Any] | None = None) -> Recipe:
    """Read a recipe from TOML text, with some sections' dials overridden.

    Raises `tomllib.TOMLDecodeError` for text that is not TOML and `pydantic.ValidationError` for unknown or
    impossible dials.
    """
    return Recipe.model_validate(laid_over(tomllib.loads(toml), overrides or {}))


def laid_over(dials: Mapping[str, Any], overrides: Mapping[str, Any]) -> dict[str, Any]:
    """Dials section by section, with some of them overridden."""
    merged = dict(dials)
    for section, own in overrides.items():
        merged[section] = {**merged.get(section, {}), **own} if isinstance(own, Mapping) else own
    return merged
