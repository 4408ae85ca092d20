"""Clustering: facts alike come together, whatever the order they came in, and no batch contradicts itself."""

import numpy as np

from policies.clustering import k_means, text_vectors
from policies.grouping import Groupable, mini_batches


def test_points_around_two_centres_are_two_clusters():
    random = np.random.default_rng(0)
    points = np.concatenate([random.normal(size=(5, 3)), random.normal(size=(5, 3)) + 20])
    found = k_means(points, 2)
    assert len(set(found[:5])) == len(set(found[5:])) == 1
    assert found[0] != found[5]


def test_there_are_never_more_clusters_than_points():
    assert sorted(k_means(np.eye(3), 9).tolist()) == [0, 1, 2]
    assert k_means(np.zeros((0, 3)), 2).tolist() == []


def test_equal_texts_have_equal_vectors_and_others_do_not():
    one, same, other = text_vectors(["Ann plays chess", "ANN, plays chess!", "Rome is old"])
    np.testing.assert_array_equal(one, same)
    assert float(one @ other) < 0.5


def mixed(count):
    """Facts of two kinds, in turn, that share neither relation nor pattern within a kind."""
    sports = ("chess in town", "chess at home", "chess on boats", "chess by night")
    cities = ("river city walls", "river city gates", "river city towers", "river city roads")
    texts = [text for pair in zip(sports, cities, strict=True) for text in pair][:count]
    return [Groupable(seq, f"k{seq}", text) for seq, text in enumerate(texts)]


def test_k_means_plans_batches_of_facts_alike():
    assert sorted(map(sorted, mini_batches(mixed(8), 4, "k_means"))) == [[0, 2, 4, 6], [1, 3, 5, 7]]


def test_the_plan_does_not_hang_on_the_order_of_arrival():
    assert mini_batches(mixed(8)[::-1], 4, "k_means") == mini_batches(mixed(8), 4, "k_means")


def test_facts_of_one_key_are_in_two_batches_the_earlier_first():
    facts = [Groupable(0, "same", "chess in town"), Groupable(1, "same", "chess in town")]
    assert mini_batches(facts, 4, "k_means") == [(0,), (1,)]
