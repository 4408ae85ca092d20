"""Encoders of several seeds in one network: it speaks with the mean of their voices."""

import numpy as np
import pytest

pytest.importorskip("torch")

from lifelong.anchors.encoder import MaskedEncoder
from pretraining.encoder.join import of_unit_length, side_by_side, with_byte_table, with_narrow_output

FORMS = ("Who is the {} of [X]?", "What is the {} of [X]?", "The {} of [X]")
TEXTS = [form.format(word) for form in FORMS for word in ("owner", "mayor", "seat")]


def network(seed):
    draw = np.random.default_rng(seed)
    shapes = {"embeddings": (512, 6), "hidden": (12, 8), "hidden_bias": (8,), "output": (8, 5), "output_bias": (5,)}
    return {part: draw.normal(size=shape).astype(np.float32) for part, shape in shapes.items()}


@pytest.fixture
def seeds():
    return [of_unit_length(network(seed), TEXTS) for seed in (0, 1)]


def cosines(tensors):
    rows = MaskedEncoder("test", tensors).encode(TEXTS)
    return rows @ rows.T


def test_the_joined_network_says_what_each_says_side_by_side(seeds):
    joined = MaskedEncoder("joined", side_by_side(seeds)).encode(TEXTS)
    for half, alone in zip(np.split(joined, 2, axis=1), seeds, strict=True):
        said = half / np.linalg.norm(half, axis=1, keepdims=True)
        assert np.allclose(said, MaskedEncoder("alone", alone).encode(TEXTS), atol=1e-5)


def test_a_table_in_bytes_hardly_changes_a_cosine(seeds):
    joined = side_by_side(seeds)
    kept = with_byte_table(joined)
    assert kept["embeddings"].dtype == np.int8
    assert np.abs(cosines(kept) - cosines(joined)).max() < 0.03


def test_outputs_of_fewer_directions_keep_the_cosines_of_texts_that_span_no_more(seeds):
    joined = side_by_side(seeds)
    kept = with_narrow_output(joined, TEXTS, len(TEXTS))
    assert kept["output"].shape[1] == len(TEXTS) < joined["output"].shape[1]
    assert np.allclose(cosines(kept), cosines(joined), atol=1e-4)
