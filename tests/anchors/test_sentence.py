"""The optional encoder goes through the same interface as the shipped one, and is asked for by name."""

import sys
import types

import numpy as np
import pytest
import torch

from editlog.errors import IntegrityError, UsageError
from lifelong.anchors.encoder import LexicalEncoder, default_encoder
from lifelong.anchors.encoders import encoder_named
from lifelong.anchors.gate import Gate, LocalityBudget, ScopedFact
from policies.recipe import parse_recipe

FACTS = [
    ScopedFact(1, "Ada Lovelace was born in", "Ada Lovelace"),
    ScopedFact(2, "Who was Charles Babbage married to?", "Charles Babbage"),
]


class FakeModel:
    """Stands in for sentence_transformers.SentenceTransformer: bags of words, and one weight to tell models apart."""

    def __init__(self, name, device):
        if name == "missing":
            raise OSError("missing is not a folder or a model")
        self._weight = float(len(name))
        self._bags = LexicalEncoder()

    def get_embedding_dimension(self):
        return self._bags.dim

    def state_dict(self):
        return {"weight": torch.tensor([self._weight])}

    def encode(self, text, normalize_embeddings, show_progress_bar):
        assert normalize_embeddings
        assert "[X]" not in text, "a model that has never seen our mask"
        return self._bags.encode([text])[0]


@pytest.fixture
def package(monkeypatch):
    monkeypatch.setitem(sys.modules, "sentence_transformers", types.SimpleNamespace(SentenceTransformer=FakeModel))
    encoder_named.cache_clear()
    yield
    encoder_named.cache_clear()


def test_a_recipe_names_it_and_a_gate_is_built_and_read_back_with_it(package, tmp_path):
    recipe = parse_recipe('[routing]\nencoder = "sentence-transformers:small"')
    gate = Gate.build(FACTS, encoder=encoder_named(recipe.routing.encoder), budget=LocalityBudget())
    assert gate.route(["Ada Lovelace was born in"])[0].fact == 1
    gate.save(tmp_path)
    loaded = Gate.load(tmp_path)
    assert loaded.encoder.name == "sentence-transformers:small"
    prompts = ["Ada Lovelace was born in", "Where was Ada Lovelace born?", "Who wrote Hamlet?"]
    assert loaded.route(prompts) == gate.route(prompts)


def test_equal_texts_have_equal_bytes_in_any_call(package):
    encoder = encoder_named("sentence-transformers:small")
    texts = ["Where was [X] born?", "[X] died in", ""]
    together = encoder.encode(texts)
    assert together.dtype == np.float32
    assert all(np.array_equal(together[i], encoder.encode([text])[0]) for i, text in enumerate(texts))


def test_another_model_has_another_fingerprint_and_its_vectors_are_refused(package, tmp_path):
    one, other = (encoder_named(f"sentence-transformers:{name}") for name in ("small", "larger"))
    assert one.fingerprint != other.fingerprint
    Gate.build(FACTS, encoder=one, budget=LocalityBudget()).save(tmp_path)
    with pytest.raises(IntegrityError, match="lifelong rebuild"):
        Gate.load(tmp_path, encoder=other)


def test_a_missing_package_or_model_is_one_clear_sentence(monkeypatch, package):
    with pytest.raises(UsageError, match="cannot be loaded: missing is not a folder"):
        encoder_named("sentence-transformers:missing")
    monkeypatch.setitem(sys.modules, "sentence_transformers", None)
    with pytest.raises(UsageError, match=r"pip install 'lifelong\[sentence\]'"):
        encoder_named("sentence-transformers:small")


def test_a_snapshot_of_an_encoder_that_is_gone_names_the_way_out():
    assert encoder_named("masked") is default_encoder()
    with pytest.raises(UsageError, match="lifelong rebuild"):
        encoder_named("masked-0")
