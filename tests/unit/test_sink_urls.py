"""What a sink URL may say, and how a wrong one is answered."""

from __future__ import annotations

import pytest

from dovestorm import sinks
from dovestorm.errors import UsageError
from dovestorm.registry import FORMATS, SINKS, find_format, find_sink
from dovestorm.sinks.target import Options, Settings, Target, endpoint, parse, socket_path


def wrong(url: str) -> str:
    with pytest.raises(UsageError) as caught:
        sinks.open_url(url)
    assert caught.value.exit_code == 2
    return str(caught.value)


@pytest.mark.parametrize(
    ("url", "scheme", "rest"),
    [
        ("-", "-", ""),
        ("out.json", "file", "out.json"),
        ("./tcp:x", "file", "./tcp:x"),
        ("/a/b:c", "file", "/a/b:c"),
        ("2026-01-01T00:00:00.json", "file", "2026-01-01T00:00:00.json"),
        ("run:1.json", "file", "run:1.json"),
        ("file:out.gz", "file", "out.gz"),
        ("FILE:out", "file", "out"),
        ("TCP://h:1", "tcp", "//h:1"),
        ("unixgram:/run/x", "unixgram", "/run/x"),
    ],
)
def test_which_sink_a_url_means(url: str, scheme: str, rest: str) -> None:
    """Known schemes are schemes in any case, everything else is a path."""
    target = parse(url)
    assert (target.scheme, target.rest) == (scheme, rest)


@pytest.mark.parametrize(
    ("url", "parts"),
    [
        ("tcp://host:9", ("host", 9, "", "", "")),
        ("tcp://[::1]:9", ("::1", 9, "", "", "")),
        ("http://h", ("h", 80, "", "", "")),
        ("http://[fe80::1%25eth0]/a/b?x=1&y#z", ("fe80::1%25eth0", 80, "", "/a/b", "x=1&y")),
        ("http://us%20er:p%40ss@h:8080/", ("h", 8080, "us er:p@ss", "/", "")),
    ],
)
def test_endpoint(url: str, parts: tuple[str, int, str, str, str]) -> None:
    """Host, port, user, path and query are told apart; IPv6 addresses stand in brackets."""
    place = endpoint(parse(url), default_port=80)
    assert (place.host, place.port, place.credentials, place.path, place.query) == parts


@pytest.mark.parametrize(("url", "path"), [("unix:/run/a", "/run/a"), ("unix:a", "a"), ("unix:///run/a?retries=1", "/run/a")])
def test_socket_path(url: str, path: str) -> None:
    """One slash or three name the same socket."""
    assert socket_path(parse(url))[0] == path


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("", "empty sink URL"),
        ("tpc://h:1", "did you mean 'tcp'?"),
        ("fil:x", "did you mean 'file'?"),
        ("kafka://h:1", "known are -, file, tcp"),
        ("tcp:h:1", "'//' is missing"),
        ("tcp://h", "no port, write tcp://HOST:PORT"),
        ("tcp://:5", "no host"),
        ("tcp://h:0", "from 1 to 65535"),
        ("tcp://h:65536", "from 1 to 65535"),
        ("tcp://h:http", "from 1 to 65535"),
        ("tcp://::1:5", "IPv6 address stands in brackets"),
        ("tcp://h:1/path", "a path means nothing here"),
        ("tcp://h:1?retry=3", "unknown option 'retry', did you mean 'retries'?"),
        ("tcp://h:1?retries=-1", "retries=-1, it must be a whole number from 0 up"),
        ("tcp://h:1?timeout=0", "timeout=0, it must be a number of seconds above 0"),
        ("tcp://h:1?timeout=nan", "timeout=nan"),
        ("udp://h:1?max=65508", "from 1 to 65507"),
        ("http://h/?batch=0", "batch=0, it must be a whole number from 1 up"),
        ("tls://h:1?verify=maybe", "verify=maybe, it must be yes or no"),
        ("tls://h:1?ca=/nowhere.pem", "there is no such file"),
        ("tls://h:1?ca=x&verify=no", "contradict"),
        ("unix:", "no path"),
        ("unix://host/x", "no host"),
        ("file:", "no path"),
        ("file://host/x", "a file has no host"),
    ],
)
def test_wrong_urls_are_explained(url: str, expected: str) -> None:
    """A bad URL is a usage error that says what would be right."""
    assert expected in wrong(url)


@pytest.mark.parametrize(
    "url",
    [
        "tcp://me:s3cret@h:1",
        "tpc://me:s3cret@h:1",
        "http://me:s3cret@h:x/",
        "http://me:s3c/ret@h:x/",
        "http://me:s3cret@h/?batch=no",
        "htp://h/?token=s3cret",
        "http://h:x/?token=s3cret",
    ],
)
def test_secrets_stay_out_of_messages(url: str) -> None:
    """Neither a password nor a foreign query is repeated in an error."""
    message = wrong(url)
    assert "s3c" not in message
    assert "***" in message or "?..." in message


def test_secrets_stay_out_of_the_name_of_a_sink() -> None:
    """``Sink.url`` is what reports show."""
    assert sinks.open_url("http://me:s3cret@h:81/in?token=s3cret&batch=5").url == "http://***@h:81/in?..."


def test_options_of_the_url_win() -> None:
    """The query changes what the caller gave, and only that."""
    target = Target("tcp", "", "tcp://h:1")
    own = Settings(target, "retries=2").options(Options(retries=9, timeout_s=3.5))
    assert (own.retries, own.timeout_s) == (2, 3.5)


def test_foreign_options_stay_as_they_are_written() -> None:
    """Only our options leave the query."""
    settings = Settings(Target("http", "", "http://h"), "b=%20x&batch=4&a&c=")
    assert settings.integer("batch", 0, least=1) == 4
    assert settings.rest == "b=%20x&a&c="


def test_every_sink_of_the_table_can_be_made() -> None:
    """Each entry names a module that exists and makes a sink of it, unopened."""
    place = {"-": "-", "file": "file:x", "unix": "unix:x", "unixgram": "unixgram:x", "dovecot-stats": "dovecot-stats:x"}
    for name in SINKS:
        assert sinks.open_url(place.get(name, f"{name}://localhost:9")).tally.written == 0


def test_names_are_looked_up_with_an_offer() -> None:
    """The table offers the nearest name for both of its kinds."""
    assert find_sink("tcp").module == "dovestorm.sinks.tcp"
    assert find_format("tab-text").module == "dovestorm.formats.tab_text"
    with pytest.raises(UsageError, match="unknown format 'jsn', did you mean 'json'"):
        find_format("jsn")
    with pytest.raises(UsageError, match="unknown sink 'xyz', known are"):
        find_sink("xyz")
    assert all(entry.help and entry.name == name for table in (SINKS, FORMATS) for name, entry in table.items())
