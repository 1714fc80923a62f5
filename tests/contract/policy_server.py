"""A policy server for Dovecot's authentication: allows, refuses, delays, or breaks down, by the name of the user."""

from __future__ import annotations

import contextlib
import http.server
import json
import threading
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["BREAKING", "DELAYED", "REFUSED", "policy_server"]

REFUSED, DELAYED, BREAKING = "refused@example.com", "delayed@example.com", "breaking@example.com"
_VERDICTS = {REFUSED: -1, DELAYED: 1}


class _Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        login = json.loads(self.rfile.read(int(self.headers["Content-Length"])))["login"]
        body = b"" if login == BREAKING else json.dumps({"status": _VERDICTS.get(login, 0), "msg": "as told"}).encode()
        self.send_response(200 if body else 500)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Nothing on standard error."""


@contextlib.contextmanager
def policy_server() -> Iterator[str]:
    """Serve on the loopback; gives the URL."""
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), _Handler) as server:
        server.daemon_threads = True
        thread = threading.Thread(target=server.serve_forever, args=(0.02,))
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_address[1]}/"
        finally:
            server.shutdown()
            thread.join()
