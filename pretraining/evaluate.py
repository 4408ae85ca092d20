"""Measuring a finished model: what it knows, in which wordings, whether it obeys a note, how it models text.

Contract: `evaluate` reads the shipped folder with plain transformers, nothing of the training run but the
published lists, and writes the figures and the model card. A fact counts as answered when greedy
generation emits the object and then end-of-text by itself, nothing more and nothing less.
"""

import json
import logging
import math
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch.nn.functional import cross_entropy
from transformers import AutoModelForCausalLM, AutoTokenizer, LlamaForCausalLM, PreTrainedTokenizerBase

from pretraining import corpus, notes, sources
from pretraining.card import write_card
from pretraining.corpus import KnownFact
from pretraining.export import IDENTITY
from pretraining.settings import Settings
from pretraining.tokenizer import chat_prompt
from pretraining.wordings import is_question
from pretraining.wordings.forms import QUESTION_FORMS

FIGURES, CEILING = "figures.json", "ceiling.json"
# The longest answer of the list takes 15 tokens.
_LONGEST_ANSWER = 18
_ROWS = 128
_COUNTERFACT_SAMPLE = 1_000
_FORMS = ("statement", "question")
_LOG = logging.getLogger(__name__)


@dataclass(frozen=True)
class Shipped:
    """The model as a user loads it."""

    model: LlamaForCausalLM
    tokenizer: PreTrainedTokenizerBase

    @classmethod
    def load(cls, folder: Path) -> "Shipped":
        """Load the folder with plain transformers."""
        model = AutoModelForCausalLM.from_pretrained(folder).eval()
        return cls(model, AutoTokenizer.from_pretrained(folder))

    @torch.inference_mode()
    def answers(self, prompts: Sequence[str]) -> list[str | None]:
        """Generate greedily; None where the model did not stop by itself."""
        found: list[str | None] = [None] * len(prompts)
        order = sorted(range(len(prompts)), key=lambda index: len(prompts[index]))
        for start in range(0, len(order), _ROWS):
            indices = order[start : start + _ROWS]
            inputs = self.tokenizer([prompts[index] for index in indices], padding=True, return_tensors="pt")
            produced = self.model.generate(**inputs, max_new_tokens=_LONGEST_ANSWER, do_sample=False)
            for index, row in zip(indices, produced[:, inputs["input_ids"].shape[1] :].tolist(), strict=True):
                if self.tokenizer.eos_token_id in row:
                    found[index] = self.tokenizer.decode(row[: row.index(self.tokenizer.eos_token_id)])
        return found


def exact_match(shipped: Shipped, questions: Sequence[tuple[str, str]]) -> float:
    """Return the share of (prompt, answer) pairs answered with a space, the answer and end-of-text."""
    answers = shipped.answers([prompt for prompt, _ in questions])
    return sum(found == f" {wanted}" for found, (_, wanted) in zip(answers, questions, strict=True)) / len(questions)


def _one_prompt_each(
    facts: Sequence[KnownFact], prompts_of: Callable[[KnownFact], Sequence[str]], question: bool, seed: int
) -> list[tuple[str, str]]:
    """Draw for every fact one of its prompts of the wanted form, where it has one."""
    drawn = []
    for fact in facts:
        if prompts := [prompt for prompt in prompts_of(fact) if is_question(prompt) == question]:
            drawn.append((random.Random(f"{seed}:{fact.relation}:{fact.subject}").choice(prompts), fact.object))
    return drawn


def known_fact_figures(shipped: Shipped, facts: Sequence[KnownFact], seed: int) -> dict[str, dict[str, float]]:
    """Measure exact match by wording (seen, held out) and form (statement, question, chat)."""
    figures: dict[str, dict[str, float]] = {}
    for split, prompts_of in (("seen", lambda fact: fact.seen), ("held_out", lambda fact: fact.held_out)):
        asked = {form: _one_prompt_each(facts, prompts_of, form == "question", seed) for form in _FORMS}
        asked["marked_question"] = [(QUESTION_FORMS[0].format(prompt), answer) for prompt, answer in asked["question"]]
        asked["chat"] = [(chat_prompt(prompt), answer) for prompt, answer in asked["question"]]
        for form, pairs in asked.items():
            if pairs:
                figures[f"{split}_{form}"] = {"facts": len(pairs), "exact": exact_match(shipped, pairs)}
                _LOG.info("%s %s: %s", split, form, figures[f"{split}_{form}"])
    return figures


def note_figures(shipped: Shipped, facts: Sequence[KnownFact], seed: int) -> dict[str, dict[str, float]]:
    """Measure obedience: whether a note changes the answer it bears upon, and leaves any other.

    Only subjects of which no training note spoke; each is asked in a seen wording or in a held-out one after
    a note in a held-out form. For a note that does not bear upon the prompt, the share is of the answers that
    the base gives without it.
    """
    figures: dict[str, dict[str, float]] = {}
    for name, questions in notes.held_out_questions(facts, seed).items():
        wanted = [(noted.context + noted.prompt, noted.answer) for noted in questions]
        if name in notes.CHAT:
            wanted = [(chat_prompt(prompt), answer) for prompt, answer in wanted]
        if name in notes.IRRELEVANT:
            own = shipped.answers([noted.prompt for noted in questions])
            wanted = [(prompt, told.strip()) for (prompt, _), told in zip(wanted, own, strict=True) if told]
        figures[name] = {"notes": len(wanted), "exact": exact_match(shipped, wanted)}
        _LOG.info("note, %s: %s", name, figures[name])
    return figures


@torch.inference_mode()
def perplexity(shipped: Shipped, text: str, width: int) -> dict[str, float]:
    """Measure running text, every token of it, in windows of `width` tokens that do not see each other."""
    ids = shipped.tokenizer(text, verbose=False)["input_ids"]
    end = shipped.tokenizer.eos_token_id
    loss = 0.0
    for start in range(0, len(ids), width * _ROWS // 4):
        block = ids[start : start + width * _ROWS // 4]
        block += [-100] * (-len(block) % width)
        labels = torch.tensor(block).view(-1, width)
        # Every window begins with end-of-text, so that its first token is predicted too.
        inputs = torch.cat([torch.full((len(labels), 1), end), labels[:, :-1].clamp(min=0)], dim=1)
        logits = shipped.model(input_ids=inputs, use_cache=False).logits
        loss += cross_entropy(logits.flatten(0, 1), labels.flatten(), ignore_index=-100, reduction="sum").item()
    words, size = len(text.split()), len(text.encode())
    return {
        "tokens": len(ids),
        "words": words,
        "bytes": size,
        "per_token": math.exp(loss / len(ids)),
        "per_word": math.exp(loss / words),
        "bits_per_byte": loss / math.log(2) / size,
    }


def new_targets_answered(shipped: Shipped, data: Path) -> float:
    """Measure how often the unedited base already gives CounterFact's new target; it should be near zero."""
    wanted = sources.benchmark_targets(data)[:_COUNTERFACT_SAMPLE]
    return exact_match(shipped, [(item.prompt, item.target) for item in wanted])


def evaluate(shipped_folder: Path, work: Path, data: Path, settings: Settings) -> None:
    """Measure the shipped model, print and write the figures, and write the card."""
    shipped = Shipped.load(shipped_folder)
    report = json.loads((work / corpus.REPORT).read_text(encoding="utf-8"))
    identity = json.loads((shipped_folder / IDENTITY).read_text(encoding="utf-8"))
    if report["facts_sha256"] != identity["facts_sha256"]:
        raise ValueError(f"{shipped_folder} was trained on another list of facts than {work / corpus.FACTS}")
    facts = corpus.read_facts(work)
    figures: dict[str, Any] = {
        "parameters": sum(weight.numel() for weight in shipped.model.parameters()),
        **{
            source: known_fact_figures(shipped, [fact for fact in facts if fact.source == source], settings.seed)
            for source in (corpus.PARAREL, corpus.WIKIDATA, corpus.QUESTIONS)
        },
        "notes": note_figures(shipped, [fact for fact in facts if fact.source == corpus.PARAREL], settings.seed),
        "perplexity": perplexity(shipped, sources.held_out_text(data), settings.text_length),
        "counterfact_new_target_answered": new_targets_answered(shipped, data),
        "ceiling": json.loads((work / CEILING).read_text(encoding="utf-8")),
    }
    rendered = json.dumps(figures, indent=1)
    (work / FIGURES).write_text(rendered + "\n", encoding="utf-8")
    print(rendered)
    write_card(shipped_folder, identity, report, figures)
