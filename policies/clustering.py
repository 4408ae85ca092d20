"""Clustering: k-means over texts, for grouping policies that plan the order of edits.

Texts are compared as bags of hashed words, so that nothing has to be learned or loaded; the start is fixed, so equal
texts give equal clusters on every machine.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

WIDTH = 256
ROUNDS = 25
_WORD = re.compile(r"\w+")

Floats = NDArray[np.float64]


def text_vectors(texts: Sequence[str]) -> Floats:
    """Unit vectors [texts, WIDTH]: signed hashed words, each weighed by how few of the texts have it."""
    words = [set(_WORD.findall(text.casefold())) for text in texts]
    seen: dict[str, int] = {}
    for own in words:
        for word in own:
            seen[word] = seen.get(word, 0) + 1
    vectors = np.zeros((len(texts), WIDTH))
    for row, own in enumerate(words):
        for word in sorted(own):
            digest = hashlib.sha256(word.encode()).digest()
            sign = 1.0 if digest[4] & 1 else -1.0
            vectors[row, int.from_bytes(digest[:4], "big") % WIDTH] += sign * np.log((1 + len(texts)) / seen[word])
    lengths: Floats = np.linalg.norm(vectors, axis=1, keepdims=True)
    unit: Floats = vectors / np.maximum(lengths, 1e-12)
    return unit


def k_means(vectors: Floats, clusters: int) -> NDArray[np.int64]:
    """The cluster of each vector [n, width], int64 [n], by Lloyd's rounds from centres that lie farthest apart.

    The first centre is the vector nearest to the mean, each further one that which is farthest from those before. Of
    equally near centres the earlier wins; a cluster that loses all of its vectors keeps its centre.
    """
    if not len(vectors):
        return np.zeros(0, dtype=np.int64)
    first = int(_distances(vectors, vectors.mean(0, keepdims=True))[:, 0].argmin())
    chosen, nearest = [first], _distances(vectors, vectors[[first]])[:, 0]
    while len(chosen) < min(clusters, len(vectors)):
        chosen.append(int(nearest.argmax()))
        nearest = np.minimum(nearest, _distances(vectors, vectors[[chosen[-1]]])[:, 0])
    centres = vectors[chosen]
    of_vector = np.full(len(vectors), -1, dtype=np.int64)
    for _ in range(ROUNDS):
        found = _distances(vectors, centres).argmin(1)
        if (found == of_vector).all():
            break
        of_vector = found
        for cluster in np.unique(found):
            centres[cluster] = vectors[found == cluster].mean(0)
    return of_vector


def _distances(vectors: Floats, centres: Floats) -> Floats:
    """Squared distances, [vectors, centres]."""
    squares: Floats = (vectors**2).sum(1)[:, None] - 2 * vectors @ centres.T + (centres**2).sum(1)[None]
    return squares
