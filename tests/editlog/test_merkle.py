"""The tree of RFC 6962: its published vectors, and a proof for every leaf of every small tree."""

from __future__ import annotations

import pytest

from editlog.merkle import Edge, inclusion, leaf, root_of

# The inputs and roots that certificate transparency's reference code is tested with.
INPUTS = ["", "00", "10", "2021", "3031", "40414243", "5051525354555657", "606162636465666768696a6b6c6d6e6f"]
ROOTS = [
    "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
    "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
    "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
    "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
    "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
    "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
    "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
    "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
]


def test_roots_are_those_of_the_reference() -> None:
    edge = Edge()
    for given, root in zip(INPUTS, ROOTS, strict=True):
        edge.add(leaf(bytes.fromhex(given)))
        assert edge.root().hex() == root


def test_every_leaf_of_every_tree_is_proven_and_nothing_else_is() -> None:
    leaves, edge = [], Edge()
    for size in range(1, 34):
        leaves.append(leaf(b"%d" % size))
        edge.add(leaves[-1])
        for index in range(size):
            path = inclusion(leaves, index)
            assert root_of(leaves[index], index, size, path) == edge.root()
            assert root_of(leaf(b"another"), index, size, path) != edge.root()
            with pytest.raises(ValueError, match="too"):
                root_of(leaves[index], index, size, [*path, leaves[0]])
            if path:
                with pytest.raises(ValueError, match="too"):
                    root_of(leaves[index], index, size, path[:-1])


def test_there_is_no_leaf_beyond_the_last() -> None:
    with pytest.raises(ValueError, match="no leaf"):
        root_of(leaf(b"a"), 1, 1, [])
