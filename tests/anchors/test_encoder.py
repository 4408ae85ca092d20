"""Encoders: unit rows, equal bytes for equal texts, and one look at whether the learned one learned."""

import subprocess
import sys

import numpy as np
import pytest

from editlog.errors import UsageError
from lifelong.anchors.encoder import CHUNK, PARTS, LexicalEncoder, MaskedEncoder, default_encoder
from lifelong.anchors.encoders import encoder_named

TEXTS = [
    "Where was [X] born?",
    "[X] plays the",
    "",
    "[X]",
    "Who [X]? " * 200,
    *(f"[X] word{i}" for i in range(CHUNK)),
]


@pytest.fixture(params=["lexical", "default"], scope="module")
def encoder(request):
    return LexicalEncoder() if request.param == "lexical" else default_encoder()


def test_rows_are_finite_unit_vectors(encoder):
    rows = encoder.encode(TEXTS)
    assert rows.shape == (len(TEXTS), encoder.dim)
    assert rows.dtype == np.float32
    assert np.allclose(np.linalg.norm(rows, axis=1), 1, atol=1e-5)
    assert encoder.encode([]).shape == (0, encoder.dim)


def test_a_row_does_not_depend_on_its_neighbours(encoder):
    together = encoder.encode(TEXTS)
    assert np.allclose(together, np.concatenate([encoder.encode([text]) for text in TEXTS]), atol=1e-6)


def test_equal_calls_give_equal_bytes(encoder):
    assert encoder.encode(TEXTS).tobytes() == encoder.encode(TEXTS).tobytes()


def test_fingerprints_tell_encoders_apart():
    prints = {LexicalEncoder().fingerprint, LexicalEncoder(dim=64).fingerprint, default_encoder().fingerprint}
    assert len(prints) == 3
    assert LexicalEncoder().fingerprint == LexicalEncoder().fingerprint


def test_anchors_of_a_former_version_ask_for_a_rebuild():
    assert encoder_named(default_encoder().name) is default_encoder()
    with pytest.raises(UsageError, match=r"no encoder 'masked-1': `lifelong rebuild`"):
        encoder_named("masked-1")


@pytest.mark.parametrize(
    ("one", "same", "other"),
    [
        ("Who is the chief executive officer of [X]?", "[X] is led by", "Who founded [X]?"),
        ("The owner of [X] is", "To whom does [X] belong?", "Who founded [X]?"),
        ("Who is [X]'s father?", "Whose son is [X]?", "Who is [X]'s mother?"),
        ("[X] is married to", "Who is the other half of [X]?", "Who is the father of [X]?"),
    ],
)
def test_the_learned_encoder_knows_words_that_share_no_letters(one, same, other):
    asked, near, far = default_encoder().encode([one, same, other])
    assert asked @ near > asked @ far + 0.2


def test_the_learned_encoder_knows_a_relation_in_other_words():
    asked, same, other = default_encoder().encode(
        ["Where was [X] born?", "What city served as the birthplace of [X]?", "What is the genre of [X]?"]
    )
    assert asked @ same > 0.6 > asked @ other


def test_tensors_that_do_not_fit_are_refused():
    tensors = {part: np.zeros((4, 4), dtype=np.float16) for part in PARTS}
    with pytest.raises(ValueError, match="do not fit"):
        MaskedEncoder("broken", tensors)


def test_the_relations_that_an_encoder_was_taught_are_part_of_it():
    tensors = {part: np.zeros((4, 4), dtype=np.float16) for part in PARTS}
    tensors |= {"hidden": np.zeros((8, 4)), "hidden_bias": np.zeros(4), "output_bias": np.zeros(4)}
    plain, taught = (MaskedEncoder("e", tensors | more) for more in ({}, {"relations": np.eye(4)[:3]}))
    assert (len(plain.relations), len(taught.relations)) == (0, 3)
    assert plain.fingerprint != taught.fingerprint
    with pytest.raises(ValueError, match="do not fit"):
        MaskedEncoder("e", tensors | {"relations": np.eye(3)})


def test_a_wording_of_a_relation_that_was_taught_is_familiar_and_a_strange_one_is_not():
    encoder = default_encoder()
    told, odd = encoder.encode(["Where was [X] born?", "[X] wobbles a purple gronk"]) @ encoder.relations.T
    assert told.max() > odd.max() + 0.3


def test_the_gate_needs_no_transformers():
    code = "import sys, lifelong.anchors.gate; sys.exit('transformers' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
