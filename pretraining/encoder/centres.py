"""The middle of each relation that an encoder was taught: what the gate tells a familiar wording from a strange one by.

    LIFELONG_DATA=... python -m pretraining.encoder.centres [FILE] [--left-out FOLD]

Writes them beside the encoder's file; without one, beside the encoder that is shipped.
"""

from __future__ import annotations

from collections import defaultdict
from pathlib import Path

import click
import numpy as np
from safetensors.numpy import save_file

from lifelong.anchors.encoder import DATA, RELATIONS, Encoder, Vectors, read_encoder, relations_beside
from pretraining.encoder.corpus import Corpus, corpus


def centres(encoder: Encoder, made: Corpus) -> Vectors:
    """The normalised mean vector of each relation's wordings, [relations, dim], relations in order of their names."""
    wordings: dict[str, list[str]] = defaultdict(list)
    for text, relations in made.relations_of.items():
        for relation in relations:
            wordings[relation].append(text)
    means = np.stack([encoder.encode(sorted(texts)).mean(axis=0) for _, texts in sorted(wordings.items())])
    return np.asarray(means / np.linalg.norm(means, axis=1, keepdims=True), dtype=np.float32)


@click.command()
@click.argument("file", type=click.Path(exists=True, path_type=Path), default=DATA / "encoder.safetensors")
@click.option("--left-out", type=int, help="The fold of relations that the encoder was trained without.")
def main(file: Path, left_out: int | None) -> None:
    """Write the relations that an encoder was taught beside its file."""
    found = centres(read_encoder(file), corpus(left_out))
    save_file({RELATIONS: found.astype(np.float16)}, relations_beside(file))
    click.echo(f"{len(found)} relations in {relations_beside(file)}")


if __name__ == "__main__":
    main()
