"""Reading activations: what a module reads and puts out at chosen positions of prompts, with the base as it is."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from lifelong.editors import Lesson
from lifelong.experts.operators.rows import by_row
from lifelong.models.base import Base, batches_by_length
from lifelong.models.sites import Site, find_sites

READ_BATCH = 64


@contextlib.contextmanager
def watching(base: Base, paths: Sequence[str], rows: int) -> Iterator[tuple[dict[str, Tensor], dict[str, Tensor]]]:
    """Within this block, what each module last read and put out by path, [rows, length, width] on `base.device`."""
    inputs: dict[str, Tensor] = {}
    outputs: dict[str, Tensor] = {}

    def hook(path: str) -> Any:
        def see(_: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any], output: Any) -> None:
            read = args[0] if args else kwargs["hidden_states"]
            put_out = output[0] if isinstance(output, tuple) else output
            inputs[path], outputs[path] = (by_row(tensor.to(base.device), rows) for tensor in (read, put_out))

        return see

    with contextlib.ExitStack() as stack:
        for path in paths:
            module = base.model.get_submodule(path)
            stack.callback(module.register_forward_hook(hook(path), with_kwargs=True).remove)
        yield inputs, outputs


@torch.no_grad()
def read(
    base: Base, paths: Sequence[str], rows: Sequence[Sequence[int]], positions: Sequence[int]
) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """What modules read and put out at one position of each token row: by path, float32 [rows, width], on the CPU."""
    places: list[int] = []
    read_in: dict[str, list[Tensor]] = {path: [] for path in paths}
    read_out: dict[str, list[Tensor]] = {path: [] for path in paths}
    for index in batches_by_length([len(row) for row in rows], READ_BATCH):
        batch = base.pad_left([rows[i] for i in index])
        length = batch.input_ids.shape[1]
        columns = torch.tensor([length - len(rows[i]) + positions[i] for i in index], device=base.device)
        here = torch.arange(len(index), device=base.device)
        with watching(base, paths, len(index)) as (inputs, outputs):
            base.forward(batch, keep=1)
        for path in paths:
            read_in[path].append(inputs[path][here, columns].float().cpu())
            read_out[path].append(outputs[path][here, columns].float().cpu())
        places += index
    order = torch.tensor(places).argsort() if places else torch.zeros(0, dtype=torch.long)
    return ({path: torch.cat(x)[order] for path, x in read_in.items()} if places else {}), (
        {path: torch.cat(x)[order] for path, x in read_out.items()} if places else {}
    )


def read_ends(base: Base, path: str, prompts: Sequence[str]) -> tuple[Tensor, Tensor]:
    """What a module reads and puts out at the last token of each prompt, float32 [prompts, width] each."""
    rows = [base.prompt_ids(prompt) for prompt in prompts]
    inputs, outputs = read(base, [path], rows, [len(row) - 1 for row in rows])
    return inputs[path], outputs[path]


def subject_end(base: Base, prompt: str, lesson: Lesson) -> int:
    """The position in `prompt` of the last token of the lesson's subject; of the prompt where it does not name it."""
    ids = base.prompt_ids(prompt)
    start = prompt.find(lesson.subject) if lesson.subject else -1
    if start < 0 or not lesson.subject:
        return len(ids) - 1
    return min(len(base.prompt_ids(prompt[: start + len(lesson.subject)])), len(ids)) - 1


def one_site(base: Base, layer: int, role: str) -> Site:
    """The site of a role in a layer (negative: from the last); raises UsageError where there is none."""
    (site,) = find_sites(base.model, [layer], [role])[:1]
    return site
