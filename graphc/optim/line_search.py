"""A line search for a point that satisfies the strong Wolfe conditions.

J. Nocedal, S. J. Wright: Numerical Optimization (2006), algorithms 3.5 and 3.6, with cubic interpolation (3.59).

In: a function that evaluates the objective along a direction. Out: the step taken and what was found there.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

from graphc.eager.tensor import Tensor

SUFFICIENT_DECREASE = 1e-4
CURVATURE = 0.9


class Point(NamedTuple):
    """A step along the direction: its length, the objective there, its gradient, and its slope in the direction."""

    step: Any
    loss: float
    gradient: Any
    slope: Any


def strong_wolfe(
    evaluate: Callable[[Any], tuple[float, Tensor]],
    step: Any,
    direction: Any,
    start: Point,
    most_steps: int,
    tolerance: float = 1e-9,
) -> tuple[Point, int]:
    """A point with a lower objective and a flatter slope than `start`, and how often the objective was evaluated.

    `step` is tried first. The best point so far is given when `most_steps` were tried, or when the interval is shorter
    than `tolerance`.
    """

    def at(step: Any) -> Point:
        loss, gradient = evaluate(step)
        return Point(step, loss, gradient, gradient.dot(direction))  # type: ignore[attr-defined]  # a tensor's method

    def is_too_high(point: Point) -> bool:
        return bool(point.loss > start.loss + SUFFICIENT_DECREASE * point.step * start.slope)

    def is_flat(point: Point) -> bool:
        return bool(abs(point.slope) <= -CURVATURE * start.slope)

    longest: Any = direction.abs().max()
    start = start._replace(gradient=start.gradient.clone())
    point, previous = at(step), start._replace(step=0)
    evaluations, tried = 1, 0
    bracket: list[Point] | None = None
    while tried < most_steps:
        if is_too_high(point) or (tried > 1 and point.loss >= previous.loss):
            bracket = [previous, point]
            break
        if is_flat(point):
            return point, evaluations
        if point.slope >= 0:
            bracket = [previous, point]
            break
        least, most = point.step + 0.01 * (point.step - previous.step), point.step * 10
        step = interpolate(previous, point, (least, most))
        previous, point = point, at(step)
        evaluations += 1
        tried += 1
    if bracket is None:
        bracket = [start._replace(step=0), point]
    low, high = (0, 1) if bracket[0].loss <= bracket[1].loss else (1, 0)
    was_close = False
    while tried < most_steps:
        if abs(bracket[1].step - bracket[0].step) * longest < tolerance:
            break
        step = interpolate(bracket[0], bracket[1])
        left, right = sorted((bracket[0].step, bracket[1].step))
        margin = 0.1 * (right - left)
        if min(right - step, step - left) < margin:  # close to an end of the interval
            if was_close or step >= right or step <= left:
                step = right - margin if abs(step - right) < abs(step - left) else left + margin
                was_close = False
            else:
                was_close = True
        else:
            was_close = False
        point = at(step)
        evaluations += 1
        tried += 1
        if is_too_high(point) or point.loss >= bracket[low].loss:
            bracket[high] = point
            low, high = (0, 1) if bracket[0].loss <= bracket[1].loss else (1, 0)
            continue
        is_done = is_flat(point)
        if not is_done and point.slope * (bracket[high].step - bracket[low].step) >= 0:
            bracket[high] = bracket[low]
        bracket[low] = point
        if is_done:
            break
    return bracket[low], evaluations


def interpolate(first: Point, second: Point, bounds: tuple[Any, Any] | None = None) -> Any:
    """The step at the minimum of the cubic through both points, within bounds: by default the interval between them."""
    a, b = (first, second) if first.step <= second.step else (second, first)
    least, most = (a.step, b.step) if bounds is None else bounds
    # The same formula for both orders: (3.59) with the farther point last.
    mean = first.slope + second.slope - 3 * (first.loss - second.loss) / (first.step - second.step)
    square = mean**2 - first.slope * second.slope
    if not square >= 0:
        return (least + most) / 2.0
    root = square.sqrt()
    lowest = b.step - (b.step - a.step) * ((b.slope + root - mean) / (b.slope - a.slope + 2 * root))
    return min(max(lowest, least), most)
