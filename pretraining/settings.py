"""Every dial of the pretraining in one frozen dataclass, and the paths it works on.

Contract: two runs with equal settings and equal data build the same corpus, the same tokenizer and the same
schedule of batches. Nothing depends on the clock: the number of steps is fixed here.
"""

import os
from dataclasses import dataclass
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parent.parent
NAME = "lifelong-base"
VERSION = "2"


@dataclass(frozen=True)
class Settings:
    """The dials of one version of the base; the defaults are the shipped version."""

    seed: int = 20261121
    # corpus
    facts_per_relation: int = 336
    triples_per_relation: int = 24
    triple_facts: int = 1_500
    note_subjects: int = 8_000
    other_objects: int = 6
    longest_subject: int = 48
    longest_answer: int = 32
    book_characters: int = 8_000_000
    # tokenizer and architecture
    vocabulary: int = 8_192
    hidden: int = 256
    layers: int = 4
    heads: int = 4
    feed_forward: int = 768
    positions: int = 512
    # training
    steps: int = 5_500
    warmup_steps: int = 60
    decay_steps: int = 1_500
    # Muon's rate for the matrices inside the layers, AdamW's for the rest.
    matrix_rate: float = 5e-3
    embedding_rate: float = 2.5e-3
    weight_decay: float = 0.03
    fact_rows: int = 96
    note_rows: int = 48
    text_rows: int = 4
    text_length: int = 128
    note_weight: float = 1.0
    text_weight: float = 0.5
    # So many steps of notes and text alone come first, mostly two notes of which one is asked: reading what stands
    # there is learned before anything can be recited.
    note_first_steps: int = 800
    early_pair_share: float = 0.6
    # Shares of the fact rows, and of the note rows, that stand in a form other than the bare prompt.
    context_share: float = 0.10
    longest_context: int = 28
    question_form_share: float = 0.10
    chat_share: float = 0.12
    irrelevant_note_share: float = 0.05
    # The first so many facts alone until this step, then all; memorising starts earlier so.
    warm_facts: int = 3_000
    warm_steps: int = 160
    checkpoint_every: int = 100


def data_folder() -> Path:
    """Return the folder of public data: LIFELONG_DATA, or ../shared/data beside the checkout."""
    return Path(os.environ.get("LIFELONG_DATA") or REPOSITORY.parent / "shared" / "data")


def work_folder() -> Path:
    """Return the folder for what can be made again: corpus, tokenizer, checkpoints."""
    return REPOSITORY / "build" / "pretraining"


def shipped_folder() -> Path:
    """Return the folder of the finished model, the one that goes into the wheel."""
    return REPOSITORY / "lifelong" / "embedded" / "base"
