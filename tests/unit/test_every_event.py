"""The scenario ``every-event``: the parser fixture that leaves nothing out, for every edition."""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from functools import cache

import pytest

from dovestorm import catalog
from dovestorm.api import generate
from dovestorm.validate import Validator

LIST = "2.3.6"


@cache
def made(dovecot, seed=0):
    return generate("every-event", dovecot=dovecot, seed=seed).bytes()


def filled(stream):
    """Field values by event and field, both by their names on the wire."""
    values = defaultdict(lambda: defaultdict(set))
    for line in stream.splitlines():
        record = json.loads(line)
        for name, value in record["fields"].items():
            values[record["event"]][name].add(str(value))
        values[record["event"]]
    return values


@pytest.mark.parametrize("dovecot", catalog.versions())
def test_every_event_and_every_field_of_the_edition_is_there(dovecot):
    found = filled(made(dovecot))
    missing = [
        f"{event.name} {field}".strip()
        for event in catalog.load(dovecot).events.values()
        for field in ("", *(one.name for one in event.fields.values()))
        if (field not in found[event.name] if field else event.name not in found)
    ]
    assert missing == []


@pytest.mark.parametrize("dovecot", catalog.versions())
def test_it_is_valid_to_the_end(dovecot):
    validator = Validator(catalog.load(dovecot), complete=True)
    validator.feed(made(dovecot))
    report = validator.finish()
    assert report.valid, report.to_text()


def test_the_list_takes_fewer_than_300_events():
    assert made(LIST).count(b"\n") < 300


@pytest.mark.parametrize("seed", range(1, 6))
def test_what_is_filled_does_not_hang_on_the_seed(seed):
    ours, theirs = filled(made(LIST)), filled(made(LIST, seed))
    assert {event: set(fields) for event, fields in ours.items()} == {event: set(fields) for event, fields in theirs.items()}


def test_closed_sets_of_the_list_occur_whole():
    found = filled(made(LIST))
    missing = [
        f"{event.name} {field.name}: {value}"
        for event in catalog.load(LIST).events.values()
        for field in event.fields.values()
        for value in field.values or ()
        if value not in found[event.name][field.name]
    ]
    assert missing == []


def test_no_event_occurs_much_more_often_than_the_smallest_stream_needs():
    counts = Counter(json.loads(line)["event"] for line in made(LIST).splitlines())
    assert max(counts.values()) <= 20, counts.most_common(3)
