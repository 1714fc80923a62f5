"""In what a received event differs from the one that was sent."""

from __future__ import annotations

from typing import Any

import orjson

__all__ = ["differences", "shortened"]

_WIDTH = 240


def differences(expected: bytes, received: bytes) -> dict[str, tuple[Any, Any]]:
    """By name, what was sent and what came; None stands for a field that lacks.

    Args:
        expected: An event's spelling.
        received: Another's.
    """
    sent, came = orjson.loads(expected), orjson.loads(received)
    found = {name: (sent.get(name), came.get(name)) for name in {**sent, **came} if name != "fields" and sent.get(name) != came.get(name)}
    ours, theirs = sent.get("fields"), came.get("fields")
    if not (isinstance(ours, dict) and isinstance(theirs, dict)):
        return found if ours == theirs else {**found, "fields": (ours, theirs)}
    for name in {**ours, **theirs}:
        one, other = ours.get(name), theirs.get(name)
        if one != other or type(one) is not type(other) or (name in ours) is not (name in theirs):
            found[name] = (one, other)
    return found


def shortened(text: str) -> str:
    """A text for one line of an example."""
    text = "".join(character if character.isprintable() else f"\\x{ord(character):02x}" for character in text[: 2 * _WIDTH])
    return text if len(text) <= _WIDTH else f"{text[:_WIDTH]}..."
