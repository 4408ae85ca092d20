"""Preparation: what a recipe must learn once per base, such as statistics of its activations, and its cache.

It is learned from a corpus: a file of texts, one a line, or text that the base generates itself. What was learned is
kept under the name of everything that shaped it, in LIFELONG_CACHE or the user's cache folder, and can be thrown
away at any time.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from editlog.canonical import canonical_json, sha256
from editlog.errors import IntegrityError, UsageError
from lifelong.editors.state import State, read_state, write_state
from lifelong.files import write_atomically
from lifelong.models.base import Base

CACHE_VARIABLE = "LIFELONG_CACHE"
MAX_CORPUS_BYTES = 256 << 20
GENERATED_TEXTS = 512
GENERATED_TOKENS = 96
_BATCH = 64


@dataclass(frozen=True)
class Corpus:
    """Where text comes from: a UTF-8 file with a text on each line, or, None, the base itself."""

    path: Path | None = None

    def digest(self) -> str:
        """What names the corpus: the SHA-256 of the file, or the word for generated text.

        Raises UsageError where the file cannot be read.
        """
        if self.path is None:
            return f"generated-{GENERATED_TEXTS}x{GENERATED_TOKENS}"
        return hashlib.sha256(self._read()).hexdigest()

    def texts(self, base: Base) -> list[str]:
        """The texts, none empty; the same every time."""
        if self.path is None:
            return _remembered(base)
        lines = self._read().decode("utf-8", "replace").splitlines()
        return [line.strip() for line in lines if line.strip()]

    def _read(self) -> bytes:
        assert self.path is not None
        try:
            if self.path.stat().st_size > MAX_CORPUS_BYTES:
                raise UsageError(
                    f"the corpus {self.path} is larger than {MAX_CORPUS_BYTES >> 20} MiB; take a part of it"
                )
            content = self.path.read_bytes()
        except OSError as error:
            raise UsageError(f"the corpus {self.path} cannot be read: {error.strerror}") from error
        if not content.strip():
            raise UsageError(f"the corpus {self.path} is empty; it needs a text on each line")
        return content


def _remembered(base: Base) -> list[str]:
    """What the base generates, sampled once and kept: it is what takes longest, and most recipes ask for it."""
    shape = {"base": base.fingerprint, "corpus": Corpus().digest(), "what": "texts", "dials": {}}
    texts: list[str] = (_kept(shape, lambda: State({}, meta={"texts": generated(base)})).meta or {})["texts"]
    return texts


@torch.no_grad()
def generated(base: Base, *, count: int = GENERATED_TEXTS, tokens: int = GENERATED_TOKENS) -> list[str]:
    """Texts that the base samples, each begun by a token of its vocabulary drawn with a fixed seed."""
    device = base.device
    vocabulary = base.model.get_input_embeddings().weight.shape[0]
    special = set(base.tokenizer.all_special_ids)
    ordinary = torch.tensor([i for i in range(min(vocabulary, len(base.tokenizer))) if i not in special])
    texts: list[str] = []
    with torch.random.fork_rng():
        torch.manual_seed(0)
        for start in range(0, count, _BATCH):
            first = ordinary[torch.randint(len(ordinary), (min(_BATCH, count - start), 1))].to(device)
            made = base.model.generate(
                input_ids=first,
                attention_mask=torch.ones_like(first),
                do_sample=True,
                max_new_tokens=min(tokens, (base.context or tokens + 1) - 1),
                pad_token_id=base.pad_id,
                eos_token_id=base.eos_id,
            )
            texts += base.tokenizer.batch_decode(made, skip_special_tokens=True, clean_up_tokenization_spaces=False)
    return [text for text in texts if text.strip()]


def prepared(
    base: Base, corpus: Corpus, *, what: str, dials: Mapping[str, Any], learn: Callable[[list[str]], State]
) -> State:
    """What `learn` makes of the corpus, or made of it before: kept by base, corpus, `what` it is, and its dials."""
    shape = {"base": base.fingerprint, "corpus": corpus.digest(), "what": what, "dials": dict(dials)}
    return _kept(shape, lambda: learn(corpus.texts(base)))


def _kept(shape: Mapping[str, Any], learn: Callable[[], State]) -> State:
    """What `learn` gives, or gave before for the same shape."""
    directory = cache_directory()
    pointer = directory / f"{sha256(b'lifelong/preparation/v1' + bytes(1), canonical_json(shape)).hex()}.name"
    try:
        return read_state(directory, pointer.read_text(encoding="ascii").strip())
    except (FileNotFoundError, IntegrityError, UnicodeDecodeError):
        learned = learn()
        write_atomically(pointer, write_state(directory, learned).encode(), point="preparation")
        return learned


def cache_directory() -> Path:
    """$LIFELONG_CACHE, else `lifelong` in the user's cache folder."""
    own = os.environ.get(CACHE_VARIABLE)
    return Path(own) if own else Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "lifelong"
