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
from collections.abc import Callable, Iterable, Mapping
from typing import Any, TypeVar

from hostel.wire.errors import MalformedMessage

T = TypeVar("T")
_Read = Callable[[Any], Any]  # raises _Misfit
_Write = Callable[[Any], Any]
_PLAIN = frozenset((str, int, float, bool, types.NoneType))  # as JSON has them


class _Misfit(Exception):
    """What does not fit; whoever holds it adds where, from the inside out."""

    def __init__(self, what: str, *place: str) -> None:
        super().__init__(what)
        self.what = what
        self.place = list(place)


@dataclasses.dataclass(frozen=True, slots=True)
class _Field:
    read: _Read
    is_required: bool


def to_jsonable(value: object) -> Any:
    """`value` as plain dicts, lists, strings, numbers, booleans and None, ready for `json.dumps`."""
    return _writer(type(value))(value)  # type: ignore[arg-type]  # a class is hashable


def to_compact(value: object) -> dict[str, Any]:
    """The dataclass `value` as `to_jsonable` has it, but for fields that have their default, which `parse` adds."""
    assumed = defaults(type(value))  # type: ignore[arg-type]  # a class is hashable
    return {name: item for name, item in to_jsonable(value).items() if name not in assumed or item != assumed[name]}


@functools.cache
def defaults(kind: type[Any]) -> dict[str, Any]:
    """What `parse` assumes of a dataclass where a field is missing, as `to_jsonable` has it."""
    found = {}
    for field in dataclasses.fields(kind):
        if field.default is not dataclasses.MISSING:
            found[field.name] = to_jsonable(field.default)
        elif field.default_factory is not dataclasses.MISSING:
            found[field.name] = to_jsonable(field.default_factory())
    return found


def parse(kind: type[T], data: object, *, where: str = "") -> T:
    """Read `data` (as `json.loads` gives it) as the dataclass `kind`.

    Raises MalformedMessage, naming the place and what would be accepted.
    """
    try:
        return _read_object(kind, data)
    except _Misfit as misfit:
        place = (where + "".join(reversed(misfit.place))).removeprefix(".")
        raise MalformedMessage(f"{place or kind.__name__}: {misfit.what}") from None


def _read_object(kind: type[T], data: object) -> T:
    if not isinstance(data, dict):
        raise _Misfit("expected an object")
    fields = _fields(kind)  # type: ignore[arg-type]  # a class is hashable
    values: dict[str, Any] = {}
    for name, value in data.items():
        field = fields.get(name)
        if field is None:
            raise _Misfit(f"unknown key {min(set(data) - set(fields))!r}")
        try:
            values[name] = field.read(value)
        except _Misfit as misfit:
            misfit.place.append(f".{name}")
            raise
    if len(values) < len(fields):
        for name, field in fields.items():
            if field.is_required and name not in values:
                raise _Misfit("missing", f".{name}")
    return kind(**values)


# Found out once for each kind and hint: for thousands of records it would take most of the time.


@functools.cache
def _writer(kind: type[Any]) -> _Write:
    if dataclasses.is_dataclass(kind):
        return functools.partial(_write_object, tuple(_fields(kind)))
    if issubclass(kind, enum.Enum):
        return _write_enum
    if issubclass(kind, tuple | list):
        return _write_list
    if issubclass(kind, Mapping):
        return _write_mapping
    return _write_plain


def _write_object(names: tuple[str, ...], value: object) -> dict[str, Any]:
    found = {}
    for name in names:
        item = getattr(value, name)
        found[name] = item if type(item) in _PLAIN else to_jsonable(item)
    return found


def _write_enum(value: enum.Enum) -> Any:
    return value.value


def _write_list(value: Iterable[object]) -> list[Any]:
    return [to_jsonable(item) for item in value]


def _write_mapping(value: Mapping[Any, object]) -> dict[str, Any]:
    return {str(key): to_jsonable(item) for key, item in value.items()}


def _write_plain(value: object) -> Any:
    return value


@functools.cache
def _fields(kind: type[Any]) -> dict[str, _Field]:
    hints = typing.get_type_hints(kind)
    return {
        field.name: _Field(_reader(hints[field.name]), is_required=_has_no_default(field))
        for field in dataclasses.fields(kind)
    }


def _has_no_default(field: "dataclasses.Field[Any]") -> bool:
    return field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING


@functools.cache
def _reader(hint: Any) -> _Read:
    origin = typing.get_origin(hint)
    if origin in (types.UnionType, typing.Union):
        (inner,) = [arg for arg in typing.get_args(hint) if arg is not types.NoneType]
        return functools.partial(_read_optional, _reader(inner))
    if origin is tuple:
        (inner, _) = typing.get_args(hint)
        return functools.partial(_read_list, _reader(inner))
    if origin is not None and issubclass(origin, Mapping):
        (_, inner) = typing.get_args(hint)
        return functools.partial(_read_mapping, _reader(inner))
    kind = getattr(hint, "__supertype__", hint)
    if dataclasses.is_dataclass(kind):
        return functools.partial(_read_object, kind)  # type: ignore[arg-type]  # is_dataclass admits instances too
    if issubclass(kind, enum.Enum):
        return functools.partial(_read_enum, {member.value: member for member in kind})
    return _read_float if kind is float else functools.partial(_read_plain, kind)


def _read_optional(read: _Read, value: object) -> Any:
    return None if value is None else read(value)


def _read_list(read: _Read, value: object) -> tuple[Any, ...]:
    if not isinstance(value, list):
        raise _Misfit("expected a list")
    items = []
    for index, item in enumerate(value):
        try:
            items.append(read(item))
        except _Misfit as misfit:
            misfit.place.append(f"[{index}]")
            raise
    return tuple(items)


def _read_mapping(read: _Read, value: object) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise _Misfit("expected an object")
    items = {}
    for key, item in value.items():
        try:
            items[str(key)] = read(item)
        except _Misfit as misfit:
            misfit.place.append(f".{key}")
            raise
    return items


def _read_enum(members: Mapping[Any, enum.Enum], value: object) -> enum.Enum:
    try:
        return members[value]
    except (KeyError, TypeError):  # a list is no key
        raise _Misfit(f"expected one of {', '.join(map(str, members))}") from None


def _read_plain(kind: type[Any], value: object) -> Any:
    if type(value) is not kind:
        raise _Misfit(f"expected {kind.__name__}")
    return value


def _read_float(value: Any) -> float:
    """JSON as Python reads it has NaN, infinities and integers beyond every float: a timer of NaN stops all timers."""
    if type(value) not in (int, float):
        raise _Misfit("expected float")
    try:
        number = float(value)
    except OverflowError:
        number = math.inf
    if not math.isfinite(number):
        raise _Misfit("expected a finite number")
    return number
