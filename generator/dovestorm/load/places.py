"""Where metrics go: an address of this machine, or a file."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

__all__ = ["Listening", "read_place"]

_LOOPBACK = "127.0.0.1"
_HIGHEST_PORT = 65_535
_FORM = re.compile(r"(?:(\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9.-]*):)?(\d{1,9})")


@dataclass(frozen=True, slots=True)
class Listening:
    """Where to listen; port 0 lets the system choose one."""

    host: str
    port: int

    def to_text(self) -> str:
        """As it stands in a URL."""
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


def read_place(text: str) -> Listening | Path:
    """Read ``PORT`` (of the loopback), ``HOST:PORT``, or the name of a file.

    Raises:
        ValueError: The port is too high, or the file's folder is not there.
    """
    found = _FORM.fullmatch(text)
    if found is None:
        path = Path(text)
        if not path.parent.is_dir() or path.is_dir():
            raise ValueError("must be a port, HOST:PORT, or a file in a folder that exists")
        return path
    port = int(found[2])
    if port > _HIGHEST_PORT:
        raise ValueError(f"the port must be at most {_HIGHEST_PORT}")
    return Listening((found[1] or _LOOPBACK).strip("[]"), port)
