"""Code books on keys one can draw: GRACE's radii and MELO's clusters, by the rules of their papers."""

from __future__ import annotations

import pytest
import torch

from lifelong.editors.grace import radii
from lifelong.editors.melo import clusters


def line(*places: float) -> torch.Tensor:
    return torch.tensor([[place, 0.0] for place in places])


def test_a_key_out_of_reach_starts_with_the_first_radius() -> None:
    assert radii(["a", "b"], line(0.0, 2.5), 1.0).tolist() == [1.0, 1.0]


def test_another_label_within_reach_splits_the_way_between_them() -> None:
    first, second = radii(["a", "b"], line(0.0, 1.0), 1.0).tolist()
    assert first < second == 0.5
    assert first == pytest.approx(0.5, abs=1e-4)


def test_the_same_label_widens_the_reach_up_to_the_new_key() -> None:
    assert radii(["a", "a"], line(0.0, 1.5), 1.0).tolist() == [1.5, 1.0]


def test_what_is_not_served_any_more_leaves_no_split_behind() -> None:
    assert radii(["a"], line(0.0), 1.0).tolist() == [1.0]


def test_a_cluster_follows_the_points_of_its_label() -> None:
    (cluster,) = clusters(["a", "a"], line(0.0, 1.0), 0.25 + 0.5)
    assert (cluster.centre.tolist(), cluster.points, cluster.radius) == ([0.5, 0.0], [0, 1], 0.75)


def test_another_label_halves_the_way_and_loses_no_point() -> None:
    found = clusters(["a", "a", "b"], line(0.0, 1.0, 1.2), 1.0)
    assert sorted(point for cluster in found for point in cluster.points) == [0, 1, 2]
    assert [cluster.label for cluster in found if 2 in cluster.points] == ["b"]
    assert found[0].radius == pytest.approx(0.35)
