"""Options of gradient recipes against what an edit does beside its fact; each is a dial of `[training]`, off at first.

RECT (`rect_keep`): of a finished change of a weight only the entries that are largest relative to it stay.
Gu et al., 2024, "Model Editing Harms General Abilities of Large Language Models" (arXiv 2401.04700).

SAUL (`saul_facts`): the target is trained with random sentences after it, so that the model goes on as it would.
Here they are taken from the recipe's corpus, and the token where one begins, which nothing foretells, is left out.
Wang et al., 2024, "Better Call SAUL" (arXiv 2410.02433).

LTI's constraint on the output (`lti_weight`): the edited model's prediction stays near that of the base which reads the
fact before the prompt, where sureness has a natural measure, instead of running to certainty.
Zhang et al., 2024, "Uncovering Overfitting in Large Language Model Editing" (arXiv 2410.07819).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from random import Random

import torch
from torch import Tensor
from torch.nn.functional import kl_div, log_softmax

from editlog.errors import UsageError
from lifelong.editors import Lesson, Wave
from lifelong.editors.views import Row
from lifelong.experts.kinds import Dense, LowRank
from lifelong.models.base import Base

MAX_CONCATENATED = 24
"""At most so many tokens of a sentence are read behind a target."""

TINY = 1e-8


def rect(change: Tensor, weight: Tensor, keep: float) -> Tensor:
    """The change of a weight, both [out, in], with zeros but in the share `keep` that is largest relative to it."""
    relative = (change.abs() / weight.abs().clamp_min(TINY)).flatten()
    kept = torch.zeros_like(relative, dtype=torch.bool)
    kept[relative.topk(math.ceil(keep * len(relative))).indices] = True
    return torch.where(kept.view_as(change), change, torch.zeros_like(change))


def rect_dense(base: Base, site: str, delta: LowRank, keep: float, dtype: torch.dtype) -> Dense:
    """What RECT leaves of a low-rank delta of the module `site`; as a rule it has full rank, and is stored whole.

    Raises UsageError where the base's weights are quantised.
    """
    if base.quantised:
        raise UsageError(
            "training.rect_keep measures a change by the weights it changes, and this base's are quantised; take"
            " rect_keep out of the recipe, or load the base unquantised"
        )
    module = base.model.get_submodule(site)
    weight = base.weight(site).detach().float().cpu()
    weight = weight.T if type(module).__name__ == "Conv1D" else weight
    return Dense(rect(delta.b.float() @ delta.a.float(), weight, keep).to(dtype))


def concatenated(base: Base, wave: Wave, texts: Sequence[str], count: int) -> list[Row]:
    """SAUL's rows: behind each lesson's target `count` of the texts, drawn by the lesson alone."""
    rows = []
    for expert, group in enumerate(wave.groups):
        for lesson in group:
            drawn = Random(lesson.digest).sample(texts, min(count, len(texts)))  # noqa: S311 - no secret
            rows += [row for text in drawn if (row := _behind(base, expert, lesson, text)).answer]
    return rows


def _behind(base: Base, expert: int, lesson: Lesson, text: str) -> Row:
    begins = len(base.answer_ids(lesson.prompt, f"{lesson.target}."))
    whole = base.answer_ids(lesson.prompt, f"{lesson.target}. {text}")[:-1]
    read, predicted = whole[:begins], whole[begins : begins + MAX_CONCATENATED]
    return Row(expert, (*base.prompt_ids(lesson.prompt), *read), tuple(predicted), beside=True)


@torch.no_grad()
def informed_predictions(base: Base, rows: Sequence[Row], keep: int) -> Tensor:
    """The base's log-probabilities [rows, keep, vocabulary] of each row's answer behind its `informed` prompt."""
    batch = base.pad_left([(*row.informed, *row.answer[:-1]) for row in rows])
    return log_softmax(base.forward(batch, keep=keep).float(), -1)


def informed_loss(logits: Tensor, informed: Tensor, counted: Tensor) -> Tensor:
    """Per row: KL(informed base || edited), in nats, the mean over its answer.

    `logits` [tokens, vocabulary] are those of the positions that `counted` (bool [rows, keep]) marks, row by row.
    """
    far = kl_div(log_softmax(logits, -1), informed[counted], log_target=True, reduction="none").sum(-1)
    total = torch.zeros(len(counted), dtype=far.dtype, device=far.device)
    return total.index_add(0, counted.nonzero()[:, 0], far) / counted.sum(1)
