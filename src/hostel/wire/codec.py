"""Frozen dataclasses to JSON objects and back, strictly.

The reader is a security boundary: the agent treats what the panel sends as untrusted. Unknown keys, missing keys
and values of another type are refused, never coerced.
"""

import dataclasses
import enum
import functools
import math
import types
import typing
from collections.abc import Mapping
from typing import Any, TypeVar

from hostel.wire.errors import MalformedMessage

T = TypeVar("T")
_PLAIN = (str, int, bool)  # as JSON has them


@dataclasses.dataclass(frozen=True, slots=True)
class _Shape:
    hints: dict[str, Any]
    fields: dict[str, "dataclasses.Field[Any]"]


@functools.cache
def _shape(kind: type[Any]) -> _Shape:
    """Found out once: for a thousand reports it would take most of the time."""
    return _Shape(typing.get_type_hints(kind), {field.name: field for field in dataclasses.fields(kind)})


def to_jsonable(value: object) -> Any:
    """`value` as plain dicts, lists, strings, numbers, booleans and None, ready for `json.dumps`."""
    if type(value) in _PLAIN or value is None:
        return value
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {name: to_jsonable(getattr(value, name)) for name in _shape(type(value)).fields}
    if isinstance(value, enum.Enum):
        return value.value
    if isinstance(value, tuple | list):
        return [to_jsonable(item) for item in value]
    if isinstance(value, Mapping):
        return {str(key): to_jsonable(item) for key, item in value.items()}
    return value


def parse(kind: type[T], data: object, *, where: str = "") -> T:
    """Read `data` (as `json.loads` gives it) as the dataclass `kind`.

    Raises MalformedMessage, naming the place and what would be accepted.
    """
    if not isinstance(data, dict):
        raise MalformedMessage(f"{where or kind.__name__}: expected an object")
    shape = _shape(kind)  # type: ignore[arg-type]  # a class is hashable
    hints, fields = shape.hints, shape.fields
    unknown = sorted(set(data) - set(fields))
    if unknown:
        raise MalformedMessage(f"{where or kind.__name__}: unknown key {unknown[0]!r}")
    values: dict[str, Any] = {}
    for name, field in fields.items():
        place = f"{where}.{name}" if where else name
        if name in data:
            values[name] = _parse_value(hints[name], data[name], place)
        elif field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING:
            raise MalformedMessage(f"{place}: missing")
    return kind(**values)


def _parse_value(hint: Any, value: object, where: str) -> Any:
    if hint in _PLAIN and type(value) is hint:
        return value
    origin = typing.get_origin(hint)
    if origin in (types.UnionType, typing.Union):
        return _parse_optional(hint, value, where)
    if origin is tuple:
        if not isinstance(value, list):
            raise MalformedMessage(f"{where}: expected a list")
        (item_hint, _) = typing.get_args(hint)
        return tuple(_parse_value(item_hint, item, f"{where}[{i}]") for i, item in enumerate(value))
    if origin is not None and issubclass(origin, Mapping):
        if not isinstance(value, dict):
            raise MalformedMessage(f"{where}: expected an object")
        (_, item_hint) = typing.get_args(hint)
        return {str(key): _parse_value(item_hint, item, f"{where}.{key}") for key, item in value.items()}
    supertype = getattr(hint, "__supertype__", None)
    return _parse_scalar(supertype or hint, value, where)


def _parse_optional(hint: Any, value: object, where: str) -> Any:
    if value is None:
        return None
    (inner,) = [arg for arg in typing.get_args(hint) if arg is not types.NoneType]
    return _parse_value(inner, value, where)


def _parse_scalar(hint: Any, value: object, where: str) -> Any:
    if dataclasses.is_dataclass(hint):
        return parse(hint, value, where=where)  # type: ignore[arg-type]  # is_dataclass admits instances too
    if isinstance(hint, type) and issubclass(hint, enum.Enum):
        try:
            return hint(value)
        except ValueError:
            accepted = ", ".join(str(member.value) for member in hint)
            raise MalformedMessage(f"{where}: expected one of {accepted}") from None
    if hint is float and type(value) in (int, float):
        return _parse_float(value, where)
    if type(value) is not hint:
        raise MalformedMessage(f"{where}: expected {hint.__name__}")
    return value


def _parse_float(value: Any, where: str) -> float:
    """JSON as Python reads it has NaN, infinities and integers beyond every float: a timer of NaN stops all timers."""
    try:
        number = float(value)
    except OverflowError:
        number = math.inf
    if not math.isfinite(number):
        raise MalformedMessage(f"{where}: expected a finite number")
    return number
