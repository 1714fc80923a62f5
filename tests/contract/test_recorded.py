"""What we generate looks like what a real server said when it was recorded; this needs no server. ``test_real_dovecot.py`` asks one that is there."""

from __future__ import annotations

import json
from functools import cache
from typing import TYPE_CHECKING, Any

import likeness
import pytest

import dovestorm

if TYPE_CHECKING:
    from collections.abc import Callable

    Event = dict[str, Any]

OUTGOING = (
    "server_connection_connected",
    "server_connection_disconnected",
    "http_request_finished",
    "http_request_redirected",
    "http_request_retried",
)


@cache
def made(scenario: str) -> list[list[Event]]:
    """Sixty sessions, by what they name as theirs."""
    lines = dovestorm.generate(scenario, seed=3, sessions=60, dovecot=likeness.RECORDED).lines()
    return likeness.by_session(json.loads(line) for line in lines)


@cache
def real() -> dict[str, likeness.Shape]:
    return likeness.shapes(event for recording in likeness.recordings() for event in recording)


def deliveries(event: Event) -> bool:
    return likeness.service(event) == "lmtp" and event["event"] != "http_request_finished"


def mails(event: Event) -> bool:
    return event["event"].startswith("mail_") and likeness.service(event) in {"imap", "pop3"}


def index_connections(event: Event) -> bool:
    """The IMAP process's own to the index, which belong to other categories than those to the auth process."""
    return event["event"] in OUTGOING and likeness.service(event) == "imap"


@pytest.mark.parametrize(
    ("scenario", "kept"), [("lmtp-delivery", deliveries), ("pop3", mails), ("imap-login", mails), ("http-retries", index_connections)]
)
def test_events_look_recorded(scenario: str, kept: Callable[[Event], bool]) -> None:
    """Names, fields, their order and types, categories."""
    events = [event for session in made(scenario) for event in session if kept(event)]
    assert len(events) > 20
    assert likeness.misfits(real(), likeness.shapes(events)) == []


@pytest.mark.parametrize("scenario", ["lmtp-delivery", "pop3", "imap-login", "webmail", "working-day", "migration"])
def test_every_step_was_recorded(scenario: str) -> None:
    """From event to event within a process: nothing follows what it never followed in reality."""

    def name(event: Event) -> str:
        return str(event["event"])

    sessions = [session for recording in likeness.recordings() for session in likeness.by_session(recording)]
    assert likeness.transitions(made(scenario), name=name) - likeness.transitions(sessions, name=name) == set()


def test_an_lmtp_transaction_adds_up() -> None:
    """Recipients are those that were served and those that were not, and each has its answer."""
    finished = 0
    for session in made("lmtp-delivery"):
        answers = 0
        for fields in (event["fields"] | {"event": event["event"]} for event in session):
            if fields["event"] == "smtp_server_transaction_rcpt_finished":
                answers += 1
            elif fields["event"] == "smtp_server_transaction_finished":
                finished += 1
                assert fields["recipients"] == answers == sum(fields[f"recipients_{what}"] for what in ("aborted", "failed", "succeeded"))
                assert fields["recipients_denied"] <= fields["recipients_failed"]
                answers = 0
    assert finished >= 50
