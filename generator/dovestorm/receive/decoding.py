"""A kept record to an event, as a dictionary."""

from __future__ import annotations

import json
from typing import Any, cast

from dovestorm.receive.framing import guess_format

__all__ = ["decode"]


def decode(record: bytes, layout: str) -> dict[str, Any]:
    """The event that a record holds; from tab-text, every value is a text, since that format tells no types.

    Args:
        record: One record, without a terminator.
        layout: Its format, or ``auto`` to go by the first byte.

    Raises:
        ValueError: It holds none; the text says of which format, and why.
    """
    known = layout if layout != "auto" else guess_format(record) if record else "json"
    try:
        event = _DECODERS.get(known, json.loads)(record)
    except (ValueError, RecursionError) as error:
        raise ValueError(f"no {known} event: {error or type(error).__name__}") from None
    if not isinstance(event, dict):
        raise ValueError(f"no {known} event: it is no map but {type(event).__name__}")  # noqa: TRY004 - wrong data, not a wrong call
    return event


def _packed(record: bytes) -> Any:
    import msgpack

    return cast(Any, msgpack).unpackb(record, strict_map_key=False, unicode_errors="surrogateescape")


def _tab_text(record: bytes) -> Any:
    from dovestorm.validate.json_lines import UnreadableError
    from dovestorm.validate.tab_text import parse_tab_text

    try:
        return parse_tab_text(record, {})[0]
    except UnreadableError as error:
        raise ValueError(str(error)) from None


_DECODERS = {"msgpack": _packed, "tab-text": _tab_text}
