"""`NamedTuple` without `typing`, whose import costs each resident daemon about 1 MB of private memory.

A type checker sees `typing.NamedTuple` itself. At run time the class statement makes a `collections.namedtuple` with
the same fields, defaults and methods.
"""

from __future__ import annotations

from collections import namedtuple

TYPE_CHECKING = False

if TYPE_CHECKING:
    from typing import NamedTuple as NamedTuple
else:

    class _RecordType(type):
        def __new__(mcls, name, bases, namespace):
            if not bases:
                return super().__new__(mcls, name, bases, namespace)
            fields = namespace.get("__annotations__", {})
            defaults = [namespace.pop(field) for field in fields if field in namespace]
            record = namedtuple(name, fields, defaults=defaults, module=namespace["__module__"])
            for key, value in namespace.items():
                if key not in ("__annotations__", "__module__", "__qualname__"):
                    setattr(record, key, value)
            return record

    class NamedTuple(metaclass=_RecordType):
        """Subclass it with annotated fields, as with `typing.NamedTuple`."""
