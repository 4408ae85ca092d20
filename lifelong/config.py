"""The configuration of a workspace (`lifelong.toml`) and the recipes it can name."""

from __future__ import annotations

import json
import re
import tomllib
from importlib.resources import files
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from editlog.errors import UsageError
from lifelong.jobs.hooks import Hooks
from lifelong.layout import Layout
from lifelong.scheduling.schedule import Schedule
from policies.budget import Budget
from policies.readiness import Readiness
from policies.recipe import Recipe, parse_recipe
from policies.retention import Retention

KEY_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,63}")
RECIPE_NAME = re.compile(r"[a-z0-9][a-z0-9_-]{0,63}")


Words = Annotated[str, Field(min_length=1, max_length=4096, pattern=r"^[^\x00]*$")]

Dtype = Literal["float32", "bfloat16", "float16"]
"""What the base's weights are held in."""


class TrustedKey(BaseModel):
    """A public key, and the names it may sign for (`*`: anyone's); without any, the name it goes by."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    key: Annotated[str, Field(pattern=r"^ed25519:[0-9a-f]{64}$")]
    authors: tuple[Words, ...] = ()


class Config(BaseModel):
    """What a workspace is made of. `overrides` changes single dials of the recipe, section by section.

    `device` auto leaves it to accelerate, a path of JSON is a device map for it; `trust_remote_code` runs code that
    comes with the model; `chat` puts every prompt through the model's chat template (docs/MODELS.md).
    `head_witness` is told each head of the log: a file that grows by a line for each (a path from the workspace's
    folder), or a command as a list of words, run without a shell. `head_key` is the file of the key that signs heads.
    `require_signature` and `require_approval` hold back facts without; `trusted_keys` says whose signatures count.
    `admission`: whether log order decides on contradictions and the like, or holds them (policies/screening.py).
    `corpus` is a file of texts, one a line (a path from the workspace's folder), of which a recipe learns what it must
    know of the base; without, the base writes such text itself.
    `response_log` records every answer with whom it was told to (docs/QUERIES.md). `[retention]` says what `gc` keeps
    (policies/retention.py), `[schedule]` when jobs are due (scheduling/schedule.py), `[ready]` whether a
    batch is worth one (policies/readiness.py), `[budget]` what one job may take (policies/budget.py), `[priority]`
    which sources go first (a number each; 0 for all others), `[hooks]` who is told how a job ended (hooks.py).
    `prometheus` is a file that each job writes its figures to, `log_format` how it speaks on standard error.
    `executor` says where waves are trained (executors/): `local`, in `workers` processes or (0) in the job's own, or
    `ray`, on the cluster at `ray_address` or one of its own.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    model: str = "embedded"
    device: Annotated[str, Field(pattern=r"^(auto|cpu|mps|cuda(:\d{1,3})?|[^\x00]{1,4000}\.json)$")] = "cpu"
    dtype: Dtype = "float32"
    trust_remote_code: bool = False
    chat: bool = False
    threads: Annotated[int, Field(ge=0, le=1024)] = 0
    recipe: str = "default"
    head_witness: Words | Annotated[list[Words], Field(min_length=1)] | None = None
    head_key: Words | None = None
    require_signature: bool = False
    require_approval: bool = False
    admission: Literal["order", "hold"] = "order"
    trusted_keys: dict[str, TrustedKey] = {}
    response_log: bool = False
    corpus: Words | None = None
    retention: Retention = Retention()
    ready: Readiness = Readiness()
    budget: Budget = Budget()
    priority: dict[Words, int] = {}
    schedule: Schedule = Schedule()
    hooks: Hooks = Hooks()
    executor: Literal["local", "ray"] = "local"
    ray_address: Words | None = None
    workers: Annotated[int, Field(ge=0, le=4096)] = 0
    prometheus: Words | None = None
    log_format: Literal["text", "json"] = "text"
    overrides: dict[str, Any] = {}

    def to_toml(self) -> str:
        """The file that `init` writes."""
        return "".join(
            (
                "# A lifelong workspace. Change dials of the recipe under [overrides.SECTION];"
                " `lifelong recipes show` lists them.\n",
                f"model = {json.dumps(self.model)}\n",
                f"device = {json.dumps(self.device)}\n",
                f"dtype = {json.dumps(self.dtype)}\n",
                "trust_remote_code = true\n" if self.trust_remote_code else "",
                "chat = true\n" if self.chat else "",
                f"threads = {self.threads}  # 0: as many as torch takes\n",
                f"recipe = {json.dumps(self.recipe)}\n",
                f"corpus = {json.dumps(self.corpus)}\n" if self.corpus else "",
                *(
                    f"\n[overrides.{json.dumps(section)}]\n"
                    + "".join(f"{dial} = {_toml(value)}\n" for dial, value in dials.items())
                    for section, dials in self.overrides.items()
                    if isinstance(dials, dict)
                ),
            )
        )


def _toml(value: Any) -> str:
    """A dial's value as TOML; JSON but for tables."""
    if isinstance(value, dict):
        return "{ " + ", ".join(f"{json.dumps(key)} = {_toml(one)}" for key, one in value.items()) + " }"
    return json.dumps(value)


def read_config(layout: Layout) -> Config:
    """Read and validate `lifelong.toml`; raises UsageError where it is missing or wrong."""
    try:
        text = layout.config.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise UsageError(
            f"there is no workspace at {layout.home}; make one with `lifelong init --home {layout.home}`"
        ) from None
    try:
        return Config.model_validate(tomllib.loads(text))
    except (tomllib.TOMLDecodeError, ValidationError) as error:
        raise UsageError(f"{layout.config} cannot be used: {first_problem(error)}") from error


def read_recipe(name: str, layout: Layout | None = None, overrides: dict[str, Any] | None = None) -> Recipe:
    """Read a recipe by name: the workspace's own first, then the shipped ones.

    Raises UsageError for a name that is unknown or not a name, and for dials that cannot be.
    """
    if not RECIPE_NAME.fullmatch(name):
        raise UsageError(f"{name!r} is not a recipe's name; `lifelong recipes list` shows those there are")
    own = layout.recipes / f"{name}.toml" if layout else None
    shipped = files("lifelong") / "recipes" / f"{name}.toml"
    source = own if own is not None and own.is_file() else shipped
    if not source.is_file():
        raise UsageError(f"there is no recipe {name}; `lifelong recipes list` shows those there are")
    try:
        return parse_recipe(source.read_text(encoding="utf-8"), overrides)
    except (tomllib.TOMLDecodeError, ValidationError) as error:
        raise UsageError(f"the recipe {name} cannot be used: {first_problem(error)}") from error


def recipe_names(layout: Layout | None = None) -> list[str]:
    """The names of all recipes there are, sorted."""
    directories = [files("lifelong") / "recipes", *([layout.recipes] if layout else [])]
    found = (entry.name for directory in directories if directory.is_dir() for entry in directory.iterdir())
    return sorted({Path(name).stem for name in found if name.endswith(".toml")})


def first_problem(error: Exception) -> str:
    """The first problem of a validation error as one clause."""
    if isinstance(error, ValidationError):
        problem = error.errors(include_url=False)[0]
        return f"{'.'.join(map(str, problem['loc'])) or 'it'}: {problem['msg']}"
    return str(error)


def recipes(layout: Layout | None = None) -> list[Recipe]:
    """All recipes there are, by name."""
    return [read_recipe(name, layout) for name in recipe_names(layout)]
