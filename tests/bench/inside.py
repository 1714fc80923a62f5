"""Measurements that need the package from inside; run as a program of its own, so that its memory is its own. Prints a line of JSON.

``python inside.py stations EVENTS``: the engine's and the kernel's own time an event.
``python inside.py sendall EVENTS PORT``: a bare loop of ``sendall`` over TCP.
``python inside.py alive SESSIONS``: a working day at a rate at which that many sessions are alive within a minute of it.
"""

from __future__ import annotations

import json
import socket
import sys
import time

import numpy as np

from dovestorm import formats
from dovestorm.stream import Limits, open_stream

SCENARIO = "working-day"
CROWD = 2000.0
"""How many times the scenario's arrival rate: tens of thousands of sessions a second, so that none of them is over soon."""


def stations(events: int) -> dict[str, float]:
    """Engine and kernel apart: first a batch is made, then it is rendered; only these two are timed."""
    stream = open_stream(SCENARIO, seed=7, limits=Limits(events=events))
    render = formats.renderer("json", stream.layout).render_into
    out, ends = np.empty(8 << 20, dtype=np.uint8), np.empty(1 << 16, dtype=np.int64)
    engine = kernel = 0.0
    made = size = 0
    batches = stream.batches(reuse=True)
    while True:
        begun = time.perf_counter()
        batch = next(batches, None)
        engine += time.perf_counter() - begun
        if batch is None:
            break
        first = 0
        while first < len(batch):
            begun = time.perf_counter()
            count, used = render(batch, first, out, ends)
            kernel += time.perf_counter() - begun
            first += count
            size += used
        made += len(batch)
    return {"events": made, "bytes": size, "engine_s": engine, "kernel_s": kernel}


def alive(sessions: int) -> dict[str, float]:
    stream = open_stream(SCENARIO, seed=7, rate=CROWD)
    machine = stream.machine()
    renderer = formats.renderer("json", stream.layout)
    out, ends = np.empty(8 << 20, dtype=np.uint8), np.empty(1 << 16, dtype=np.int64)
    made = 0
    for batch in machine.batches(reuse=True):
        first = 0
        while first < len(batch):
            first += renderer.render_into(batch, first, out, ends)[0]
        made += len(batch)
        if machine.alive >= sessions:
            break
    return {"alive": machine.alive, "events": made}


def sendall(events: int, port: int) -> dict[str, float]:
    """The bytes lie ready, in blocks as they are made; only the sending is timed."""
    stream = open_stream(SCENARIO, seed=7, limits=Limits(events=events))
    pieces = [bytes(block.data) for block in stream.blocks("json")]
    with socket.create_connection(("127.0.0.1", port)) as connection:
        begun = time.perf_counter()
        for piece in pieces:
            connection.sendall(piece)
        seconds = time.perf_counter() - begun
    return {"seconds": seconds, "bytes": sum(map(len, pieces))}


if __name__ == "__main__":
    measure = {"stations": stations, "alive": alive, "sendall": sendall}[sys.argv[1]]
    print(json.dumps(measure(*map(int, sys.argv[2:]))))
