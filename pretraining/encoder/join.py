"""Join encoders of several seeds into one of the same form, whose vectors are near the mean of theirs.

    LIFELONG_DATA=... python -m pretraining.encoder.join FILE FILE ... [--out FILE]

Networks side by side are one network with blocks. Two things keep it small: the table is kept in bytes, and the
outputs are projected onto the DIM directions that carry most of the cosines of the corpus. Nothing is trained.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click
import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.numpy import load_file, save_file
from torch.nn import functional

from lifelong.anchors.encoder import PARTS, Features
from lifelong.anchors.prior import DATA
from pretraining.encoder.corpus import corpus
from pretraining.encoder.train import DIM, NAME

Tensors = dict[str, NDArray[Any]]


def side_by_side(networks: Sequence[Tensors]) -> Tensors:
    """One network whose output is the outputs of all, one after the other; inputs are [words, n-grams] of all."""
    halves = [np.split(each["hidden"], 2) for each in networks]
    hidden = np.concatenate([_blocks([half[side] for half in halves]) for side in (0, 1)])
    joined = {"hidden": hidden, "output": _blocks([each["output"] for each in networks])}
    for part, axis in (("embeddings", 1), ("hidden_bias", 0), ("output_bias", 0)):
        joined[part] = np.concatenate([each[part] for each in networks], axis=axis)
    return joined


def with_byte_table(network: Tensors) -> Tensors:
    """The network with a table of int8: each column's scale moves into the rows of `hidden` that read it."""
    scale = np.abs(network["embeddings"]).max(axis=0) / 127
    table = np.round(network["embeddings"] / scale).astype(np.int8)
    return network | {"embeddings": table, "hidden": network["hidden"] * np.tile(scale, 2)[:, None]}


def with_narrow_output(network: Tensors, texts: Sequence[str], dim: int) -> Tensors:
    """The network with its outputs projected onto `dim` directions that carry most of the texts' cosines."""
    rows = outputs(network, texts)
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    _, basis = np.linalg.eigh(rows.T @ rows)
    basis = basis[:, ::-1][:, :dim]
    return network | {"output": network["output"] @ basis, "output_bias": network["output_bias"] @ basis}


def of_unit_length(network: Tensors, texts: Sequence[str]) -> Tensors:
    """The network with outputs of length one on average, so that no seed speaks louder than another."""
    length = np.linalg.norm(outputs(network, texts), axis=1).mean()
    return network | {part: network[part] / length for part in ("output", "output_bias")}


def outputs(network: Tensors, texts: Sequence[str]) -> NDArray[np.float32]:
    """What the network says of masked texts before it is normalised, [n, dim]."""
    bags = zip(*map(Features(len(network["embeddings"])), texts), strict=True)
    table = torch.from_numpy(network["embeddings"])
    ragged = map(_ragged, bags)
    means = [functional.embedding_bag(ids, table, offsets, mode="mean") for ids, offsets in ragged]
    hidden = torch.cat(means, 1) @ torch.from_numpy(network["hidden"]) + torch.from_numpy(network["hidden_bias"])
    rows = functional.gelu(hidden, approximate="tanh").numpy() @ network["output"] + network["output_bias"]
    return np.asarray(rows, dtype=np.float32)


def _ragged(bags: Sequence[Sequence[int]]) -> tuple[torch.Tensor, torch.Tensor]:
    sizes = torch.tensor([len(bag) for bag in bags])
    return torch.tensor([i for bag in bags for i in bag]), torch.cumsum(sizes, 0) - sizes


def _blocks(parts: Sequence[NDArray[Any]]) -> NDArray[Any]:
    out = np.zeros(np.sum([part.shape for part in parts], axis=0), dtype=np.float32)
    row = column = 0
    for part in parts:
        out[row : row + part.shape[0], column : column + part.shape[1]] = part
        row, column = row + part.shape[0], column + part.shape[1]
    return out


@click.command()
@click.argument("files", nargs=-1, required=True, type=click.Path(path_type=Path, exists=True))
@click.option("--out", type=click.Path(path_type=Path), default=DATA / "encoder.safetensors", show_default=True)
def main(files: tuple[Path, ...], out: Path) -> None:
    """Join the encoders in FILES and write the joined one."""
    texts = corpus().texts()
    networks = [{part: t.astype(np.float32) for part, t in load_file(file).items()} for file in files]
    joined = side_by_side([of_unit_length(network, texts) for network in networks])
    joined = with_byte_table(with_narrow_output(joined, texts, DIM))
    halves = {part: t if t.dtype == np.int8 else t.astype(np.float16) for part, t in joined.items()}
    tensors = {part: np.ascontiguousarray(halves[part]) for part in PARTS}
    save_file(tensors, out, metadata={"name": NAME})


if __name__ == "__main__":
    main()
