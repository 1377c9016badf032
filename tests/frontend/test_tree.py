"""Containers taken apart and put together."""

from __future__ import annotations

import random
from collections import OrderedDict, namedtuple
from typing import Any

import pytest

from graphc.frontend.tree import LEAF, OPEN, fix, flatten, sequence

Pair = namedtuple("Pair", "first second")


class Checked(namedtuple("Checked", "a b")):
    """A named tuple whose constructor takes something else."""

    def __new__(cls, both: int) -> Checked:
        return super().__new__(cls, both, both)


def random_value(chance: random.Random, depth: int = 0) -> Any:
    if depth > 3 or chance.random() < 0.3:
        return object()
    entries = [random_value(chance, depth + 1) for _ in range(chance.randint(0, 3))]
    kind = chance.choice(("list", "tuple", "dict", "ordered", "pair", "checked"))
    keys = chance.sample(["a", "b", 1, (2, "c"), None], len(entries))
    match kind:
        case "list":
            return entries
        case "tuple":
            return tuple(entries)
        case "dict":
            return dict(zip(keys, entries))
        case "ordered":
            return OrderedDict(zip(keys, entries))
        case "pair":
            return Pair(random_value(chance, depth + 1), random_value(chance, depth + 1))
        case _:
            return Checked._make([random_value(chance, depth + 1), random_value(chance, depth + 1)])


@pytest.mark.parametrize("seed", range(60))
def test_what_is_taken_apart_comes_together_again(seed: int) -> None:
    chance = random.Random(seed)
    value, other = random_value(chance), random_value(chance)
    leaves, structure = flatten(value)
    assert len(leaves) == structure.count
    again = structure.fill(leaves)
    assert type(again) is type(value)
    assert again == value  # leaves are compared by identity
    assert hash(structure) == hash(flatten(again)[1])
    taken: list[object] = []
    assert structure.take(value, taken)
    assert taken == list(leaves)
    assert structure.problem(value, "x") is None
    assert structure.difference(flatten(again)[1], "x") is None
    paths = structure.paths("value")
    assert [eval(path, {"value": value}) for path in paths] == list(leaves)
    if flatten(other)[1] != structure:
        assert (structure.difference(flatten(other)[1], "x") or "").startswith("x")
        if structure != LEAF:
            assert not structure.take(other, [])
            assert (structure.problem(other, "x") or "").startswith("x")


def test_fixed_values_are_no_leaves() -> None:
    _, structure = flatten({"x": 1, "n": 2, "more": [3]})
    fixed = structure.fixed([OPEN, "n", OPEN])
    assert fixed.count == 2
    assert fixed.paths("p") == ("p['x']", "p['more'][0]")
    assert fixed.fill([10, 30]) == {"x": 10, "n": "n", "more": [30]}
    leaves: list[object] = []
    assert fixed.take({"x": 1, "n": "n", "more": [3]}, leaves)
    assert leaves == [1, 3]
    assert not fixed.take({"x": 1, "n": "m", "more": [3]}, [])
    assert fixed.problem({"x": 1, "n": "m", "more": [3]}, "p") == "p['n'] is 'm' in place of 'n'"
    assert fix(1) != fix(2)
    assert not fix(1).take(True, [])
    assert not fix(1).take(1.0, [])


@pytest.mark.parametrize(
    ("wanted", "given", "problem"),
    [
        ([1], (1,), "x is a tuple in place of a list"),
        ([1], 1, "x is an int in place of a list"),
        ({"a": 1}, {"b": 1}, "x lacks the key 'a' and has the new key 'b'"),
        ({"a": 1, "b": 1}, {"b": 1, "a": 1}, "x has its keys in another order"),
        ({"a": [1, 1]}, {"a": [1]}, "x['a'] has 1 entries in place of 2"),
        (Pair(1, [1]), Pair(1, 1), "x.second is an int in place of a list"),
        ([1], [[1]], "x[0] is a list in place of an array"),
    ],
)
def test_what_is_wrong_with_a_value_is_said_by_its_path(wanted: object, given: object, problem: str) -> None:
    assert flatten(wanted)[1].problem(given, "x") == problem


def test_a_sequence_is_a_tuple_of_structures() -> None:
    assert sequence([LEAF, flatten([1, 2])[1]]).fill([1, 2, 3]) == (1, [2, 3])
