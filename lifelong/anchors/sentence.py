"""An optional encoder: a sentence-transformers model of the user's own, put to masked wordings.

The package is not among the requirements (extra `sentence`); nothing is imported before such an encoder is asked
for. Texts are embedded one by one, because a padded batch would change the last bits of a row.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

import numpy as np

from editlog.errors import UsageError
from lifelong.anchors.encoder import Vectors
from lifelong.anchors.text import MASK

FAMILY = "sentence-transformers"
# A plain word, for a model that has never seen our mask.
STAND_IN = "this"


class SentenceEncoder:
    """`model`: a folder or a hub id, as sentence-transformers takes it."""

    def __init__(self, model: str) -> None:
        """Raises UsageError where the package or the model is missing."""
        try:
            from sentence_transformers import SentenceTransformer  # type: ignore[import-not-found,unused-ignore]
        except ImportError as error:
            raise UsageError(
                f"the encoder {FAMILY}:{model} needs a package that is not installed;"
                " install it with `pip install 'lifelong[sentence]'`"
            ) from error
        try:
            self._model = SentenceTransformer(model, device="cpu")
        except (OSError, ValueError) as error:
            raise UsageError(f"the encoder {FAMILY}:{model} cannot be loaded: {error}") from error
        self.name = f"{FAMILY}:{model}"
        # Renamed in sentence-transformers 5.4; the old name goes away.
        width = getattr(self._model, "get_embedding_dimension", None) or self._model.get_sentence_embedding_dimension
        self.dim = int(width())
        self.relations: Vectors = np.zeros((0, self.dim), dtype=np.float32)
        self.fingerprint = self._fingerprint()

    def encode(self, texts: Sequence[str]) -> Vectors:
        """Embed masked texts, [n, dim]."""
        out = np.zeros((len(texts), self.dim), dtype=np.float32)
        for row, text in enumerate(texts):
            out[row] = self._model.encode(
                text.replace(MASK, STAND_IN), normalize_embeddings=True, show_progress_bar=False
            )
        return out

    def _fingerprint(self) -> str:
        """Hash of the weights, not of the name: the same model in another folder makes the same vectors."""
        digest = hashlib.sha256(f"{FAMILY} {STAND_IN}".encode())
        for name, tensor in sorted(self._model.state_dict().items()):
            digest.update(name.encode())
            digest.update(np.ascontiguousarray(tensor.detach().cpu().float().numpy()).tobytes())
        return f"sha256:{digest.hexdigest()}"
