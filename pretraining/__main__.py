"""`python -m pretraining [STAGE ...]`: corpus, tokenizer, train, export, ceiling, evaluate; without a STAGE, all.

Contract: a stage whose output is already in the work folder is not done again when all are run, and
training continues from its checkpoint; naming a stage does it again.
"""

import argparse
import json
import logging
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import torch
from transformers import AutoTokenizer, LlamaForCausalLM

from pretraining import ceiling, corpus, evaluate, train
from pretraining.batches import Batches
from pretraining.encoder.streams import STREAMS
from pretraining.export import export, identity
from pretraining.settings import Settings, data_folder, shipped_folder, work_folder
from pretraining.tokenizer import train_tokenizer

_TOKENIZER = "tokenizer"
# Facts of each stream for the ceiling.
_CEILING_FACTS = 200


class Stages:
    """The stages over one set of settings and folders."""

    def __init__(self, settings: Settings, data: Path, work: Path, shipped: Path) -> None:
        self.settings, self.data, self.work, self.shipped = settings, data, work, shipped

    def all(self) -> dict[str, tuple[Callable[[], None], Callable[[], bool]]]:
        """Name every stage, what it does and whether its output is there already."""
        return {
            "corpus": (self.corpus, (self.work / corpus.REPORT).exists),
            "tokenizer": (self.tokenizer, (self.work / _TOKENIZER).exists),
            "train": (self.train, lambda: train.load_progress(self.work).step >= self.settings.steps),
            "export": (self.export, lambda: False),
            "ceiling": (self.ceiling, lambda: False),
            "evaluate": (self.evaluate, lambda: False),
        }

    def corpus(self) -> None:
        """Build the training mix."""
        corpus.build(self.data, self.work, self.settings)

    def tokenizer(self) -> None:
        """Train the tokenizer on names, prompts and text."""
        facts, text = corpus.read_facts(self.work), corpus.read_text(self.work)
        train_tokenizer(self.data, facts, text, self.settings).save_pretrained(self.work / _TOKENIZER)

    def train(self) -> None:
        """Train, or go on training."""
        tokenizer = AutoTokenizer.from_pretrained(self.work / _TOKENIZER)
        facts, text = corpus.read_facts(self.work), corpus.read_text(self.work)
        notes = corpus.read_facts(self.work, corpus.NOTE_SUBJECTS)
        batches = Batches(facts, text, tokenizer, self.settings, notes)
        train.train(batches, tokenizer, self.work, self.settings)

    def export(self) -> None:
        """Write the folder that is shipped."""
        tokenizer = AutoTokenizer.from_pretrained(self.work / _TOKENIZER)
        model: LlamaForCausalLM = train.trained_model(tokenizer, self.work, self.settings)
        export(model, tokenizer, self.shipped, identity(self.work, self.settings))

    def ceiling(self) -> None:
        """Measure how far an isolated expert on the shipped base generalises."""
        lines = list(ceiling.lines(self.shipped, tuple(STREAMS), _CEILING_FACTS))
        (self.work / evaluate.CEILING).write_text(json.dumps(lines, indent=1) + "\n", encoding="utf-8")

    def evaluate(self) -> None:
        """Measure what is shipped and write its card; the list of facts is made again where it is missing."""
        if not (self.work / corpus.REPORT).exists():
            self.corpus()
        evaluate.evaluate(self.shipped, self.work, self.data, self.settings)


def main() -> None:
    """Run the stages named, or all that are missing."""
    parser = argparse.ArgumentParser(prog="python -m pretraining", description=__doc__)
    parser.add_argument(
        "stages", nargs="*", metavar="STAGE", help="corpus, tokenizer, train, export, ceiling, evaluate"
    )
    parser.add_argument("--steps", type=int, default=Settings.steps, help="training steps in all (%(default)s)")
    parser.add_argument("--threads", type=int, default=2, help="CPU threads (%(default)s)")
    parser.add_argument("--work", type=Path, default=work_folder(), help="work folder (%(default)s)")
    parser.add_argument("--out", type=Path, default=shipped_folder(), help="folder of the model (%(default)s)")
    options = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    torch.set_num_threads(options.threads)
    stages = Stages(replace(Settings(), steps=options.steps), data_folder(), options.work, options.out).all()
    if unknown := set(options.stages) - set(stages):
        parser.error(f"unknown stage: {', '.join(sorted(unknown))}")
    for name, (work, is_done) in stages.items():
        if name in options.stages or (not options.stages and not is_done()):
            logging.info("stage: %s", name)
            work()


if __name__ == "__main__":
    main()
