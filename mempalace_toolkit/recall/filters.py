"""chromadb's where clauses: as SQL over its tables, and on metadata that is not in a table yet.

A comparison looks at values of its own type only: text, whole numbers, fractions, yes and no.
`$ne` and `$nin` hold for drawers without the key, too.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

Where = Mapping[str, Any]
Value = str | int | float | bool

_ORDER: Mapping[str, tuple[str, Callable[[Any, Any], bool]]] = {
    "$gt": (">", operator.gt),
    "$gte": (">=", operator.ge),
    "$lt": ("<", operator.lt),
    "$lte": ("<=", operator.le),
}
_EQUAL = {"$eq": True, "$in": True, "$ne": False, "$nin": False}


class FilterError(ValueError):
    """A where clause that is not understood here; nothing is left out of one silently."""


@dataclass(frozen=True, slots=True)
class Condition:
    """An SQL expression over a row `e` of `embeddings`, and its values."""

    sql: str
    values: tuple[Value, ...] = ()


@dataclass(frozen=True, slots=True)
class _Comparison:
    key: str
    operator: str
    operand: Any


def condition(where: Where | None) -> Condition:
    """The clause as SQL. Raises FilterError."""
    if not where:
        return Condition("1")
    parts = [_one(key, value) for key, value in where.items()]
    return _joined("and", parts)


def matches(metadata: Mapping[str, Any], where: Where | None) -> bool:
    """Whether a drawer with this metadata is meant by the clause. Raises FilterError."""
    return all(_holds(metadata, key, value) for key, value in (where or {}).items())


def equalities(where: Where | None, keys: frozenset[str]) -> dict[str, frozenset[str]] | None:
    """What the clause demands of each key, where it demands nothing else than that these keys
    have one of some texts; else None."""
    demanded: dict[str, frozenset[str]] = {}
    for key, value in (where or {}).items():
        if key == "$and":
            parts = [equalities(part, keys) for part in _clauses(key, value)]
        elif key in keys:
            parts = [_equality(comparison) for comparison in _comparisons(key, value)]
        else:
            return None
        for part in parts:
            if part is None:
                return None
            for name, texts in part.items():
                demanded[name] = demanded.get(name, texts) & texts
    return demanded


def _equality(one: _Comparison) -> dict[str, frozenset[str]] | None:
    texts = one.operand if one.operator == "$in" else [one.operand]
    if one.operator not in ("$eq", "$in") or not all(isinstance(text, str) for text in texts):
        return None
    return {one.key: frozenset(texts)}


def _one(key: str, value: Any) -> Condition:
    if key in ("$and", "$or"):
        return _joined(key[1:], [condition(part) for part in _clauses(key, value)])
    return _joined("and", [_sql(comparison) for comparison in _comparisons(key, value)])


def _holds(metadata: Mapping[str, Any], key: str, value: Any) -> bool:
    if key == "$and":
        return all(matches(metadata, part) for part in _clauses(key, value))
    if key == "$or":
        return any(matches(metadata, part) for part in _clauses(key, value))
    return all(_compare(metadata.get(key), one) for one in _comparisons(key, value))


def _clauses(key: str, value: Any) -> Sequence[Where]:
    if not isinstance(value, list) or not value or not all(isinstance(v, Mapping) for v in value):
        raise FilterError(f"{key} takes a list of clauses")
    return value


def _comparisons(key: str, value: Any) -> Iterator[_Comparison]:
    if key.startswith("$"):
        raise FilterError(f"the operator {key} is not known here")
    if not isinstance(value, Mapping):
        value = {"$eq": value}
    for name, operand in value.items():
        listed = name in ("$in", "$nin")
        if name not in _ORDER and name not in _EQUAL:
            raise FilterError(f"the operator {name} is not known here")
        if listed and (not isinstance(operand, list) or not operand):
            raise FilterError(f"{name} takes a list of values")
        for one in operand if listed else [operand]:
            if not isinstance(one, str | int | float):
                raise FilterError(f"{name} takes text or a number, not {type(one).__name__}")
        yield _Comparison(key, name, operand)


def _sql(one: _Comparison) -> Condition:
    there = "exists (select 1 from embedding_metadata m where m.id = e.id and m.key = ? and "
    if one.operator in _ORDER:
        if isinstance(one.operand, str | bool):
            raise FilterError(f"{one.operator} takes a number")
        sign = _ORDER[one.operator][0]
        column = _column(one.operand)
        return Condition(f"{there}m.{column} {sign} ?)", (one.key, one.operand))
    operands = one.operand if isinstance(one.operand, list) else [one.operand]
    any_of = " or ".join(f"m.{_column(operand)} = ?" for operand in operands)
    negated = "" if _EQUAL[one.operator] else "not "
    return Condition(f"{negated}{there}({any_of}))", (one.key, *operands))


def _compare(actual: Any, one: _Comparison) -> bool:
    if one.operator in _ORDER:
        same_type = actual is not None and _column(actual) == _column(one.operand)
        return same_type and _ORDER[one.operator][1](actual, one.operand)
    operands = one.operand if isinstance(one.operand, list) else [one.operand]
    equal = any(
        actual is not None and _column(actual) == _column(operand) and actual == operand
        for operand in operands
    )
    return equal is _EQUAL[one.operator]


def _column(value: Value) -> str:
    """The column of `embedding_metadata` that holds a value of this type."""
    if isinstance(value, bool):
        return "bool_value"
    if isinstance(value, int):
        return "int_value"
    return "float_value" if isinstance(value, float) else "string_value"


def _joined(word: str, parts: Sequence[Condition]) -> Condition:
    sql = f" {word} ".join(f"({part.sql})" for part in parts)
    return Condition(sql, tuple(value for part in parts for value in part.values))
