"""Small receivers for the sinks' contract suite, each on the loopback or a temporary path; they keep what arrives."""

from __future__ import annotations

import contextlib
import os
import socket
import ssl
import subprocess
import threading
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from dovestorm.block import Block

if TYPE_CHECKING:
    from pathlib import Path

PATIENCE_S = 10


def make_block(records: list[bytes], *, newline: bool = True, due: list[int] | None = None) -> Block:
    whole = [record + b"\n" for record in records] if newline else records
    ends = np.cumsum([len(record) for record in whole], dtype=np.int64)
    times = None if due is None else np.array(due, np.int64)
    return Block(memoryview(b"".join(whole)), ends, int(newline), times, "application/json")


def numbered(first: int, count: int, size: int = 30) -> list[bytes]:
    return [(b'{"n":%d,"x":"' % number).ljust(size, b".") + b'"}' for number in range(first, first + count)]


class StreamPeer:
    """Accepts connections and keeps what each of them brought.

    Args:
        listener: Where to accept.
        limits: For each connection, how many bytes are read before it is closed; None (and all beyond the list) reads to the end, 0 reads
            nothing and keeps it open.
        context: Speaks TLS.
    """

    def __init__(self, listener: socket.socket, *, limits: tuple[int | None, ...] = (), context: ssl.SSLContext | None = None) -> None:
        self._listener = listener
        self._limits = limits
        self._context = context
        self.received: list[bytes] = []
        self.closed = [threading.Event() for _ in range(8)]
        self.accepted = [threading.Event() for _ in range(8)]
        self.release = threading.Event()
        self._over = False
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    @property
    def port(self) -> int:
        return int(self._listener.getsockname()[1])

    def stop(self) -> None:
        self._over = True
        self.release.set()
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._thread.join(PATIENCE_S)

    def _serve(self) -> None:
        number = 0
        while not self._over:
            try:
                sock, _ = self._listener.accept()
            except OSError:
                return
            self.received.append(b"")
            self.accepted[number].set()
            limit = self._limits[number] if number < len(self._limits) else None
            with contextlib.suppress(OSError), self._wrapped(sock) as ready:
                self._read(ready, number, limit)
            sock.close()
            self.closed[number].set()
            number += 1

    def _wrapped(self, sock: socket.socket) -> socket.socket:
        return self._context.wrap_socket(sock, server_side=True) if self._context else sock

    def _read(self, sock: socket.socket, number: int, limit: int | None) -> None:
        if limit == 0:
            self.release.wait(PATIENCE_S)
            return
        while limit is None or len(self.received[number]) < limit:
            wanted = 65536 if limit is None else limit - len(self.received[number])
            got = sock.recv(wanted)
            if not got:
                return
            self.received[number] += got


def tcp_listener(host: str = "127.0.0.1", port: int = 0) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    sock = socket.socket(family)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    sock.bind((host, port))
    sock.listen()
    return sock


def unix_listener(path: Path) -> socket.socket:
    sock = socket.socket(socket.AF_UNIX)
    sock.bind(str(path))
    sock.listen()
    return sock


class DatagramPeer:
    """Keeps the datagrams that arrive, until ``stop``."""

    def __init__(self, sock: socket.socket) -> None:
        self._sock = sock
        self._sock.settimeout(0.05)
        self.received: list[bytes] = []
        self._over = False
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    @property
    def port(self) -> int:
        return int(self._sock.getsockname()[1])

    def stop(self) -> None:
        """Take what is still waiting, and end; a second call does nothing."""
        self._over = True
        self._thread.join(PATIENCE_S)
        self._sock.close()

    def _serve(self) -> None:
        while True:
            try:
                self.received.append(self._sock.recv(70_000))
            except TimeoutError:
                if self._over:
                    return


@dataclass
class Request:
    line: str
    headers: list[tuple[str, str]]
    body: bytes
    connection: int


@dataclass
class WebPeer:
    """A web server that answers with prepared statuses, then with 200; ``body`` shapes decide how the answer's body is framed."""

    listener: socket.socket
    answers: list[bytes] = field(default_factory=list)
    context: ssl.SSLContext | None = None
    requests: list[Request] = field(default_factory=list)
    connections: int = 0

    def __post_init__(self) -> None:
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    @property
    def port(self) -> int:
        return int(self.listener.getsockname()[1])

    def stop(self) -> None:
        with contextlib.suppress(OSError):
            self.listener.shutdown(socket.SHUT_RDWR)
        self.listener.close()
        self._thread.join(PATIENCE_S)

    def _serve(self) -> None:
        while True:
            try:
                sock, _ = self.listener.accept()
            except OSError:
                return
            self.connections += 1
            with contextlib.suppress(OSError), self.context.wrap_socket(sock, server_side=True) if self.context else sock as ready:
                stream = ready.makefile("rb")
                with stream:
                    while self._exchange(ready, stream):
                        pass
            sock.close()

    def _exchange(self, sock: socket.socket, stream) -> bool:
        line = stream.readline()
        if not line:
            return False
        headers = []
        while text := stream.readline().decode().strip():
            name, _, value = text.partition(": ")
            headers.append((name, value))
        body = stream.read(int(dict(headers)["Content-Length"]))
        self.requests.append(Request(line.decode().strip(), headers, body, self.connections))
        answer = self.answers.pop(0) if self.answers else b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"
        sock.sendall(answer)
        return bool(answer) and b"Connection: close" not in answer and not answer.startswith(b"HTTP/1.0")


def answer(status: str, extra: str = "") -> bytes:
    return f"HTTP/1.1 {status}\r\n{extra}Content-Length: 2\r\n\r\nok".encode()


def make_certificate(folder: Path) -> tuple[Path, Path]:
    """A certificate for localhost that is its own authority, and its key, made for this run only."""
    cert, key = folder / "cert.pem", folder / "key.pem"
    command = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2"]
    names = ["-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1"]
    subprocess.run([*command, *names, "-keyout", key, "-out", cert], check=True, capture_output=True, env={**os.environ, "LC_ALL": "C"})
    return cert, key


def server_context(cert: Path, key: Path) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(cert, key)
    return context
