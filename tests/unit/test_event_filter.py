"""Dovecot's filter language: what the stats process asks for, and what it does not."""

from __future__ import annotations

import pytest

from dovestorm.sinks.event_filter import NEED_FIELDS, Event, parse_filter

FIELDS = {
    "user": "Anna@Example.com",
    "id": 7,
    "reason_code": ["imap:cmd_select", "x"],
    "last_run_time": None,
    "empty": "",
    "duration": 1500,
    "ip": "10.1.2.3",
}


def wants(
    text: str, name: str = "auth_request_finished", categories: tuple[str, ...] = ("auth", "service:auth"), fields: object = FIELDS
) -> bool | None:
    return parse_filter(text).wants(Event(name, frozenset(categories), fields))


YES = """
event=*
(event="*")
event=auth_*
event=auth_request_finishe?
(event="x") OR (event="auth_request_finished")
category=auth
category="service:auth"
category=debug
NOT category=imap
not event=x
id=7
id="7"
id>6
id>=7
id<8
id<=7
id=?
user=anna@example.com
"user"="ANNA*"
user="anna@*" AND id=7
reason_code=imap:*
reason_code="X"
empty=""
missing=""
missing="" AND event=*
event=x OR event=y OR event=auth_*
event=auth_* OR event=x AND id=7
event=x AND id=8 OR id=7
NOT event=x AND id=7
((event=*))
event=*\tAND\nid=7
duration>1000
""".strip().splitlines()

NO = """
event=x
event=AUTH_*
event>a
event=auth_
category=imap
category=error
category=Auth
category>auth
id=8
id>7
id=x
user=bela*
user>a
user=?
missing=x
missing=*
empty=?
reason_code=z
last_run_time=0
last_run_time>0
source_location=auth.c
source_location="auth.c:12"
NOT event=*
NOT (event=* OR event=x)
event=auth_* OR event=x AND id=8
event=* AND duration>2000
""".strip().splitlines()


@pytest.mark.parametrize("text", YES)
def test_it_is_asked_for(text) -> None:
    assert wants(text) is True


@pytest.mark.parametrize("text", ["", " ", *NO])
def test_it_is_not_asked_for(text) -> None:
    assert wants(text) is False


@pytest.mark.parametrize(
    "text", ["event", "event=", "event=*)", "(event=*", "=x", "event=* AND", "event==x", 'event="x', "event=* event=x", "€=1", "(" * 500]
)
def test_what_cannot_be_read_asks_for_everything(text) -> None:
    """The stats process looks once more itself; an event too many is no harm, one too few is a loss."""
    assert wants(text) is True


@pytest.mark.parametrize("text", ["id>5k", "id=10MB", "ip=10.0.0.0/8", "NOT id>5k", "NOT ip=10.0.0.0/8", "id>5k AND id>6kb"])
def test_what_versions_decide_differently_is_sent(text) -> None:
    assert wants(text) is True


def test_fields_are_asked_for_only_where_they_decide() -> None:
    for text, answer in (("event=x AND id=7", False), ("event=* OR id=7", True), ("id=7", None), ("event=* AND id=7", None), ("NOT id=7", None)):
        assert wants(text, fields=NEED_FIELDS) is answer


@pytest.mark.parametrize("text", ["event=*", '(event="*")', "event=x OR event=*", "event=** AND event=*", "NOT NOT event=*"])
def test_a_filter_that_asks_for_all_is_known_as_such(text) -> None:
    assert parse_filter(text).wants_all


@pytest.mark.parametrize(
    "text", ["", "event=a*", "NOT event=x", "category=auth", "NOT category=auth", "id=7", "NOT id=7", "NOT event=*", "NOT (event=x OR id=7)"]
)
def test_a_filter_that_may_leave_something_out_is_not(text) -> None:
    assert not parse_filter(text).wants_all
