"""`NamedTuple` without `typing`, and enumerations without `enum`, which cost a resident daemon 1 and 0.2 MB.

A type checker sees `typing.NamedTuple` itself. At run time a class statement becomes a tuple with named fields, as
`collections.namedtuple` makes it, except that all of them share one set of methods: with its own for each, the hundred
records of a daemon take 150 KB more. Members of an enumeration have a name and a value, and are its only instances.
What neither daemon needs is not there at run time: no `in`, `len` or `[name]` of an enumeration.
"""

from __future__ import annotations

from collections import namedtuple

TYPE_CHECKING = False

if TYPE_CHECKING:
    from enum import IntEnum as IntEnum
    from typing import NamedTuple as NamedTuple
else:

    class _EnumType(type):
        def __init__(cls, name, bases, namespace):
            cls._by_value = {}
            for key, value in namespace.items():
                if not key.startswith("_"):
                    member = cls._by_value[value] = cls.__new__(cls, value)
                    member.name, member.value = key, value
                    setattr(cls, key, member)

        def __call__(cls, value):
            if value not in cls._by_value:
                raise ValueError(f"{value!r} is not a valid {cls.__name__}")
            return cls._by_value[value]

        def __iter__(cls):
            return iter(cls._by_value.values())

    class IntEnum(int, metaclass=_EnumType):
        """Subclass it with constants, as `enum.IntEnum`."""

    class _Record(tuple):
        """What a namedtuple can do (collections.namedtuple), once for all of them."""

        __slots__ = ()
        _fields = ()

        @classmethod
        def _make(cls, values):
            record = tuple.__new__(cls, values)
            if len(record) != len(cls._fields):
                raise TypeError(f"{cls.__name__} has {len(cls._fields)} fields, not {len(record)}")
            return record

        def _replace(self, /, **changes):
            record = self._make(map(changes.pop, self._fields, self))
            if changes:
                raise ValueError(f"{type(self).__name__} has no {', '.join(changes)}")
            return record

        def _asdict(self):
            return dict(zip(self._fields, self, strict=True))

        def __repr__(self):
            values = ", ".join(f"{name}={value!r}" for name, value in zip(self._fields, self, strict=True))
            return f"{type(self).__name__}({values})"

        def __getnewargs__(self):
            return tuple(self)

    class _RecordType(type):
        def __new__(mcls, name, bases, namespace):
            if not bases:
                return super().__new__(mcls, name, bases, namespace)
            fields = tuple(namespace.pop("__annotations__", ()))
            defaults = {field: namespace.pop(field) for field in fields if field in namespace}
            pattern = namedtuple(name, fields, defaults=defaults.values())  # it has the fast constructor and getters
            pattern.__new__.__doc__ = None
            taken = {field: pattern.__dict__[field] for field in (*fields, "__new__", "__match_args__")}
            body = {**namespace, **taken, "__slots__": (), "_fields": fields, "_field_defaults": defaults}
            return type(name, (_Record,), body)

    class NamedTuple(metaclass=_RecordType):
        """Subclass it with annotated fields, as with `typing.NamedTuple`."""
