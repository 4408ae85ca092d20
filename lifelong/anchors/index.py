"""Recall: the nearest anchors of a query, by exact inner product on one thread.

The vectors are kept as halves, as they are on disk, so a search reads half the memory and takes half the time
(docs/LOG.md); the product is exact in float32.

The only module of the gate that imports faiss, and only once an index is built: what merely names a snapshot (status,
rollback) starts without it.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
from numpy.typing import NDArray


def _faiss() -> Any:
    """faiss, loaded after torch: the other order gives each its own OpenMP pool."""
    import torch  # noqa: F401, I001

    import faiss

    return faiss


class AnchorIndex:
    """A flat index over anchor vectors; built whole, never changed."""

    def __init__(self, vectors: NDArray[np.float32], ids: NDArray[np.int64]) -> None:
        """Index `vectors` [n, dim] under `ids` [n]; raises ValueError unless they are finite and unique."""
        if len(ids) != len(vectors) or len(np.unique(ids)) != len(ids):
            raise ValueError("every anchor needs an id of its own")
        if not np.isfinite(vectors).all():
            raise ValueError("an anchor vector is not finite")
        faiss = _faiss()
        flat = faiss.IndexScalarQuantizer(vectors.shape[1], faiss.ScalarQuantizer.QT_fp16, faiss.METRIC_INNER_PRODUCT)
        self._index = faiss.IndexIDMap2(flat)
        if len(ids):
            self._index.add_with_ids(np.ascontiguousarray(vectors, dtype=np.float32), ids)

    def __len__(self) -> int:
        return int(self._index.ntotal)

    def search(self, queries: NDArray[np.float32], k: int) -> NDArray[np.int64]:
        """Ids [m, k] of the nearest anchors, best first; -1 where there are fewer, or the query is not
        finite."""
        k_found = min(k, len(self))
        out = np.full((len(queries), k), -1, dtype=np.int64)
        if k_found and len(queries):
            finite = np.isfinite(queries).all(axis=1, keepdims=True)
            with _one_thread():
                _, ids = self._index.search(np.where(finite, queries, 0).astype(np.float32), k_found)
            out[:, :k_found] = np.where(finite, ids, -1)
        return out


@contextmanager
def _one_thread() -> Iterator[None]:
    """Two threads make a small search on a busy machine 500 times slower; torch's pool is the same one, so
    put it back."""
    faiss = _faiss()
    threads = faiss.omp_get_max_threads()
    faiss.omp_set_num_threads(1)
    try:
        yield
    finally:
        faiss.omp_set_num_threads(threads)
