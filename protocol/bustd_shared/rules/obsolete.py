"""Keys that are accepted and have no effect any more: a file that has one still works, and it is said."""

from __future__ import annotations

from .schema import OBSOLETE, Key, Problem, Schema, Values


def obsolete(document: Values, schema: Schema, file: str, prefix: str = "") -> list[Problem]:
    """A warning for each key of the document that has no effect any more."""
    found_keys = []
    for name, found in document.items():
        spec = schema.get(name)
        if isinstance(spec, Key) and spec.kind == OBSOLETE:
            found_keys.append(Problem(file, prefix + name, f"has no effect any more: {spec.meaning}"))
        elif isinstance(spec, dict) and isinstance(found, dict):
            found_keys += obsolete(found, spec, file, f"{prefix}{name}.")
    return found_keys
