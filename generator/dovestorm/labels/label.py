"""A session that belongs to a planted behaviour."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["Label"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Label:
    """One session that belongs to a planted behaviour. What no event of the session says is None.

    Attributes:
        session: The session id as its events carry it (or would, where the edition's events have no such field).
        number: The session's number, from 0 in order of arrival; ``Event.session`` of the Python API.
        user: Its user when it was labelled.
        remote_ip: Its client's address then.
        remote_port: Its client's port then.
        first_us: Export time of its first event in the stream, microseconds since the epoch, UTC.
        last_us: Export time of its last event in the stream, the same.
        label: The label's name.
        kind: Of the planted behaviour: attack, outage, storm ...
        labelled_us: The moment from which on the label holds, microseconds since the epoch, UTC.
        phase: The fault window that was open then, the first one written if there were several.
        phase_us: How long that window had been open, microseconds.
    """

    session: str | None
    number: int
    user: str | None
    remote_ip: str | None
    remote_port: int | None
    first_us: int
    last_us: int
    label: str
    kind: str
    labelled_us: int
    phase: str | None
    phase_us: int | None
