"""PEFT adapter directories: one an expert, loaded by plain PEFT with equal logits.

PEFT is the exchange format, not the runtime: our factors are its `lora_A` and `lora_B` with a scaling of one.
"""

from __future__ import annotations

import os
from collections.abc import Collection
from pathlib import Path

import torch
from safetensors.torch import save

from editlog.errors import UsageError
from lifelong.experts.expert import Expert
from lifelong.experts.kinds import LowRank
from lifelong.experts.pack import read_pack
from lifelong.files import write_atomically
from lifelong.layout import Layout
from lifelong.models.base import EMBEDDED, EMBEDDED_PATH, Base
from lifelong.snapshots.snapshot import current_id, read_snapshot


def export_peft(layout: Layout, base: Base, directory: Path, *, facts: Collection[int] | None) -> list[Path]:
    """Write one adapter directory for each expert in use (or those of the given facts), named by its facts.

    Raises UsageError where a fact has no expert in use, or a directory is there already.
    """
    snapshot_id = current_id(layout.snapshots)
    snapshot = read_snapshot(layout.snapshots, snapshot_id) if snapshot_id else None
    served = snapshot.facts if snapshot else ()
    wanted = {s.seq: s.expert for s in served if s.expert and (facts is None or s.seq in facts)}
    if missing := sorted(set(facts or ()) - wanted.keys()):
        raise UsageError(f"f{missing[0]} has no expert in use, so there is nothing of it to export")
    experts: dict[str, list[int]] = {}
    for seq, expert in wanted.items():
        experts.setdefault(expert, []).append(seq)
    packs = [read_pack(layout.experts, name) for name in (snapshot.manifest.packs if snapshot else ())]
    found = {h: pack.expert(slot) for pack in packs for slot, h in enumerate(pack.hashes) if h in experts}
    targets = {expert: directory / f"f{min(seqs)}" for expert, seqs in experts.items()}
    if taken := next((path for path in targets.values() if os.path.lexists(path)), None):
        raise UsageError(f"{taken} exists already; export into an empty directory")
    for expert, target in targets.items():
        write_adapter(base, found[expert], target)
    return sorted(targets.values())


def write_adapter(base: Base, expert: Expert, target: Path) -> None:
    """Write one expert as `adapter_config.json` and `adapter_model.safetensors`."""
    from peft import LoraConfig

    stored = {site: delta for site, delta in expert.tensors.items() if isinstance(delta, LowRank)}
    if len(stored) < len(expert.tensors):
        raise UsageError(f"PEFT knows no adapter for an expert of kind {expert.kind}; only low-rank ones are exported")
    rank = next(iter(stored.values())).rank
    sites = sorted(stored)
    transposed = type(base.model.get_submodule(sites[0])).__name__ == "Conv1D"
    config = LoraConfig(
        r=rank,
        lora_alpha=rank,
        target_modules=sites,
        fan_in_fan_out=transposed,
        task_type="CAUSAL_LM",
        inference_mode=True,
        base_model_name_or_path=str(EMBEDDED_PATH) if base.name == EMBEDDED else base.name,
    )
    tensors = {}
    for site, delta in stored.items():
        factors = delta.floats()
        tensors[f"base_model.model.{site}.lora_A.weight"] = factors.a.to(torch.float32).contiguous()
        tensors[f"base_model.model.{site}.lora_B.weight"] = factors.b.to(torch.float32).contiguous()
    config.save_pretrained(str(target))
    write_atomically(target / "adapter_model.safetensors", save(tensors, {"format": "pt"}))
