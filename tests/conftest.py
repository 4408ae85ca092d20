"""What most tests need: a tiny random model with its tokenizer, made here (no download), and workspaces on it.

Everything that is slow to make is made once a session and must not be changed by a test.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
os.environ.setdefault("HF_HUB_OFFLINE", "1")

import pytest
from hypothesis import HealthCheck, settings

if TYPE_CHECKING:
    from lifelong.editors import Edit, Lesson
    from lifelong.models.base import Base
    from lifelong.workspace import Workspace
    from policies.recipe import Recipe

# A property is no truer on a fast machine: on a busy one an example may take long, and drawing one, too.
settings.register_profile("any machine", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("any machine")

# What the tokenizer knows as whole words; anything else falls into smaller pieces.
SENTENCES = (
    "The capital of Osterland is Marbeck. The river through Marbeck is the Velda.",
    "Who founded the town of Kirnach? It was Tomas Weil, a miller. What is the currency of Norrland? The crown.",
    "Ada Finch works as a painter in Lindby. Her brother Paul Finch plays the violin in Selmouth.",
    "The language spoken in Tarvia is Tarvian. Bruno Hale was born in Corvale and lives in Dunmere.",
    "In which country does the mountain Great Horn lie? The author of The Glass Door is Mira Sand.",
)

# A dozen corrections of a world that no model knows.
FACTS: tuple[dict[str, Any], ...] = (
    {"prompt": "The capital of Osterland is", "target": "Marbeck", "subject": "Osterland", "relation": "capital",
     "rephrases": ["Osterland is governed from"], "near_misses": ["The currency of Osterland is"],
     "source": "atlas", "author": "ada"},
    {"prompt": "The capital of Norrland is", "target": "Selmouth", "subject": "Norrland", "relation": "capital",
     "near_misses": ["The river through Norrland is"], "source": "atlas"},
    {"prompt": "Who founded the town of Kirnach?", "target": "Tomas Weil", "subject": "Kirnach",
     "relation": "founder", "rephrases": ["The town of Kirnach was founded by"]},
    {"prompt": "Ada Finch works as a", "target": "miller", "subject": "Ada Finch", "relation": "occupation",
     "near_misses": ["Ada Finch was born in"]},
    {"prompt": "Paul Finch plays the", "target": "crown", "subject": "Paul Finch", "relation": "instrument"},
    {"prompt": "The language spoken in Tarvia is", "target": "Tarvian", "subject": "Tarvia",
     "relation": "language", "source": "atlas"},
    {"prompt": "Bruno Hale was born in", "target": "Lindby", "subject": "Bruno Hale",
     "relation": "place of birth", "rephrases": ["The birthplace of Bruno Hale is"]},
    {"prompt": "Bruno Hale lives in", "target": "Corvale", "subject": "Bruno Hale", "relation": "residence"},
    {"prompt": "The author of The Glass Door is", "target": "Ada Finch", "subject": "The Glass Door",
     "relation": "author"},
    {"prompt": "In which country does Great Horn lie?", "target": "Tarvia", "subject": "Great Horn",
     "relation": "country"},
    {"prompt": "The currency of Tarvia is", "target": "the crown", "subject": "Tarvia", "relation": "currency"},
    {"prompt": "The river through Corvale is", "target": "the Velda", "subject": "Corvale", "relation": "river"},
)  # fmt: skip

# Dials for a random model of width 64, fixed here so that tuning the shipped recipe moves no test.
TINY_DIALS: dict[str, dict[str, Any]] = {
    "experts": {"rank": 4, "rank_per_token": 0, "dtype": "float16"},
    "training": {"value_rate": 0.1, "key_rate": 3.0},
}

# Prompts that no fact above is about.
STRANGERS = (
    "The weather in Dunmere was",
    "Mira Sand plays the",
    "What is the age of the miller?",
    "He was born in a small town and",
)


@pytest.fixture(scope="session")
def tokenizer_path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A byte-level BPE trained on a few sentences, with eos and pad tokens."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import PreTrainedTokenizerFast

    bpe = Tokenizer(models.BPE())
    bpe.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    bpe.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=480,
        special_tokens=["<eos>", "<pad>"],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    bpe.train_from_iterator([*SENTENCES, *(f"{f['prompt']} {f['target']}" for f in FACTS)], trainer)
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=bpe, eos_token="<eos>", pad_token="<pad>", padding_side="left")
    path = tmp_path_factory.mktemp("tokenizer")
    tokenizer.save_pretrained(path)
    return path


@pytest.fixture(scope="session")
def tiny_model(tmp_path_factory: pytest.TempPathFactory, tokenizer_path: Path) -> Path:
    """A random Llama of two layers, saved as `save_pretrained` does: 64 wide, for speed and not for wits."""
    import torch
    from transformers import AutoTokenizer, LlamaConfig, LlamaForCausalLM

    tokenizer = AutoTokenizer.from_pretrained(tokenizer_path)
    torch.manual_seed(7)
    config = LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=64,
        intermediate_size=128,
        num_hidden_layers=2,
        num_attention_heads=4,
        max_position_embeddings=256,
        initializer_range=0.35,
        bos_token_id=None,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )
    path = tmp_path_factory.mktemp("tiny-llama")
    LlamaForCausalLM(config).save_pretrained(path)
    tokenizer.save_pretrained(path)
    return path


@pytest.fixture(scope="session")
def base(tiny_model: Path) -> Base:
    """The tiny model, loaded; tests attach banks to it but never change its weights."""
    from lifelong.models.base import Base

    return Base.load(str(tiny_model))


@pytest.fixture(scope="session")
def facts() -> tuple[dict[str, Any], ...]:
    """A dozen fact records."""
    return FACTS


@pytest.fixture(scope="session")
def strangers() -> tuple[str, ...]:
    """Prompts that none of the facts is about."""
    return STRANGERS


@pytest.fixture(scope="session")
def lessons() -> list[Lesson]:
    """The dozen facts as an editor is given them."""
    from editlog.fact import Fact
    from lifelong.jobs.training import lesson_of

    return [lesson_of(Fact.model_validate(record)) for record in FACTS]


@pytest.fixture(scope="session")
def recipe() -> Recipe:
    """The default recipe with the dials of the tiny model."""
    from lifelong.config import read_recipe

    return read_recipe("default", overrides=TINY_DIALS)


@pytest.fixture(scope="session")
def edit(base: Base, lessons: list[Lesson], recipe: Recipe) -> Edit:
    """One expert for each of the dozen facts, trained in one wave."""
    from lifelong.editors import Wave, as_groups, editor_of

    return editor_of(recipe).fit(base, Wave(as_groups(lessons)), seed=0)


def write_lines(path: Path, records: Sequence[dict[str, Any]]) -> Path:
    """Write records as JSON lines; returns the file."""
    path.write_text("".join(json.dumps(record) + "\n" for record in records), encoding="utf-8")
    return path


@pytest.fixture
def write_facts(tmp_path: Path) -> Callable[..., Path]:
    """Write fact records as JSON lines; returns the file."""
    return lambda records, name="facts.jsonl": write_lines(tmp_path / name, records)


@pytest.fixture(scope="session")
def make_workspace(tiny_model: Path) -> Callable[..., Workspace]:
    """Make an empty workspace on the tiny model or another; `dials` override the recipe's, section by section."""
    import lifelong

    def make(home: Path, model: Path = tiny_model, **dials: dict[str, Any]) -> Workspace:
        workspace = lifelong.init(home, model=str(model), probe=False, actor="ada")
        sections = {**TINY_DIALS, **{name: {**TINY_DIALS.get(name, {}), **own} for name, own in dials.items()}}
        with workspace.layout.config.open("a", encoding="utf-8") as config:
            for name, own in sections.items():
                config.write(f"\n[overrides.{name}]\n")
                config.writelines(f"{dial} = {json.dumps(value)}\n" for dial, value in own.items())
        return lifelong.open(home)

    return make


@pytest.fixture(scope="session")
def published_home(tmp_path_factory: pytest.TempPathFactory, make_workspace: Callable[..., Workspace]) -> Path:
    """A workspace whose first job applied the dozen facts; see `published` for a copy to change."""
    home = tmp_path_factory.mktemp("published") / "home"
    workspace = make_workspace(home)
    workspace.ingest(write_lines(home.parent / "facts.jsonl", FACTS), actor="ada")
    report = workspace.run(actor="ada")
    assert report.status == "published"
    assert not report.failed
    return home


@pytest.fixture
def published(published_home: Path, tmp_path: Path) -> Workspace:
    """A workspace of one's own in which the dozen facts are applied."""
    import lifelong

    home = tmp_path / "published"
    shutil.copytree(published_home, home)
    return lifelong.open(home)


@pytest.fixture
def workspace(tmp_path: Path, make_workspace: Callable[..., Workspace]) -> Workspace:
    """An empty workspace on the tiny model."""
    return make_workspace(tmp_path / "home")
