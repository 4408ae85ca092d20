"""What a worker does: load the base once, train a wave, hand back bytes."""

from __future__ import annotations

from dataclasses import asdict
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from editlog.errors import IntegrityError
from lifelong.executors import Done, Task

if TYPE_CHECKING:
    from lifelong.editors import Lesson
    from lifelong.models.base import Base


@lru_cache(maxsize=1)
def _base(model: str, device: str, dtype: str, trust_remote_code: bool, chat: bool) -> Base:
    from lifelong.models.base import Base

    base = Base.load(model, device=device, dtype=dtype, trust_remote_code=trust_remote_code)
    base.use_chat(chat)
    return base


def perform(encoded: str) -> Done:
    """Train the wave of an encoded task; raises IntegrityError where the base here is another one."""
    import torch

    from lifelong.editors import Wave, editor_of
    from lifelong.experts.pack import alike, encode_pack
    from policies.recipe import Recipe

    task = Task.decode(encoded)
    torch.set_num_threads(task.threads)
    base = _base(task.model, task.device, task.dtype, task.trust_remote_code, task.chat)
    if base.fingerprint != task.base:
        raise IntegrityError(f"the model {task.model} of this worker is not the base of the job")
    wave = Wave(tuple(tuple(_lesson(said) for said in group) for group in task.groups))
    edit = editor_of(Recipe.model_validate_json(task.recipe)).fit(base, wave, seed=task.seed, steps=task.steps)
    packs = tuple(encode_pack(part)[1] for part in alike(edit.experts))
    return Done(task.name, packs, {digest: asdict(outcome) for digest, outcome in edit.outcomes.items()})


def _lesson(said: dict[str, Any]) -> Lesson:
    """A lesson from JSON, in which its tuples are lists."""
    from lifelong.editors import Lesson

    fields: dict[str, Any] = {name: tuple(v) if isinstance(v, list) else v for name, v in said.items()}
    return Lesson(**fields)
