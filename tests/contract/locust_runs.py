"""Locust in processes of its own: importing it here would patch the sockets, threads and pipes of this process, and other tests would hang."""

from __future__ import annotations

import json
import signal
import socket
import subprocess
import sys
import threading
from collections import Counter
from dataclasses import dataclass

from dovestorm.resources import locustfiles_dir

__all__ = ["Discarder", "Done", "Member", "free_port", "load", "locust"]

_PATIENCE_S = 100


@dataclass
class Done:
    """A run that has ended: exit code, what it printed, and its report."""

    code: int
    output: str
    report: dict


def locust(file, url, *options, tmp_path):
    """Run a locustfile of ours to its end."""
    path = tmp_path / "report.json"
    command = [sys.executable, "-P", "-m", "locust", "-f", str(locustfiles_dir() / file), "--headless", "--host", url, "--spawn-rate", "100"]
    if "--processes" in options:
        port = str(free_port())
        command += ["--master-port", port, "--master-bind-port", port]
    return _run([*command, "--load-json", str(path), *options], path)


def load(url, *options, tmp_path):
    """Run ``dovestorm load`` to its end."""
    path = tmp_path / "report.json"
    return _run([sys.executable, "-P", "-m", "dovestorm", "load", "--to", url, "--json", str(path), *options], path)


def _run(command, path):
    path.unlink(missing_ok=True)
    done = subprocess.run(command, capture_output=True, text=True, timeout=_PATIENCE_S)
    output = done.stdout + done.stderr
    assert "Traceback" not in output, output
    return Done(done.returncode, output, json.loads(path.read_text()) if path.exists() else {})


def free_port():
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return listener.getsockname()[1]


class Member:
    """A Locust master or worker that runs on; its output can be read while it does."""

    def __init__(self, *options):
        command = [sys.executable, "-P", "-m", "locust", "-f", str(locustfiles_dir() / "replay_stream.py"), *options]
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        self.lines = []
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self):
        for line in self.process.stdout:
            self.lines.append(line)

    @property
    def output(self):
        return "".join(self.lines)

    def kill(self):
        self.process.send_signal(signal.SIGKILL)

    def wait(self):
        code = self.process.wait(_PATIENCE_S)
        self._reader.join(_PATIENCE_S)
        return code

    def __enter__(self):
        return self

    def __exit__(self, *_):
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        self._reader.join(_PATIENCE_S)
        self.process.stdout.close()


class Discarder:
    """A TCP consumer that can stand still; it counts bytes and lines, and keeps the lines if asked."""

    def __init__(self, *, keep=False):
        self.received = 0
        self.data = []
        self.goes_on = threading.Event()
        self.goes_on.set()
        self._keep = keep
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"tcp://127.0.0.1:{self._listener.getsockname()[1]}"
        self._threads = []
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self):
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            thread = threading.Thread(target=self._read, args=(connection,), daemon=True)
            thread.start()
            self._threads.append(thread)

    def _read(self, connection):
        held = []
        self.data.append(held)
        with connection:
            while True:
                self.goes_on.wait()
                got = connection.recv(1 << 20)
                if not got:
                    return
                self.received += len(got)
                if self._keep:
                    held.append(got)

    def lines(self):
        """How often each line came; what a cut connection left of a line does not count."""
        found = Counter()
        for held in self.data:
            found.update(line for line in b"".join(held).splitlines(keepends=True) if line.endswith(b"\n"))
        return found

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.goes_on.set()
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for thread in self._threads:
            thread.join(5)
