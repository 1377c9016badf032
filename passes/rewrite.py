"""The rewrite driver: rebuild a graph bottom-up, with rules, merging equal nodes on the way.

Level: tensor graph to tensor graph. In: a graph and a `RuleSet`, functions from a node to what replaces it, kept by the
op they look at. Out: the rewritten graph, or the same object where nothing changed. Every rewrite interns nodes by op,
operands and attributes, so common subexpressions merge; a node that a rule builds has the location of the node it
replaces. Work grows with the number of nodes built; nothing recurses over the graph.

    rules = RuleSet()

    @rules.rule("neg")
    def drop_double_negation(node: Node) -> Node | None:
        (x,) = node.inputs
        return x.inputs[0] if x.op.name == "neg" else None

    graph = rewrite(graph, rules)
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

from graphc.ir.attribute import exact
from graphc.ir.errors import VerifyError
from graphc.ir.graph import FUSED, GET, INPUT, Graph, Node
from graphc.ir.location import using
from graphc.ir.op import Flags, Op
from graphc.ir.replace import inline, with_inputs, with_outputs

Rule: TypeAlias = "Callable[[Node], Node | None]"
Key: TypeAlias = "tuple[Op, tuple[Node, ...], object]"

LIMIT = 100
"""Replacements of one node in a row after which a rule set is taken to go in circles."""


class RuleSet:
    """Rules by the name of the op they look at, in the order in which they are tried."""

    def __init__(self, *parts: RuleSet) -> None:
        self._rules: dict[str, tuple[Rule, ...]] = {}
        for part in parts:
            for name, rules in part._rules.items():
                self._rules[name] = self._rules.get(name, ()) + rules

    def rule(self, *names: str) -> Callable[[Rule], Rule]:
        """Decorate a function from a node to its replacement, or None where it doesn't apply; "*" means any op."""

        def add(function: Rule) -> Rule:
            for name in names:
                self._rules[name] = self._rules.get(name, ()) + (function,)
            return function

        return add

    def rules_for(self, op: Op) -> tuple[Rule, ...]:
        """The rules that look at nodes of this op."""
        return self._rules.get(op.name, ()) + self._rules.get("*", ())


NO_RULES = RuleSet()


class Rewriter:
    """One rewrite in progress: what became of each node, and the nodes that exist so far."""

    def __init__(self, rules: RuleSet = NO_RULES, *, inside_fused: bool = False, limit: int = LIMIT) -> None:
        self._rules = rules
        self._inside_fused = inside_fused
        self._limit = limit
        self._final: dict[Node, Node] = {}
        self._interned: dict[Key, Node] = {}
        self._order: dict[Node, int] = {}
        self._commutative: dict[Op, bool] = {}

    def rewrite(self, node: Node) -> Node:
        """What the node becomes once no rule applies to it or to anything below it."""
        final = self._final
        replacement: dict[Node, Node] = {}
        depth: dict[Node, int] = {}
        pending = [node]
        while pending:
            current = pending[-1]
            if current in final:
                pending.pop()
                continue
            if current in replacement:
                target = replacement[current]
                if target not in final:  # it is below itself, still in progress
                    raise _goes_in_circles(current, 0)
                final[current] = final[target]
                pending.pop()
                continue
            steps = depth.get(current, 0)
            missing = [operand for operand in current.inputs if operand not in final]
            if missing:
                pending.extend(reversed(missing))
                depth.update(dict.fromkeys(missing, steps))
                continue
            rebuilt = self._intern(self._rebuild(current))
            if rebuilt is not current:
                replacement[current] = rebuilt
                if rebuilt in final or rebuilt in replacement:
                    continue
                pending.append(rebuilt)
            rule, new = self._apply(rebuilt)
            if rule is None or new is None:
                final[rebuilt] = rebuilt
                self._order[rebuilt] = len(self._order)
                continue
            if steps >= self._limit:
                raise _goes_in_circles(rebuilt, steps)
            if new.type != rebuilt.type:
                raise VerifyError(
                    f"rewrite: {_name(rule)} replaced {rebuilt.op.name} of type {rebuilt.type} by {new.type}",
                    location=rebuilt.location,
                    hint="a rule gives a node of the same type as the one it replaces, or None",
                )
            replacement[rebuilt] = new
            depth[new] = steps + 1
            pending.append(new)
        return final[node]

    def _rebuild(self, node: Node) -> Node:
        new = with_inputs(node, tuple(self._final[operand] for operand in node.inputs))
        if self._inside_fused and new.op is FUSED:
            body = new.attribute("body")
            assert isinstance(body, Graph)
            rewritten = rewrite(body, self._rules, inside_fused=True, limit=self._limit)
            if rewritten is not body:
                attributes = tuple((name, rewritten if value is body else value) for name, value in new.attributes)
                return Node(FUSED, new.inputs, attributes, new.type, new.location)
        return new

    def _intern(self, node: Node) -> Node:
        if node.op is INPUT:  # two inputs are two values, whatever their names
            return node
        inputs = node.inputs
        if self._commutes(node.op) and self._order[inputs[0]] > self._order[inputs[1]]:
            inputs = (inputs[1], inputs[0], *inputs[2:])
        attributes = tuple(exact(value) for _, value in node.attributes)
        return self._interned.setdefault((node.op, inputs, attributes), node)

    def _commutes(self, op: Op) -> bool:
        known = self._commutative.get(op)
        if known is None:  # asking flags is slow enough to show on a graph of thousands
            known = self._commutative[op] = op.has(Flags.COMMUTATIVE)
        return known

    def _apply(self, node: Node) -> tuple[Rule | None, Node | None]:
        rules = self._rules.rules_for(node.op)
        if rules:
            with using(node.location):
                for rule in rules:
                    new = rule(node)
                    if new is not None and new is not node:
                        return rule, new
        return None, None


def rewrite(graph: Graph, rules: RuleSet = NO_RULES, *, inside_fused: bool = False, limit: int = LIMIT) -> Graph:
    """The graph with equal nodes merged and the rules applied until none applies.

    With `inside_fused` the bodies of fused nodes are rewritten too.
    """
    rewriter = Rewriter(rules, inside_fused=inside_fused, limit=limit)
    for node in graph.nodes:
        rewriter.rewrite(node)
    return with_outputs(graph, tuple(rewriter.rewrite(output) for output in graph.outputs))


def inline_fused(graph: Graph) -> Graph:
    """The graph with every fused node replaced by the nodes of its body."""
    results: dict[Node, tuple[Node, ...]] = {}
    new: dict[Node, Node] = {}
    for node in graph.nodes:
        inputs = tuple(new[operand] for operand in node.inputs if operand not in results)
        if node.op is FUSED:
            body = node.attribute("body")
            assert isinstance(body, Graph)
            results[node] = inline(inline_fused(body), inputs)
            if len(results[node]) == 1:
                new[node] = results.pop(node)[0]
        elif node.op is GET and node.inputs[0] in results:
            index = node.attribute("index")
            assert isinstance(index, int)
            new[node] = results[node.inputs[0]][index]
        else:
            new[node] = with_inputs(node, inputs)
    return with_outputs(graph, tuple(new[output] for output in graph.outputs))


def _goes_in_circles(node: Node, steps: int) -> VerifyError:
    count = f"{steps} times in a row" if steps else "by something that holds the node itself"
    return VerifyError(
        f"rewrite: {node.op.name} of type {node.type} was replaced {count}",
        location=node.location,
        hint="two rules undo each other, or one gives back what it was given",
    )


def _name(rule: Rule) -> str:
    return getattr(rule, "__name__", repr(rule))
