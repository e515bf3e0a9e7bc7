"""`NamedTuple` without `typing`, whose import costs each resident daemon about 1 MB of private memory.

A type checker sees `typing.NamedTuple` itself. At run time the class statement makes a `collections.namedtuple` with
the same fields, defaults and methods, of which all records share those that do not depend on the class.
"""

from __future__ import annotations

from collections import namedtuple

TYPE_CHECKING = False

if TYPE_CHECKING:
    from typing import NamedTuple as NamedTuple
else:

    def _make(cls, values):
        record = tuple.__new__(cls, values)
        if len(record) != len(cls._fields):
            raise TypeError(f"{len(record)} values for the {len(cls._fields)} fields of {cls.__name__}")
        return record

    def _replace(self, /, **changes):
        record = self._make(map(changes.pop, self._fields, self))
        if changes:
            raise ValueError(f"{type(self).__name__} has no field {', '.join(changes)}")
        return record

    def _asdict(self):
        return dict(zip(self._fields, self, strict=True))

    def _repr(self):
        fields = (f"{name}={value!r}" for name, value in zip(self._fields, self, strict=True))
        return f"{type(self).__name__}({', '.join(fields)})"

    def _newargs(self):
        return tuple(self)

    _METHODS = {
        "_make": classmethod(_make),
        "_replace": _replace,
        "_asdict": _asdict,
        "__repr__": _repr,
        "__getnewargs__": _newargs,
    }
    """What namedtuple makes again for each class, 1.5 KB each time: here all classes share them."""

    class _RecordType(type):
        def __new__(mcls, name, bases, namespace):
            if not bases:
                return super().__new__(mcls, name, bases, namespace)
            fields = namespace.get("__annotations__", {})
            defaults = [namespace.pop(field) for field in fields if field in namespace]
            record = namedtuple(name, fields, defaults=defaults, module=namespace["__module__"])
            for key, value in (_METHODS | namespace).items():
                if key not in ("__annotations__", "__module__", "__qualname__"):
                    setattr(record, key, value)
            return record

    class NamedTuple(metaclass=_RecordType):
        """Subclass it with annotated fields, as with `typing.NamedTuple`."""
