"""What the audit's tests share: small streams, sins against them, and an oracle that needs no fingerprints."""

from __future__ import annotations

import json
from collections import Counter
from functools import cache
from typing import TYPE_CHECKING

from dovestorm.stream import Limits, Stream, open_stream

if TYPE_CHECKING:
    from collections.abc import Sequence

    from dovestorm.audit import AuditReport

SCENARIO = "imap-login"
SEED = 7


@cache
def stream(events: int = 400) -> Stream:
    return open_stream(SCENARIO, seed=SEED, limits=Limits(events=events))


@cache
def records(events: int = 400, format_name: str = "json", time_format: str = "rfc3339") -> tuple[bytes, ...]:
    """The stream as it is sent, record by record, without terminators."""
    found = []
    for block in stream(events).blocks(format_name, time_format=time_format):
        begin = 0
        for end in block.ends.tolist():
            found.append(bytes(block.data[begin : end - block.terminator]))
            begin = end
    return tuple(found)


def findings(report: AuditReport) -> dict[str, int]:
    """The counts."""
    names = ("expected", "received", "delivered", "missing", "altered", "doubled", "foreign", "out_of_order", "farthest")
    return {name: getattr(report, name) for name in names}


def oracle(sent: Sequence[bytes], received: Sequence[bytes]) -> dict[str, int]:
    """What an audit must find where nothing was altered: by counting, and by looking at every earlier arrival."""
    places: dict[bytes, list[int]] = {}
    for place, record in enumerate(sent):
        places.setdefault(record, []).append(place)
    doubled = foreign = out_of_order = farthest = 0
    front, seen = -1, Counter()
    for record in received:
        if record not in places:
            foreign += 1
            continue
        seen[record] += 1
        if seen[record] > len(places[record]):
            doubled += 1
            continue
        place = places[record][seen[record] - 1]
        out_of_order += place < front
        farthest = max(farthest, front - place)
        front = max(front, place)
    delivered = sum(min(count, len(places[record])) for record, count in seen.items())
    return {
        "expected": len(sent),
        "received": len(received),
        "delivered": delivered,
        "missing": len(sent) - delivered,
        "altered": 0,
        "doubled": doubled,
        "foreign": foreign,
        "out_of_order": out_of_order,
        "farthest": farthest,
    }


def reencoded(record: bytes) -> bytes:
    """The same event as another collector would write it: other order, more entries, blanks, times in another zone and as numbers."""
    event = json.loads(record)
    event["fields"] = dict(reversed(event["fields"].items()))
    event["start_time"] = event["start_time"].replace("Z", "+00:00")
    return json.dumps({"collected_by": "x", **dict(reversed(event.items()))}).encode()
