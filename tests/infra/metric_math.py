"""CloudWatch's metric maths, as far as infra/ uses it: what an expression says of series with gaps.

Sources: CloudWatch User Guide, "Using metric math": FILL, IF, arithmetic, comparison operators.
An expression of these is also one of Python, so that Python reads it.
"""

from __future__ import annotations

import ast
import operator
from collections.abc import Callable, Mapping, Sequence
from typing import Final, TypeAlias

Series: TypeAlias = Sequence[float | None]
"""Oldest first; None where a minute has no number."""

_OPERATORS: Final[Mapping[type[ast.AST], Callable[[float, float], float]]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
    ast.Lt: operator.lt,
    ast.Gt: operator.gt,
    ast.GtE: operator.ge,
}


def evaluate(expression: str, metrics: Mapping[str, Series]) -> list[float | None]:
    """The series that an expression makes of these metrics, which are of one length."""
    length = {len(series) for series in metrics.values()}
    assert len(length) == 1
    return _value(ast.parse(expression, mode="eval").body, metrics, length.pop())


def _value(node: ast.expr, metrics: Mapping[str, Series], length: int) -> list[float | None]:
    match node:
        case ast.Constant(value=int() | float() as number):
            return [float(number)] * length
        case ast.Name(id=name):
            return list(metrics[name])
        case ast.BinOp(left=left, op=sign, right=right):
            pass
        case ast.Compare(left=left, ops=[sign], comparators=[right]):
            pass
        case ast.Call(func=ast.Name(id="FILL"), args=[series, ast.Name(id="REPEAT")]):
            return _repeated(_value(series, metrics, length))
        case ast.Call(func=ast.Name(id="FILL"), args=[series, filler]):
            pairs = zip(
                _value(series, metrics, length), _value(filler, metrics, length), strict=True
            )
            return [other if value is None else value for value, other in pairs]
        case ast.Call(func=ast.Name(id="IF"), args=[asked, then, otherwise]):
            branches = (_value(branch, metrics, length) for branch in (asked, then, otherwise))
            return [yes if condition else no for condition, yes, no in zip(*branches, strict=True)]
        case _:
            raise AssertionError(f"not known here: {ast.unparse(node)}")
    pairs = zip(_value(left, metrics, length), _value(right, metrics, length), strict=True)
    return [_joined(_OPERATORS[type(sign)], a, b) for a, b in pairs]


def _joined(
    sign: Callable[[float, float], float], left: float | None, right: float | None
) -> float | None:
    if left is None and right is None:
        return None
    left, right = left or 0.0, right or 0.0  # a missing value is taken for zero
    if sign is operator.truediv and right == 0:
        return None
    return float(sign(left, right))


def _repeated(series: Series) -> list[float | None]:
    filled: list[float | None] = []
    for value in series:
        filled.append(value if value is not None or not filled else filled[-1])
    return filled
