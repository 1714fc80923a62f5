"""One kind of event, the way a Python author writes it: a dict, then orjson. Run as a program, it times that loop.

``python same_event.py precomputed|faker COUNT PATH`` prints a line of JSON: events, seconds, bytes. Imports are not in the time.
"""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

import orjson

if TYPE_CHECKING:
    from collections.abc import Iterator

    from faker import Faker

POOL = 4096
LINES_A_WRITE = 1000
NAMES = ("SELECT", "UID FETCH", "UID STORE", "NOOP", "STATUS")


def event(*, moment: str, tag: int, name: str, first: int, last: int, state: str, numbers: tuple[int, int, int, int, int]) -> dict[str, object]:
    duration, running, waited, bytes_in, bytes_out = numbers
    return {
        "event": "imap_command_finished",
        "hostname": "mail01",
        "start_time": moment,
        "end_time": moment,
        "categories": ["imap"],
        "fields": {
            "duration": duration,
            "tag": f"a{tag}",
            "name": name,
            "args": f"{first}:{last} (FLAGS)",
            "human_args": f"{first}:{last} (FLAGS)",
            "tagged_reply_state": state,
            "tagged_reply": f"OK {name} completed (0.001 secs).",
            "last_run_time": moment,
            "running_usecs": running,
            "lock_wait_usecs": waited,
            "bytes_in": bytes_in,
            "bytes_out": bytes_out,
        },
    }


def drawn(fake: Faker, tag: int) -> dict[str, object]:
    """An event with every value asked of Faker."""
    number = fake.random_int
    return event(
        moment=fake.date_time().strftime("%Y-%m-%dT%H:%M:%S.%fZ"),
        tag=tag,
        name=fake.random_element(NAMES),
        first=number(1, 5000),
        last=number(5000, 9999),
        state="OK" if number(1, 50) > 1 else "NO",
        numbers=(number(40, 90000), number(10, 9000), number(0, 50), number(10, 200), number(40, 60000)),
    )


def precomputed(count: int) -> Iterator[dict[str, object]]:
    """Events with values from lists that were made before the clock starts."""
    names = [NAMES[i % len(NAMES)] for i in range(POOL)]
    numbers = [(40 + i * 21 % 89960, 10 + i % 8990, i % 50, 10 + i % 190, 40 + i * 37 % 59960) for i in range(POOL)]
    moments = [f"2026-03-02T09:{i // 60 % 60:02}:{i % 60:02}.{i * 241 % 1000000:06}Z" for i in range(POOL)]
    states = ["NO" if i % 50 == 0 else "OK" for i in range(POOL)]
    yield {}
    for tag in range(count):
        i = tag % POOL
        yield event(moment=moments[i], tag=tag, name=names[i], first=i, last=i + 5000, state=states[i], numbers=numbers[i])


def faked(count: int) -> Iterator[dict[str, object]]:
    from faker import Faker

    fake = Faker()
    fake.seed_instance(7)
    yield {}
    for tag in range(count):
        yield drawn(fake, tag)


def main(kind: str, count: int, path: str) -> None:
    events = {"precomputed": precomputed, "faker": faked}[kind](count)
    next(events)  # the first step only prepares
    written, lines = 0, []
    with Path(path).open("wb", buffering=0) as out:
        begun = time.perf_counter()
        for one in events:
            lines.append(orjson.dumps(one, option=orjson.OPT_APPEND_NEWLINE))
            if len(lines) == LINES_A_WRITE:
                written += out.write(b"".join(lines))
                lines.clear()
        written += out.write(b"".join(lines))
        seconds = time.perf_counter() - begun
    print(json.dumps({"events": count, "seconds": seconds, "bytes": written}))


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), sys.argv[3])
