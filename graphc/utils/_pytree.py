"""Nested containers taken apart into leaves and put together again, under PyTorch's names.

>>> leaves, spec = tree_flatten({"a": 1, "b": (2, [3])})
>>> leaves, tree_unflatten([10, 20, 30], spec)
([1, 2, 3], {'a': 10, 'b': (20, [30])})
>>> tree_map(lambda x: 2 * x, [1, (2, 3)])
[2, (4, 6)]
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from graphc.frontend.tree import Structure, flatten

TreeSpec = Structure
PyTree = Any

__all__ = ["PyTree", "TreeSpec", "tree_flatten", "tree_leaves", "tree_map", "tree_map_only", "tree_unflatten"]


def tree_flatten(tree: PyTree) -> tuple[list[Any], TreeSpec]:
    """The leaves in order, and the structure."""
    leaves, structure = flatten(tree)
    return list(leaves), structure


def tree_leaves(tree: PyTree) -> list[Any]:
    """The leaves in order."""
    return tree_flatten(tree)[0]


def tree_unflatten(leaves: Iterable[Any], treespec: TreeSpec) -> PyTree:
    """A container of the structure with these leaves. Raises ValueError for another number of them."""
    given = list(leaves)
    if len(given) != treespec.count:
        raise ValueError(
            f"tree_unflatten(leaves, treespec): `leaves` has length {len(given)} but the spec refers to a pytree that "
            f"holds {treespec.count} items ({treespec})."
        )
    return treespec.fill(given)


def tree_map(func: Callable[..., Any], tree: PyTree, *rests: PyTree) -> PyTree:
    """The container with the function of each leaf, and of those at its place in the others."""
    leaves, spec = tree_flatten(tree)
    others = [tree_leaves(rest) for rest in rests]
    return spec.fill([func(*each) for each in zip(leaves, *others, strict=True)])


def tree_map_only(kind: type | tuple[type, ...], func: Callable[[Any], Any], tree: PyTree) -> PyTree:
    """The container with the function of each leaf of a type."""
    return tree_map(lambda leaf: func(leaf) if isinstance(leaf, kind) else leaf, tree)
