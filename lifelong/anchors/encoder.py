"""Masked wordings to vectors: the wording of a relation, whatever the subject.

An encoder is named, versioned and fingerprinted; a gate refuses vectors of another encoder. Texts are
embedded in chunks of one fixed, padded shape, so that a row does not depend on the rows it is embedded with.
numpy only: neither torch nor transformers is imported here.
"""

from __future__ import annotations

import hashlib
import zlib
from collections.abc import Mapping, Sequence
from functools import lru_cache
from itertools import pairwise
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray
from safetensors import safe_open

from lifelong.anchors.text import MASK, words

CHUNK = 16
DATA = Path(__file__).parent / "data"
PARTS = ("embeddings", "hidden", "hidden_bias", "output", "output_bias")
RELATIONS = "relations"
GRAMS = (3, 4, 5)
REMEMBERED = 1 << 15
"""Texts whose vectors are kept: each job embeds the wordings of the whole log, nearly all of them again."""

Vectors = NDArray[np.float32]


class Encoder(Protocol):
    """What a gate needs of an encoder."""

    @property
    def name(self) -> str:
        """Name and version, for people."""

    @property
    def fingerprint(self) -> str:
        """Tagged hash of everything that decides a vector."""

    @property
    def dim(self) -> int:
        """Width of the vectors."""

    @property
    def relations(self) -> Vectors:
        """The middle of the wordings of each relation that it was taught, [n, dim], normalised; none where unknown."""

    def encode(self, texts: Sequence[str]) -> Vectors:
        """Embed masked texts: [n, dim], float32, L2-normalised; equal texts give equal bytes in any call."""


class Features:
    """A masked text as two bags of buckets: words with word pairs, and letter n-grams."""

    def __init__(self, buckets: int) -> None:
        self.buckets = buckets
        self._grams = lru_cache(maxsize=1 << 15)(self._grams_of)

    def __call__(self, text: str) -> tuple[list[int], list[int]]:
        """Bucket numbers of words and pairs, and of n-grams; each bag holds at least one."""
        sequence = ["^", *_tokens(text), "$"]
        pairs = [f"{a} {b}" for a, b in pairwise(sequence)]
        bag = [self._bucket(f"w:{token}") for token in (*sequence[1:-1], *pairs)]
        grams = [gram for token in sequence[1:-1] if token != MASK for gram in self._grams(token)]
        return bag, grams or [self._bucket("g:")]

    def _bucket(self, feature: str) -> int:
        return zlib.crc32(feature.encode()) % self.buckets

    def _grams_of(self, token: str) -> tuple[int, ...]:
        edged = f"<{token}>"
        return tuple(
            self._bucket(f"g:{edged[i : i + size]}") for size in GRAMS for i in range(max(1, len(edged) - size + 1))
        )


def _tokens(text: str) -> list[str]:
    """Folded words, the mask and question marks, in order."""
    tokens = []
    for i, piece in enumerate(text.split(MASK)):
        tokens += [MASK] if i else []
        tokens += [word.text for word in words(piece)]
    return [*tokens, "?"] if text.rstrip().endswith("?") else tokens


def _means(table: NDArray[Any], bags: Sequence[Sequence[int]]) -> Vectors:
    """Mean row of `table` for each bag, [n, width]."""
    flat = np.fromiter((i for bag in bags for i in bag), dtype=np.int64)
    sizes = np.array([len(bag) for bag in bags])
    starts = np.concatenate([[0], np.cumsum(sizes)[:-1]])
    sums = np.add.reduceat(table[flat], starts, axis=0, dtype=np.float32)
    return np.asarray(sums / sizes[:, None], dtype=np.float32)


def _normalised(rows: Vectors) -> Vectors:
    lengths = np.sqrt(np.sum(rows * rows, axis=1, keepdims=True))
    return np.asarray(rows / np.where(lengths > 0, lengths, 1), dtype=np.float32)


class LexicalEncoder:
    """Nothing learned: bags of words and n-grams through a fixed random projection (the baseline)."""

    name = "lexical-1"

    def __init__(self, dim: int = 256, buckets: int = 1 << 15) -> None:
        self.dim = dim
        self.relations = np.zeros((0, dim), dtype=np.float32)
        self._features = Features(buckets)
        signs = np.random.Generator(np.random.PCG64(1)).bytes(buckets * dim // 8)
        bits = np.unpackbits(np.frombuffer(signs, dtype=np.uint8)).reshape(buckets, dim)
        self._table = bits.astype(np.int8) * 2 - 1
        self.fingerprint = f"sha256:{hashlib.sha256(f'{self.name} {dim} '.encode() + signs).hexdigest()}"

    def encode(self, texts: Sequence[str]) -> Vectors:
        """Embed masked texts, [n, dim]."""
        out = np.zeros((len(texts), self.dim), dtype=np.float32)
        for start in range(0, len(texts), CHUNK):
            bags = [self._features(text) for text in texts[start : start + CHUNK]]
            both = _means(self._table, [bag for bag, _ in bags]) + _means(self._table, [grams for _, grams in bags])
            out[start : start + len(bags)] = _normalised(both)
        return out


class MaskedEncoder:
    """Learned on the wordings of relations: two bags of embeddings through a small network.

    `tensors`: embeddings [buckets, d], hidden [2d, h] with bias [h], output [h, dim] with bias [dim]; and where they
    are known, `relations` [n, dim].
    """

    def __init__(self, name: str, tensors: Mapping[str, NDArray[Any]]) -> None:
        """Raises ValueError where the tensors do not fit each other."""
        self.name = name
        self._embeddings, self._hidden, self._hidden_bias, self._output, self._output_bias = (
            np.ascontiguousarray(tensors[part], dtype=np.float32) for part in PARTS
        )
        (buckets, d), (_, hidden), self.dim = (
            self._embeddings.shape,
            self._hidden.shape,
            len(self._output_bias),
        )
        self.relations = np.asarray(tensors.get(RELATIONS, np.zeros((0, self.dim))), dtype=np.float32)
        fitting = [(2 * d, hidden), (hidden, self.dim), (len(self.relations), self.dim)]
        if [part.shape for part in (self._hidden, self._output, self.relations)] != fitting:
            raise ValueError(f"the tensors of encoder {name} do not fit each other")
        self._features = Features(buckets)
        self._known: dict[str, Vectors] = {}
        given = [tensors[part] for part in (*PARTS, RELATIONS) if part in tensors]
        content = b"".join(np.ascontiguousarray(part).tobytes() for part in given)
        self.fingerprint = f"sha256:{hashlib.sha256(name.encode() + content).hexdigest()}"

    def encode(self, texts: Sequence[str]) -> Vectors:
        """Embed masked texts, [n, dim]."""
        found = {text: vector for text in texts if (vector := self._known.get(text)) is not None}
        new = [text for text in dict.fromkeys(texts) if text not in found]
        for start in range(0, len(new), CHUNK):
            chunk = new[start : start + CHUNK]
            found.update(zip(chunk, self._forward([self._features(text) for text in chunk]), strict=False))
        if len(self._known) > REMEMBERED:
            self._known = {}
        self._known.update((text, found[text]) for text in new[:REMEMBERED])
        return np.stack([found[text] for text in texts]) if texts else np.zeros((0, self.dim), dtype=np.float32)

    def _forward(self, bags: Sequence[tuple[list[int], list[int]]]) -> Vectors:
        """[CHUNK, dim] whatever the number of bags: a product of another shape could round otherwise."""
        rows = np.zeros((CHUNK, self._hidden.shape[0]), dtype=np.float32)
        half = self._embeddings.shape[1]
        rows[: len(bags), :half] = _means(self._embeddings, [bag for bag, _ in bags])
        rows[: len(bags), half:] = _means(self._embeddings, [grams for _, grams in bags])
        hidden = _gelu(rows @ self._hidden + self._hidden_bias)
        return _normalised(hidden @ self._output + self._output_bias)


def _gelu(x: Vectors) -> Vectors:
    """GELU in its tanh form, as in training."""
    return np.asarray(0.5 * x * (1 + np.tanh(np.float32(0.7978845608) * (x + np.float32(0.044715) * x**3))))


def read_encoder(path: Path) -> MaskedEncoder:
    """Read an encoder's file; its name is in the metadata. The relations it was taught lie beside it."""
    with safe_open(path, framework="np") as file:
        name, tensors = file.metadata()["name"], {part: file.get_tensor(part) for part in PARTS}
    beside = relations_beside(path)
    if beside.exists():
        with safe_open(beside, framework="np") as file:
            tensors[RELATIONS] = file.get_tensor(RELATIONS)
    return MaskedEncoder(name, tensors)


def relations_beside(path: Path) -> Path:
    """The file of the relations that the encoder in `path` was taught."""
    return path.with_suffix(f".{RELATIONS}.safetensors")


@lru_cache(maxsize=1)
def default_encoder() -> Encoder:
    """The encoder that is shipped; loaded once a process."""
    return read_encoder(DATA / "encoder.safetensors")
