"""What is found out before a run, in processes of their own: how many of the first events fall to each shard, and what the generator can do.

``python -m dovestorm.load.beforehand shares|ceiling SPEC`` prints one JSON value.
It ends when its input does, so it never outlives who started it.
"""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import threading
import time
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from dovestorm import sinks
from dovestorm.errors import DovestormError
from dovestorm.load.recording import recorded_shares
from dovestorm.load.source import Source

if TYPE_CHECKING:
    from dovestorm.load.plan import Plan

__all__ = ["count_shares", "discarding", "measure_ceiling", "shares"]


def shares(plan: Plan, shards: int) -> list[int | None]:
    """For each of ``shards`` shards: how many of the stream's first ``plan.events`` events it holds; None for all.

    Raises:
        DovestormError: The scenario or the recording cannot be used.
    """
    if plan.events is None or shards == 1:
        return [plan.events] * shards
    found: list[int | None] = _ask("shares", {"source": plan.source.to_dict(), "events": plan.events, "shards": shards})
    return found


def measure_ceiling(source: Source, seconds: float) -> float:
    """Events per second that one generating worker brings into a connection whose other end discards, measured for ``seconds``.

    Raises:
        DovestormError: The source cannot be used.
    """
    return float(_ask("ceiling", {"source": source.to_dict(), "seconds": seconds}))


def _ask(what: str, spec: dict[str, Any]) -> Any:
    kept_open, ours = os.pipe()  # the other process ends when ours is closed, however we end
    try:
        done = subprocess.run(
            [sys.executable, "-P", "-m", "dovestorm.load.beforehand", what, json.dumps(spec)],
            stdin=kept_open,
            start_new_session=True,  # Ctrl-C in a terminal is for the one who asks
            capture_output=True,
            text=True,
            check=False,
        )
    finally:
        os.close(kept_open)
        os.close(ours)
    if done.returncode:
        raise DovestormError(done.stderr.strip() or f"the process that should find out the {what} is gone (exit code {done.returncode})")
    return json.loads(done.stdout)


def count_shares(source: Source, events: int, shards: int) -> list[int]:
    """Count whose sessions the first events are, without rendering them."""
    if source.recording:
        return recorded_shares(source.recording, events=events, shards=shards)
    counts = np.zeros(shards, dtype=np.int64)
    for batch in replace(source, events=events).stream().batches(reuse=True):
        counts += np.bincount(batch.session % shards, minlength=shards)
    return [int(count) for count in counts]


def _ceiling(source: Source, seconds: float) -> float:
    from dovestorm.load.lane import Cut, Lane

    news = threading.Event()
    lane = Lane(source, Cut(most_events=1 << 14, most_bytes=1 << 22), wake=news.set)
    with discarding() as port:
        sink = sinks.open_url(f"tcp://127.0.0.1:{port}")
        sink.open()
        lane.start()
        begin, sent = 0.0, 0
        while not (lane.is_over or lane.error) and (not begin or time.monotonic() - begin < seconds):
            news.clear()
            if lane.due() is None:
                news.wait(0.1)
                continue
            begin = begin or time.monotonic()
            batch = lane.cut()
            sink.write(batch.block)
            sent += len(batch.block)
            lane.settle(batch)
        took = time.monotonic() - begin
        sink.close()
    lane.close()
    if lane.error:
        raise DovestormError(lane.error)
    return sent / took if begin and took else 0.0


class discarding:  # noqa: N801 - it is used like a function, in a with statement
    """A TCP port of this machine whose connections are read and thrown away."""

    def __enter__(self) -> int:
        self._listener = socket.create_server(("127.0.0.1", 0))
        threading.Thread(target=self._serve, daemon=True).start()
        port: int = self._listener.getsockname()[1]
        return port

    def __exit__(self, *_failure: object) -> None:
        self._listener.close()

    def _serve(self) -> None:
        room = bytearray(1 << 20)
        with_connection, _ = self._listener.accept()
        with with_connection as connection:
            while connection.recv_into(room):
                pass


def _leave_with_the_input() -> None:
    while os.read(0, 1):
        pass
    os._exit(1)


def main() -> None:
    """Answer the question on the command line."""
    threading.Thread(target=_leave_with_the_input, daemon=True).start()
    spec = json.loads(sys.argv[2])
    source = Source.from_dict(spec["source"])
    try:
        answer = count_shares(source, spec["events"], spec["shards"]) if sys.argv[1] == "shares" else _ceiling(source, spec["seconds"])
    except DovestormError as error:
        sys.stderr.write(f"{error}\n")
        sys.exit(1)
    sys.stdout.write(json.dumps(answer))


if __name__ == "__main__":
    main()
