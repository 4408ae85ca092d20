"""Training: seeded, resumable, a fixed number of steps, warm-up, stable and decay.

Contract: `train` continues from the checkpoint in the work folder, if there is one, and ends at
`settings.steps`. The state before the decay is kept as `stable.pt`, so that a later version can continue
from there at full rate.
"""

import logging
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch.nn.functional import cross_entropy
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerBase

from pretraining.batches import IGNORED, Batch, Batches
from pretraining.muon import Muon
from pretraining.settings import Settings

CHECKPOINT, STABLE = "checkpoint.pt", "stable.pt"
_LOG_EVERY = 20
_LARGEST_GRADIENT = 1.0
_LOG = logging.getLogger(__name__)


@dataclass
class Progress:
    """How far training has come, over all its restarts."""

    step: int = 0
    tokens: int = 0
    device: str = ""
    seconds: float = 0.0
    losses: list[dict[str, float]] = field(default_factory=list)


def new_model(tokenizer: PreTrainedTokenizerBase, settings: Settings) -> LlamaForCausalLM:
    """Return the randomly initialised model; the same weights for the same seed."""
    torch.manual_seed(settings.seed)
    config = LlamaConfig(
        vocab_size=settings.vocabulary,
        hidden_size=settings.hidden,
        intermediate_size=settings.feed_forward,
        num_hidden_layers=settings.layers,
        num_attention_heads=settings.heads,
        num_key_value_heads=settings.heads,
        max_position_embeddings=settings.positions,
        tie_word_embeddings=True,
        bos_token_id=None,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
        attn_implementation="sdpa",
        dtype="float32",
    )
    return LlamaForCausalLM(config)


def rate_share(step: int, settings: Settings) -> float:
    """Return the share of the peak rates at a step: linear warm-up, constant, then linear decay to zero."""
    rise = (step + 1) / settings.warmup_steps
    fall = (settings.steps - step) / settings.decay_steps
    return min(1.0, rise, fall)


def batch_loss(model: LlamaForCausalLM, batch: Batch) -> torch.Tensor:
    """Return the mean loss over the labelled positions; the vocabulary is spread out at those alone."""
    states = model.model(input_ids=batch.ids, use_cache=False).last_hidden_state
    learned = batch.labels != IGNORED
    return cross_entropy(model.lm_head(states[learned]), batch.labels[learned])


class Optimisers:
    """Muon for the matrices inside the layers, AdamW for embeddings and scales; one schedule for both."""

    def __init__(self, model: LlamaForCausalLM, settings: Settings) -> None:
        inside = [weight for weight in model.model.layers.parameters() if weight.ndim == 2]
        scales = [weight for weight in model.parameters() if weight.ndim < 2]
        table = model.get_input_embeddings().weight
        groups = [{"params": [table], "weight_decay": settings.weight_decay}, {"params": scales, "weight_decay": 0.0}]
        self._settings = settings
        self._all: dict[str, tuple[torch.optim.Optimizer, float]] = {
            "muon": (Muon(inside, settings.matrix_rate, weight_decay=settings.weight_decay), settings.matrix_rate),
            "adamw": (
                torch.optim.AdamW(groups, lr=settings.embedding_rate, betas=(0.9, 0.98), fused=True),
                settings.embedding_rate,
            ),
        }

    def step(self, number: int) -> None:
        """Take step `number` at the schedule's rate, and forget the gradients."""
        share = rate_share(number, self._settings)
        for optimiser, peak in self._all.values():
            for group in optimiser.param_groups:
                group["lr"] = peak * share
            optimiser.step()
            optimiser.zero_grad(set_to_none=True)

    def state_dict(self) -> dict[str, Any]:
        """Return the state of all of them."""
        return {name: optimiser.state_dict() for name, (optimiser, _) in self._all.items()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take up a saved state."""
        for name, (optimiser, _) in self._all.items():
            optimiser.load_state_dict(state[name])


def _save(path: Path, model: LlamaForCausalLM, optimisers: Optimisers, progress: Progress) -> None:
    state = {"model": model.state_dict(), "optimisers": optimisers.state_dict(), "progress": vars(progress)}
    temporary = path.with_suffix(".tmp")
    torch.save(state, temporary)
    temporary.replace(path)


def load_progress(folder: Path) -> Progress:
    """Return how far the training in this folder has come."""
    path = folder / CHECKPOINT
    return (
        Progress(**torch.load(path, map_location="cpu", weights_only=True)["progress"]) if path.exists() else Progress()
    )


def _resume(path: Path, model: LlamaForCausalLM, optimisers: Optimisers, device: torch.device) -> Progress:
    if not path.exists():
        return Progress()
    state = torch.load(path, map_location=device, weights_only=True)
    model.load_state_dict(state["model"])
    optimisers.load_state_dict(state["optimisers"])
    return Progress(**state["progress"])


def train(
    batches: Batches,
    tokenizer: PreTrainedTokenizerBase,
    folder: Path,
    settings: Settings,
    on_checkpoint: Callable[[Progress], None] = lambda progress: None,
) -> LlamaForCausalLM:
    """Train to the last step and return the model, on the accelerator where there is one."""
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    model = new_model(tokenizer, settings).to(device).train()
    optimisers = Optimisers(model, settings)
    progress = _resume(folder / CHECKPOINT, model, optimisers, device)
    progress.device = "one GPU" if device.type == "cuda" else f"{torch.get_num_threads()} CPU threads"
    weights = {"facts": 1.0, "notes": settings.note_weight, "text": settings.text_weight}
    first_decay_step = settings.steps - settings.decay_steps
    started = time.monotonic() - progress.seconds
    for step in range(progress.step, settings.steps):
        if step == first_decay_step:
            _save(folder / STABLE, model, optimisers, progress)
        parts = {"notes": batches.notes_at(step), "text": batches.text_at(step)}
        if step >= settings.note_first_steps:
            parts["facts"] = batches.facts_at(step)
        losses = {}
        for name, part in parts.items():
            loss = batch_loss(model, part.to(device))
            (weights[name] * loss).backward()
            losses[name] = loss.detach()
        torch.nn.utils.clip_grad_norm_(model.parameters(), _LARGEST_GRADIENT)
        optimisers.step(step)
        progress.step = step + 1
        progress.tokens += sum(part.ids.numel() for part in parts.values())
        progress.seconds = time.monotonic() - started
        if progress.step % _LOG_EVERY == 0:
            values = {name: round(loss.item(), 4) for name, loss in losses.items()}
            progress.losses.append({"step": progress.step, **values})
            _LOG.info("step %s/%s: %s, %.0f s", progress.step, settings.steps, values, progress.seconds)
        if progress.step % settings.checkpoint_every == 0 or progress.step == settings.steps:
            _save(folder / CHECKPOINT, model, optimisers, progress)
            on_checkpoint(progress)
    return model.eval()


def trained_model(tokenizer: PreTrainedTokenizerBase, folder: Path, settings: Settings) -> LlamaForCausalLM:
    """Return the model of the checkpoint in the folder."""
    model = new_model(tokenizer, settings)
    model.load_state_dict(torch.load(folder / CHECKPOINT, map_location="cpu", weights_only=True)["model"])
    return model.eval()
