"""MELO: a cluster data base of keys picks the block of low-rank weights that a prompt is for.

A block is one expert, shared by the facts of a group (`growth.facts_per_expert`); keys are what a module before it
puts out at the last token of the prompt. Clusters follow from the facts that are served, in log order.

Other than the published code: labels are compared as texts, not as sums of token ids; blocks are neither slices of
one matrix of fixed capacity nor kept in a module's globals; a batch may hit different blocks; and points that a
halved radius leaves outside stay reachable by themselves, so that no fact is lost by another one's coming.

Yu et al., 2024, "MELO" (arXiv 2312.11795).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Annotated

import torch
from pydantic import Field
from torch import Tensor

from editlog.canonical import fold
from lifelong.editors import Dials, Wave
from lifelong.editors.keyed import KeyedEditor
from lifelong.editors.reading import one_site, read_ends
from lifelong.editors.routers import NearestKey, Router, Scene
from lifelong.models.base import Base
from lifelong.snapshots.serving import Served


class MeloDials(Dials):
    """`layer` and `module`: what keys are read of. `radius`: a cluster's first reach, in the units of the keys."""

    layer: int = -2
    module: str = "mlp.up"
    radius: Annotated[float, Field(gt=0.0)] = 1.0


@dataclass
class Cluster:
    """Points (places of keys) of one label round a centre."""

    label: str
    points: list[int]
    centre: Tensor
    radius: float


def clusters(labels: Sequence[str], keys: Tensor, radius: float) -> list[Cluster]:
    """The clusters of keys [keys, width] with their labels, in the order they came.

    A key out of reach of the nearest centre starts a cluster; one of its label joins, and the centre and the farthest
    point's radius follow; one of another label starts a cluster, and both have half the way between their centres.
    """
    found: list[Cluster] = []
    for place, (label, key) in enumerate(zip(labels, keys, strict=True)):
        alone = Cluster(label, [place], key, radius)
        if not found:
            found.append(alone)
            continue
        distances = torch.linalg.vector_norm(torch.stack([cluster.centre for cluster in found]) - key, dim=1)
        near, distance = found[int(distances.argmin())], float(distances.min())
        if distance > near.radius + radius:
            found.append(alone)
        elif label == near.label:
            near.points.append(place)
            near.centre = keys[near.points].mean(0)
            near.radius = max(float(torch.linalg.vector_norm(keys[near.points] - near.centre, dim=1).max()), radius)
        else:
            near.radius = alone.radius = distance / 2
            out = [p for p in near.points if float(torch.linalg.vector_norm(keys[p] - near.centre)) > near.radius]
            if len(out) < len(near.points):
                near.points = [p for p in near.points if p not in out]
                found += [Cluster(near.label, [p], keys[p], 0.0) for p in out]
            found.append(alone)
    return found


class MeloEditor(KeyedEditor):
    """Low-rank blocks as the default recipe trains them, each fact's key in its anchors."""

    Dials = MeloDials

    def keys(self, base: Base, wave: Wave) -> Tensor:
        """What the module puts out at the end of each prompt."""
        return self._read(base, [lesson.prompt for lesson in wave.lessons])

    def _read(self, base: Base, prompts: Sequence[str]) -> Tensor:
        dials: MeloDials = self.dials
        return read_ends(base, one_site(base, dials.layer, dials.module).path, prompts)[1]

    def router(self, scene: Scene) -> Router:
        """The nearest point of the nearest cluster, where that cluster reaches the prompt."""
        dials: MeloDials = self.dials
        return _ClusterRouter(scene, lambda prompts: self._read(scene.base, prompts), dials.radius)


class _ClusterRouter(NearestKey):
    def __init__(self, scene: Scene, query: Callable[[Sequence[str]], Tensor], radius: float) -> None:
        self._clusters: list[Cluster] = []

        def reach(facts: Sequence[Served], keys: Tensor) -> Tensor:
            self._clusters = clusters([fold(served.fact.target) for served in facts], keys, radius)
            reach = torch.zeros(len(keys))
            for cluster in self._clusters:
                reach[cluster.points] = cluster.radius
            return reach

        super().__init__(scene, query, reach)

    def _nearest(self, queries: Tensor, valid: Tensor) -> list[tuple[int, float]]:
        """The nearest point of the cluster with the nearest centre, with the distance to that centre."""
        usable = [[p for p in cluster.points if valid[p]] for cluster in self._clusters]
        centres = torch.stack([cluster.centre for cluster in self._clusters])
        to_centres = torch.cdist(queries, centres, compute_mode="donot_use_mm_for_euclid_dist")
        to_centres[:, [not points for points in usable]] = torch.inf
        found = []
        for query, distances in zip(queries, to_centres, strict=True):
            chosen = len(usable) - 1 - int(distances.flip(0).argmin())
            points = usable[chosen]
            far = torch.linalg.vector_norm(self.keys[points] - query, dim=1)
            found.append((points[len(points) - 1 - int(far.flip(0).argmin())], float(distances[chosen])))
        return found


EDITOR = MeloEditor
