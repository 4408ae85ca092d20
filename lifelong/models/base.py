"""The base model: loading, fingerprint, tokens, and greedy generation. Its weights never change.

Any decoder that `AutoModelForCausalLM` loads will do; nothing here knows an architecture by name.
"""

from __future__ import annotations

import contextlib
import hashlib
import inspect
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from editlog.errors import UsageError
from lifelong.models.chat import Turn, render
from lifelong.models.denormals import denormals_as_zero, start_threads
from lifelong.models.placement import device_of, devices, weight_names, weight_of

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

EMBEDDED = "embedded"
EMBEDDED_PATH = Path(__file__).parent.parent / "embedded" / "base"

GENERATION_BATCH = 128
POSITIONS = 1 << 14
"""Rows times padded length that go through the model at once: bounds the memory that one long text can claim."""


@dataclass(frozen=True)
class Batch:
    """Left-padded rows: `input_ids` and `attention_mask`, both int64 [rows, length]."""

    input_ids: Tensor
    attention_mask: Tensor

    @property
    def position_ids(self) -> Tensor:
        """Positions counted from each row's first real token, int64 [rows, length]."""
        return (self.attention_mask.cumsum(-1) - 1).clamp_min(0)


class Base:
    """A loaded causal language model in evaluation mode."""

    def __init__(self, model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, name: str) -> None:
        if tokenizer.eos_token_id is None:
            raise UsageError(
                f"the tokenizer of {name} has no end-of-text token; set eos_token in its tokenizer_config.json"
            )
        self.model = model.eval()
        self.tokenizer = tokenizer
        self.name = name
        self.placed = ""
        self.chat = False
        self.eos_id: int = tokenizer.eos_token_id
        pad = tokenizer.pad_token_id
        self.pad_id: int = self.eos_id if pad is None else pad
        self._fingerprint: str | None = None
        accepted = inspect.signature(model.forward).parameters
        self._counts_positions = "position_ids" in accepted  # BLOOM and MPT tell places by distance
        self._cuts_logits = "logits_to_keep" in accepted  # some models of their own code do not

    @classmethod
    def load(
        cls, model: str = EMBEDDED, *, device: str = "cpu", dtype: str = "float32", trust_remote_code: bool = False
    ) -> Base:
        """Load a local folder, a hub id, or the embedded model; only safetensors weights.

        `device`: cpu, cuda, cuda:1, mps; auto (accelerate spreads it over what the machine has, if one device does not
        hold it); or a file of JSON with a device map. Code that comes with the model runs only with
        `trust_remote_code`. Raises UsageError with one sentence where the model cannot be loaded, or is an adapter:
        what an adapter is put upon is a path that it names itself.
        """
        from lifelong.models.loading import load

        start_threads()

        path = str(EMBEDDED_PATH) if model == EMBEDDED else model
        try:
            loaded, tokenizer = load(path, device=device, dtype=dtype, trust_remote_code=trust_remote_code)
        except Exception as error:  # a foreign folder makes transformers raise nearly anything
            reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
            if not trust_remote_code and "trust_remote_code" in str(error):
                reason = "it comes with code of its own, which runs only if --trust-remote-code says so"
            raise UsageError(f"cannot load the model {model}: {ascii(reason)[1:-1][:300]}") from error
        base = cls(loaded, tokenizer, model)
        base.placed = device
        return base

    def beside(self, model: str) -> Base:
        """Another model, loaded where, in the dtype in which, and for the use for which this one is; as `load`."""
        other = Base.load(
            model,
            device=self.placed or str(self.device),
            dtype=str(self.model.dtype).removeprefix("torch."),
            trust_remote_code=self.runs_own_code,
        )
        other.use_chat(self.chat)
        return other

    @property
    def runs_own_code(self) -> bool:
        """Whether the model's code came with it."""
        return type(self.model).__module__.startswith("transformers_modules")

    @property
    def device(self) -> torch.device:
        """Where the model takes its inputs and leaves its logits; of most models where all of it lies."""
        return self.device_of("")

    def device_of(self, path: str) -> torch.device:
        """Where the module at a path computes; of a model that a device map spreads, not always `device`."""
        return device_of(self.model, path)

    def weight(self, path: str) -> Tensor:
        """The weight of the module at a path, fetched where a device map keeps it elsewhere."""
        return weight_of(self.model, f"{path}.weight")

    @property
    def devices(self) -> list[str]:
        """Where its weights are kept: one device, or all those of a device map (`disk` is one)."""
        return devices(self.model)

    @property
    def quantised(self) -> bool:
        """Whether the weights are quantised: experts can be attached, but nothing can be merged into them."""
        return getattr(self.model.config, "quantization_config", None) is not None

    @property
    def context(self) -> int | None:
        """How many tokens the model reads at most; None where its configuration does not say."""
        limit: int | None = getattr(self.model.config.get_text_config(), "max_position_embeddings", None)
        return limit

    def fits(self, text: str) -> bool:
        """Whether a text is short enough for the model's context; a token is never less than a byte."""
        if self.context is None or (not self.chat and len(text.encode()) < self.context):
            return True
        return len(self.prompt_ids(text)) < self.context

    @property
    def fingerprint(self) -> str:
        """Tagged SHA-256 over every parameter (name, dtype, shape, bytes) and the tokenizer's vocabulary."""
        if self._fingerprint is None:
            self._fingerprint = self.measure_fingerprint()
        return self._fingerprint

    def measure_fingerprint(self) -> str:
        """Compute the fingerprint from the weights as they are now."""
        digest = hashlib.sha256(b"lifelong/base/v1\x00")
        scales: dict[str, Tensor] = {}
        if self.quantised:  # a quantised weight means nothing without its scales, which are no parameters
            scales = {name: value for name, value in self.model.state_dict().items() if isinstance(value, Tensor)}
        for name in sorted({*weight_names(self.model), *scales}):
            weight = scales[name] if name in scales else weight_of(self.model, name)  # one at a time: it may be on disk
            digest.update(f"{name}\x00{weight.dtype}\x00{tuple(weight.shape)}\x00".encode())
            digest.update(weight.detach().contiguous().cpu().reshape(-1).view(torch.uint8).numpy().data)
        for token, index in sorted(self.tokenizer.get_vocab().items()):
            digest.update(f"{index}\x00{token}\x00".encode())
        return f"sha256:{digest.hexdigest()}"

    @torch.no_grad()
    def reads_ahead(self) -> bool:
        """Whether what is predicted at a token hangs on what comes behind it, as in an encoder."""
        ids = torch.tensor([[0, 0], [0, 1]], device=self.device)  # tokens that every vocabulary has
        one, other = self.forward(Batch(ids, torch.ones_like(ids)))[:, 0].float()
        return not torch.allclose(one, other, rtol=0, atol=1e-4 * float(one.abs().max()))

    @contextlib.contextmanager
    def frozen(self) -> Iterator[None]:
        """Take no gradients for the base's own weights within this block, and denormal numbers for zero.

        Only here: torch multiplies a slice by another kernel where the weights require no gradient, so a model
        that stayed frozen would differ in the last bits from the one that transformers loads.
        """
        free = [parameter for parameter in self.model.parameters() if parameter.requires_grad]
        self.model.requires_grad_(False)
        try:
            with denormals_as_zero():
                yield
        finally:
            for parameter in free:
                parameter.requires_grad_(True)

    @property
    def has_chat_template(self) -> bool:
        """Whether the tokenizer comes with a chat template."""
        return bool(getattr(self.tokenizer, "chat_template", None))

    def use_chat(self, chat: bool) -> None:
        """Put every prompt through the chat template, or none; raises UsageError where there is no template."""
        if chat and not self.has_chat_template:
            raise UsageError(
                f"the tokenizer of {self.name} has no chat template; leave `chat` out of the configuration"
            )
        self.chat = chat

    def text_of(self, prompt: str) -> str:
        """What the model reads for a prompt: its text, or, of a chat model, the conversation it ends."""
        if self.chat:
            return render(self.tokenizer, prompt)
        if isinstance(prompt, Turn) and prompt.before:
            raise UsageError(f"{self.name} is not used as a chat model here, so it takes no earlier messages")
        return prompt

    def prompt_ids(self, prompt: str) -> list[int]:
        """The tokens of a prompt exactly as generation feeds them."""
        return self._ids(self.text_of(prompt))

    def _ids(self, text: str) -> list[int]:
        # A chat template writes the special tokens itself.
        return list(self.tokenizer(text, add_special_tokens=not self.chat)["input_ids"])

    def answer_ids(self, prompt: str, target: str) -> list[int]:
        """The tokens that must follow the prompt for `target` to be generated and to end: target + end-of-text.

        The join is the one a reader would write: a space, unless the prompt already ends in white space.
        """
        text = self.text_of(prompt)
        separator = "" if text[-1:].isspace() else " "
        head = self._ids(text)
        whole = self._ids(text + separator + target)
        if whole[: len(head)] != head:
            whole = head + list(self.tokenizer(separator + target, add_special_tokens=False)["input_ids"])
        return [*whole[len(head) :], self.eos_id]

    def pad_left(self, rows: Sequence[Sequence[int]]) -> Batch:
        """Stack token rows of different lengths, padding on the left, on the model's device."""
        length = max(len(row) for row in rows)
        ids = torch.full((len(rows), length), self.pad_id, dtype=torch.long)
        mask = torch.zeros((len(rows), length), dtype=torch.long)
        for i, row in enumerate(rows):
            ids[i, length - len(row) :] = torch.tensor(row, dtype=torch.long)
            mask[i, length - len(row) :] = 1
        return Batch(ids.to(self.device), mask.to(self.device))

    def forward(self, batch: Batch, *, keep: int = 0, **kwargs: Any) -> Tensor:
        """Logits [rows, keep or length, vocabulary] of the last `keep` positions (0: all)."""
        options: dict[str, Any] = {"use_cache": False, **kwargs}
        if self._counts_positions:
            options["position_ids"] = batch.position_ids
        if self._cuts_logits:
            options["logits_to_keep"] = keep
        with contextlib.nullcontext() if self._cuts_logits else self._cutting(keep):
            logits: Tensor = self.model(
                input_ids=batch.input_ids, attention_mask=batch.attention_mask, **options
            ).logits
        return logits

    @contextlib.contextmanager
    def _cutting(self, keep: int) -> Iterator[None]:
        """Show the head the last `keep` positions only, as `logits_to_keep` does where a model has it."""
        head: nn.Module = self.model.get_output_embeddings()
        cut = head.register_forward_pre_hook(lambda _, inputs: (inputs[0][:, -keep:], *inputs[1:]), prepend=True)
        try:
            yield
        finally:
            cut.remove()

    @torch.no_grad()
    def generate(self, prompts: Sequence[str], *, max_new_tokens: int = 32, **options: Any) -> list[str]:
        """Continue each prompt until end-of-text or `max_new_tokens`; greedy unless `options` say otherwise.

        `options` go to transformers' `generate`. Returns the new text alone, one string for each returned
        sequence (`num_return_sequences` of them for each prompt, in the prompts' order).
        """
        if not prompts:
            return []
        batch = self.pad_left([self.prompt_ids(prompt) for prompt in prompts])
        options = {"do_sample": False, **options}
        output = self.model.generate(
            input_ids=batch.input_ids,
            attention_mask=batch.attention_mask,
            max_new_tokens=max_new_tokens,
            pad_token_id=self.pad_id,
            eos_token_id=self.eos_id,
            **options,
        )
        new = output[:, batch.input_ids.shape[1] :]
        texts: list[str] = self.tokenizer.batch_decode(
            new, skip_special_tokens=True, clean_up_tokenization_spaces=False
        )
        return texts


def batches_by_length(lengths: Sequence[int], size: int) -> Iterator[list[int]]:
    """Indices in batches of at most `size`, alike in length so that little is padded; a stable order."""
    order = sorted(range(len(lengths)), key=lambda i: lengths[i])
    for part in runs([lengths[i] for i in order], size):
        yield order[part]


def runs(lengths: Sequence[int], size: int) -> Iterator[slice]:
    """Cut rows into consecutive runs of at most `size`, and of fewer where padding would make too many positions."""
    start, longest = 0, 0
    for place, length in enumerate(lengths):
        longest = max(longest, length)
        if place > start and (place - start == size or (place - start + 1) * longest > POSITIONS):
            yield slice(start, place)
            start, longest = place, length
    if start < len(lengths):
        yield slice(start, len(lengths))
