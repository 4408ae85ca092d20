"""The base by plain transformers in another process: the same prompts, the same words, the same bits."""

from __future__ import annotations

import pytest
import torch

from lifelong.evaluation.reference import PlainBase, digests
from lifelong.models.base import EMBEDDED_PATH, Base

PROMPTS = ["The capital of France is", "In which language was American Woman written?", "Iron is"]

pytestmark = pytest.mark.skipif(
    not (EMBEDDED_PATH / "model.safetensors").exists(), reason="the embedded base model is not in this checkout"
)


@pytest.mark.parametrize("chat", [False, True], ids=["plain", "chat"])
def test_it_answers_as_the_base_does_here(chat: bool) -> None:
    base = Base.load()
    base.use_chat(chat)
    ((*answers,),) = PlainBase(base).answers([PROMPTS])
    with torch.no_grad():
        logits = base.forward(base.pad_left([base.prompt_ids(prompt) for prompt in PROMPTS]), keep=1)[:, -1]
    assert [one.text.strip() for one in answers] == [text.strip() for text in base.generate(PROMPTS)]
    assert [one.logits for one in answers] == digests(logits)
