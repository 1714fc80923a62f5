"""``http://`` and ``https://``: one POST for each event, as Dovecot's http-post exporter sends it, or batches of lines.

Source: requests of a real 2.3.19: Host, Date, Content-Length, Connection, Content-Type in this order, a body without newline, and any 2xx
answer counts as success.
"""

from __future__ import annotations

from email.utils import formatdate
from typing import TYPE_CHECKING

from dovestorm.errors import DeliveryError
from dovestorm.sinks.base import Tally
from dovestorm.sinks.connection import Connection
from dovestorm.sinks.dial import inet_dialler, tls_context, tls_dialler
from dovestorm.sinks.reply import MalformedReplyError, Reply, ReplyReader
from dovestorm.sinks.target import Options, Settings, Target, endpoint

if TYPE_CHECKING:
    from dovestorm.block import Block
    from dovestorm.sinks.base import Sink
    from dovestorm.sinks.dial import Dial
    from dovestorm.sinks.target import Endpoint

__all__ = ["PORTS", "HttpSink", "make"]

PORTS = {"http": 80, "https": 443}
"""The port of each scheme where a URL names none."""
_BATCH_TYPES = {"application/json": "application/x-ndjson"}
_TRY_AGAIN = frozenset({408, 425, 429, *range(500, 600)})
_THIS_EVENT_ONLY = frozenset({400, 413, 415, 422})


class HttpSink:
    """Posts records and waits for each answer before the next request, over one connection that is kept alive.

    ``written`` are events whose request the kernel took, ``acknowledged`` those with a 2xx answer. A request without an answer, or answered
    with a status that may pass (5xx, 408, 425, 429), is sent again, up to the limit. An event that the server refuses for its content (400,
    413, 415, 422) is counted undelivered, and the next one is tried. Any other answer ends the delivery.
    """

    def __init__(self, url: str, dial: Dial, head: bytes, *, options: Options, batch: int) -> None:
        self.url = url
        self.tally = Tally(acknowledged=0)
        self._connection = Connection(url, dial, self.tally, options=options)
        self._clock = options.clock
        self._timeout_s = options.timeout_s
        self._head = head
        self._batch = batch
        self._reader = ReplyReader(self._receive)
        self._deadline = 0.0
        self._date = b""
        self._date_until = -1.0

    def open(self) -> None:
        """Connect; raises ``DeliveryError`` when the retries are used up."""
        with self._connection.at_work():
            self._connection.ensure()

    def write(self, block: Block) -> None:
        """Post every record; raises ``DeliveryError`` when it gives up."""
        count = len(block)
        done = 0
        try:
            with self._connection.at_work():
                while done < count:
                    last = min(done + (self._batch or 1), count)
                    self._deliver(*self._body(block, done, last), last - done)
                    done = last
        except DeliveryError:
            self.tally.undelivered += count - done
            raise

    def close(self) -> None:
        """Close the connection; every answer was awaited already."""
        with self._connection.at_work():
            self._connection.drop()

    def abort(self) -> None:
        """End at once, from any thread."""
        self._connection.abort()

    def _body(self, block: Block, first: int, last: int) -> tuple[bytes, memoryview]:
        begin = int(block.ends[first - 1]) if first else 0
        end = int(block.ends[last - 1])
        kind = block.content_type
        if self._batch:
            kind = _BATCH_TYPES.get(kind, kind)
        else:
            end -= block.terminator
        return kind.encode("ascii"), block.data[begin:end]

    def _deliver(self, kind: bytes, body: memoryview, count: int) -> None:
        """Post one body until it is answered."""
        is_written = False
        is_sent = False
        while True:
            self._connect()
            self.tally.retries += count if is_sent else 0
            is_sent = False
            try:
                self._send(self._request(kind, body))
                is_sent = True
                if not is_written:
                    is_written = True
                    self.tally.written += count
                    self.tally.written_bytes += len(body)
                reply = self._answer()
            except MalformedReplyError as error:
                raise DeliveryError(f"{self.url}: {error}") from error
            except OSError as error:
                self._connection.lost(error, "no answer")
                continue
            if self._settle(reply, count):
                return

    def _connect(self) -> None:
        if self._connection.ensure():
            self._reader = ReplyReader(self._receive)
            return
        try:
            self._connection.check_peer()
        except OSError:
            # A server may close a connection that idles; that is no failure.
            self._connection.drop()
            self._connect()

    def _settle(self, reply: Reply, count: int) -> bool:
        """Act on an answer; True when these events are done with."""
        told = f"it answered {reply.status} {reply.reason}".rstrip()
        if not reply.reusable:
            self._connection.drop()
        if reply.status in _TRY_AGAIN:
            self._connection.failed(OSError(f"{told} again and again"), "not accepted")
            return False
        if 200 <= reply.status < 300:
            self.tally.acknowledged = (self.tally.acknowledged or 0) + count
        elif reply.status in _THIS_EVENT_ONLY:
            self.tally.undelivered += count
            self.tally.fault = self.tally.fault or f"{self.url}: {told}; the server does not take this content, look into its log"
        else:
            raise DeliveryError(f"{self.url}: {told}; correct the address or the server's rights, it takes 2xx to confirm an event")
        self._connection.succeeded()
        return True

    def _request(self, kind: bytes, body: memoryview) -> memoryview:
        now = self._clock.monotonic()
        if now >= self._date_until:
            self._date = formatdate(usegmt=True).encode("ascii")
            self._date_until = now + 1
        lines = b"Date: %b\r\nContent-Length: %d\r\nConnection: Keep-Alive\r\nContent-Type: %b\r\n\r\n" % (self._date, len(body), kind)
        return memoryview(b"".join((self._head, lines, body)))

    def _send(self, request: memoryview) -> None:
        taken = 0
        while taken < len(request):
            taken += self._connection.send(request[taken:])

    def _answer(self) -> Reply:
        self._deadline = self._clock.monotonic() + self._timeout_s
        return self._reader.read()

    def _receive(self) -> bytes:
        while True:
            got = self._connection.receive()
            if got is not None:
                return got
            if self._clock.monotonic() >= self._deadline:
                raise TimeoutError


def make(target: Target, *, options: Options) -> Sink:
    """A sink for ``http[s]://[USER:PASSWORD@]HOST[:PORT]/PATH[?batch=N&retries=N&timeout=S]``, over TLS also ``ca`` and ``verify``.

    Other options in the query are the server's and stay in the address.
    """
    place = endpoint(target, default_port=PORTS[target.scheme])
    settings = Settings(target, place.query)
    own = settings.options(options)
    batch = settings.integer("batch", 0, least=1)
    dial = inet_dialler(place.host, place.port, own.timeout_s)
    if target.scheme == "https":
        context = tls_context(target.shown, ca=settings.text("ca"), verify=settings.switch("verify", default=True))
        dial = tls_dialler(dial, context, place.host, own.timeout_s)
    return HttpSink(target.shown, dial, _head(target, place, settings.rest), options=own, batch=batch)


def _head(target: Target, place: Endpoint, query: str) -> bytes:
    """The request up to the Date header."""
    host = place.url_host
    if place.port != PORTS[target.scheme]:
        host += f":{place.port}"
    asked = (place.path or "/") + (f"?{query}" if query else "")
    lines = [f"POST {_escaped(asked)} HTTP/1.1", f"Host: {_escaped(host)}"]
    if place.authorization:
        lines.append(f"Authorization: {place.authorization}")
    return "".join(f"{line}\r\n" for line in lines).encode("ascii")


def _escaped(text: str) -> str:
    """What may not stand in a request line becomes percent escapes."""
    return "".join(
        character if "!" <= character <= "~" else "".join(f"%{octet:02X}" for octet in character.encode("utf-8", "surrogateescape"))
        for character in text
    )
