"""``dovestorm generate`` as a user meets it: in a process of its own, with pipes, signals, full disks and wrong words."""

from __future__ import annotations

import array
import contextlib
import fcntl
import gzip
import io
import json
import os
import re
import signal
import socket
import subprocess
import sys
import termios
import time
from functools import cache, partial
from pathlib import Path

import msgpack
import pytest
import waiting
import zstandard

from dovestorm.cli import main
from dovestorm.receive import Receiver

PATIENCE_S = 30
DOVESTORM = (sys.executable, "-m", "dovestorm")
ENDLESS = ("imap-login", "--for", "3650d")
"""More events than any test waits for."""
wait_until = partial(waiting.wait_until, seconds=PATIENCE_S)


def run(*arguments: str, env: dict[str, str] | None = None, **options) -> subprocess.CompletedProcess[bytes]:
    done = subprocess.run([*DOVESTORM, *arguments], capture_output=True, timeout=PATIENCE_S, env={**os.environ, **(env or {})}, **options)
    assert b"Traceback" not in done.stderr, done.stderr.decode()
    return done


def generate(*arguments: str, **options) -> subprocess.CompletedProcess[bytes]:
    return run("generate", *arguments, **options)


def report(done: subprocess.CompletedProcess[bytes]) -> dict:
    return json.loads(done.stderr if done.stderr.startswith(b"{") else done.stdout)


class Started(subprocess.Popen[bytes]):
    """A process group of its own, of which nothing outlives the test, whatever becomes of it."""

    def __exit__(self, *error: object) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.pid, signal.SIGKILL)
        super().__exit__(*error)  # type: ignore[arg-type]


def start(*arguments: str, **options) -> Started:
    options = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "start_new_session": True, **options}
    return Started([*DOVESTORM, "generate", *arguments], **options)


def group_is_gone(group: int) -> bool:
    """Whether no process of a session that we started is left (zombies that wait for a parent do not count)."""
    for folder in Path("/proc").iterdir():
        if not folder.name.isdigit():
            continue
        try:
            state, _, process_group = (folder / "stat").read_text().rpartition(")")[2].split()[:3]
        except OSError:
            continue
        if int(process_group) == group and state != "Z":
            return False
    return True


@cache
def expected(format_name: str) -> bytes:
    return generate("imap-login", "--sessions", "40", "--seed", "5", "--format", format_name, "--quiet").stdout


# ------------------------------------------------------------ what comes out


@pytest.mark.parametrize("format_name", ["json", "msgpack"])
def test_the_bytes_do_not_depend_on_the_workers(format_name):
    asked = (*ENDLESS, "--events", "30000", "--seed", "9", "--format", format_name)
    one, two = generate(*asked), generate(*asked, "--workers", "2")
    assert (one.returncode, two.returncode) == (0, 0), two.stderr
    assert one.stdout == two.stdout
    if format_name == "msgpack":
        assert sum(1 for _ in msgpack.Unpacker(max_buffer_size=len(one.stdout), read_size=1 << 20, file_like=io.BytesIO(one.stdout))) == 30000
    else:
        assert one.stdout.count(b"\n") == 30000


def test_two_targets_get_the_same_stream(tmp_path):
    with Receiver(write=tmp_path / "received.json") as receiver:
        done = generate("imap-login", "--sessions", "40", "--seed", "5", "--to", str(tmp_path / "written.json"), "--to", receiver.url, "--json")
        made = report(done)["made"]
        receiver.wait_for(made)
    assert done.returncode == 0
    assert (tmp_path / "received.json").read_bytes() == (tmp_path / "written.json").read_bytes() == expected("json")
    assert [(sink["written"], sink["undelivered"]) for sink in report(done)["sinks"]] == [(made, 0)] * 2


@pytest.mark.parametrize(("format_name", "suffix"), [("tab-text", ""), ("json", ".gz"), ("msgpack", ".zst")])
def test_files_plain_and_compressed(format_name, suffix, tmp_path):
    path = tmp_path / f"events{suffix}"
    done = generate("imap-login", "--sessions", "40", "--seed", "5", "--format", format_name, "--to", str(path))
    assert done.returncode == 0
    opener = {"": open, ".gz": gzip.open, ".zst": zstandard.open}[suffix]
    with opener(path, "rb") as file:
        assert file.read() == expected(format_name)


def test_the_json_summary_gets_out_of_the_way_of_the_events(tmp_path):
    to_output = generate("imap-login", "--sessions", "40", "--seed", "5", "--json")
    to_file = generate("imap-login", "--sessions", "40", "--seed", "5", "--json", "--to", str(tmp_path / "x"))
    assert to_output.stdout == expected("json")
    assert to_file.stderr == b""
    summary = json.loads(to_output.stderr)
    assert summary == {
        **json.loads(to_file.stdout),
        "seconds": summary["seconds"],
        "events_per_s": summary["events_per_s"],
        "sinks": summary["sinks"],
    }
    assert (summary["scenario"], summary["dovecot"], summary["seed"]) == ("imap-login", "2.3.6", 5)
    assert (summary["asked"], summary["made"], summary["made_bytes"]) == (None, expected("json").count(b"\n"), len(expected("json")))
    assert (summary["complete"], summary["interrupted"], summary["lateness"]) == (True, False, None)


def test_quiet_says_nothing_and_nothing_is_coloured(tmp_path):
    assert generate("imap-login", "--sessions", "1", "--quiet", "--to", str(tmp_path / "x")).stderr == b""
    loud = generate("imap-login", "--sessions", "1", "--to", str(tmp_path / "x"), env={"NO_COLOR": "1", "TERM": "xterm"})
    assert b"\x1b" not in loud.stderr + loud.stdout
    assert re.fullmatch(rb"made [\d,]+ events \([\d.,]+ kB\) in [\d.]+ s, [\d,]+ events/s\n  \S+: written [\d,]+, undelivered 0\n", loud.stderr)


@pytest.mark.parametrize("no_colour", [False, True])
def test_the_progress_bar_shows_on_a_terminal_only(no_colour, tmp_path):
    ours, theirs = os.openpty()
    env = {**os.environ, "TERM": "xterm", **({"NO_COLOR": "1"} if no_colour else {})}
    with start(*ENDLESS, "--events", "4000000", "--to", "/dev/null", stderr=theirs, env=env) as process:
        os.close(theirs)
        shown = b""
        try:
            while piece := os.read(ours, 65536):
                shown += piece
        except OSError:
            pass  # Linux says so when the other side of a terminal is closed.
        os.close(ours)
    assert process.returncode == 0
    assert b"[#" in shown
    assert b"made 4,000,000 events" in shown
    assert not no_colour or re.search(rb"\x1b\[[0-9;]*m", shown) is None


def test_help_and_version_load_nothing_heavy():
    code = (
        "import sys\nfrom dovestorm.cli import main\nsys.argv[1:] = [sys.argv[1]]\n"
        "try:\n    main()\nexcept SystemExit as end:\n    print(end.code, sorted({'numpy', 'faker', 'yaml'} & set(sys.modules)), file=sys.stderr)"
    )
    for option in ("--help", "--version"):
        done = subprocess.run([sys.executable, "-c", code, option], capture_output=True, timeout=PATIENCE_S, text=True)
        assert done.stderr == "0 []\n"
    assert "dovestorm, version" in done.stdout or done.stdout.startswith("dovestorm ")


# ------------------------------------------------------------ readers that leave


@pytest.mark.parametrize("more", [(), ("--workers", "2"), ("--rate", "100000/s"), ("--json", "--workers", "2")])
def test_a_reader_that_leaves_ends_the_run_quietly(more):
    with start(*ENDLESS, *more) as process:
        assert process.stdout.readline().startswith(b'{"event":')
        process.stdout.close()
        error = process.stderr.read()
        assert process.wait(PATIENCE_S) == 0, error
        assert b"Traceback" not in error
        assert b"Error" not in error
        wait_until(lambda: group_is_gone(process.pid), seconds=3)


def test_head_in_a_shell():
    line = f"{sys.executable} -m dovestorm generate working-day | head -n 1; echo ${{PIPESTATUS[0]}}"
    done = subprocess.run(["bash", "-c", line], capture_output=True, text=True, timeout=PATIENCE_S)
    assert done.stdout.splitlines()[1] == "0"
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("arguments", [("catalog", "--json"), ("scenarios", "working-day"), ("--help",), ("generate", "--help")])
def test_every_command_may_lose_its_reader(arguments):
    reader, writer = os.pipe()
    os.close(reader)
    done = subprocess.run([*DOVESTORM, *arguments], stdout=writer, stderr=subprocess.PIPE, timeout=PATIENCE_S)
    os.close(writer)
    assert (done.returncode, done.stderr) == (0, b"")


@pytest.mark.parametrize(
    "arguments", [("catalog", "--json"), ("--help",), ("generate", "imap-login", "--events", "5", "--json", "--to", "/dev/null")]
)
def test_a_full_output_is_an_error_without_traceback(arguments):
    with Path("/dev/full").open("wb") as full:
        done = subprocess.run([*DOVESTORM, *arguments], stdout=full, stderr=subprocess.PIPE, timeout=PATIENCE_S, text=True)
    assert (done.returncode, done.stderr) == (1, "dovestorm: standard output: No space left on device\n")


# ------------------------------------------------------------ what cannot be delivered


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return listener.getsockname()[1]


@pytest.mark.parametrize("workers", ["1", "2"])
def test_nobody_listens(workers):
    begin = time.monotonic()
    done = generate(*ENDLESS, "--events", "1000", "--workers", workers, "--to", f"tcp://127.0.0.1:{free_port()}?retries=1")
    assert time.monotonic() - begin < 6
    assert (done.returncode, done.stdout) == (1, b"")
    assert b"undelivered" in done.stderr
    assert b"refused" in done.stderr
    assert b"asked 1,000, made 0" in done.stderr


def test_one_target_that_fails_does_not_stop_the_other(tmp_path):
    path = tmp_path / "events"
    done = generate("imap-login", "--sessions", "40", "--seed", "5", "--to", f"tcp://127.0.0.1:{free_port()}?retries=0", "--to", str(path), "--json")
    made = expected("json").count(b"\n")
    assert done.returncode == 1
    assert [(sink["written"], sink["undelivered"]) for sink in report(done)["sinks"]] == [(0, made), (made, 0)]
    assert path.read_bytes() == expected("json")


@pytest.mark.parametrize(("workers", "target"), [("1", "/dev/full"), ("2", "-")])
def test_a_full_disk(workers, target):
    with Path("/dev/full").open("wb") as full:
        done = subprocess.run(
            [*DOVESTORM, "generate", *ENDLESS, "--workers", workers, "--to", target],
            stdout=full,
            stderr=subprocess.PIPE,
            timeout=PATIENCE_S,
            text=True,
        )
    assert done.returncode == 1
    assert "no space left on device" in done.stderr
    assert "the stream is not complete" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_scenario_that_ends_too_early():
    done = generate("imap-login", "--sessions", "1", "--events", "100000", "--to", "/dev/null")
    assert done.returncode == 1
    assert re.match(rb"asked 100,000, made \d+ events", done.stderr)
    assert b"the stream is not complete" in done.stderr


# ------------------------------------------------------------ signals


def interrupt(process: subprocess.Popen[bytes], number: signal.Signals = signal.SIGINT) -> tuple[int, bytes, float]:
    """As Ctrl-C does it: to the whole process group, of which nobody may be left. Gives exit code, standard error, and how long it took."""
    begin = time.monotonic()
    os.killpg(process.pid, number)
    _, error = process.communicate(timeout=PATIENCE_S)
    seconds = time.monotonic() - begin
    assert b"Traceback" not in error, error.decode()
    wait_until(lambda: group_is_gone(process.pid), seconds=3)
    return process.returncode, error, seconds


@pytest.mark.parametrize(("workers", "number"), [("1", signal.SIGINT), ("2", signal.SIGINT), ("2", signal.SIGTERM)])
def test_an_interrupted_file_ends_on_a_whole_record(workers, number, tmp_path):
    path = tmp_path / "events.json"
    with start(*ENDLESS, "--workers", workers, "--to", str(path)) as process:
        wait_until(lambda: path.exists() and path.stat().st_size > 100_000)
        code, error, seconds = interrupt(process, number)
    assert code == 130
    assert b"interrupted: the stream is not complete" in error
    assert seconds < 1
    data = path.read_bytes()
    assert data.endswith(b"}\n")
    made = re.search(rb"made ([\d,]+) events", error)
    written = re.search(rb"written ([\d,]+)", error)
    assert made is not None
    assert written is not None
    assert data.count(b"\n") == int(written[1].replace(b",", b""))


@pytest.mark.parametrize("suffix", [".gz", ".zst"])
def test_an_interrupted_compressed_file_can_be_read(suffix, tmp_path):
    path = tmp_path / f"events{suffix}"
    with start(*ENDLESS, "--to", str(path)) as process:
        wait_until(lambda: path.exists() and path.stat().st_size > 20_000)
        code, _, seconds = interrupt(process)
    assert (code, seconds < 1) == (130, True)
    with {".gz": gzip.open, ".zst": zstandard.open}[suffix](path, "rb") as file:
        data = file.read()
    assert data.endswith(b"}\n")
    json.loads(data.splitlines()[-1])


@pytest.mark.parametrize("workers", ["1", "2"])
def test_an_interrupt_while_the_receiver_stalls(workers):
    """Law: a receiver that accepts and never reads cannot hold up the end; what it did not take is counted."""
    with socket.socket() as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        with start(*ENDLESS, "--workers", workers, "--to", f"tcp://127.0.0.1:{listener.getsockname()[1]}") as process:
            connection, _ = listener.accept()
            with connection:
                wait_until(Still(connection))
                code, error, seconds = interrupt(process)
    assert code == 130
    assert seconds < 1
    assert re.search(rb"undelivered [1-9]", error)


class Still:
    """Says when nothing more has come to a connection for a while, after something has."""

    def __init__(self, connection: socket.socket) -> None:
        self._connection = connection
        self._seen = self._looks = 0

    def __call__(self) -> bool:
        waiting = array.array("i", [0])
        fcntl.ioctl(self._connection, termios.FIONREAD, waiting)
        self._looks = self._looks + 1 if waiting[0] == self._seen else 0
        self._seen = waiting[0]
        return self._seen > 0 and self._looks > 40


def test_two_interrupts(tmp_path):
    path = tmp_path / "events.json"
    with start(*ENDLESS, "--workers", "2", "--to", str(path)) as process:
        wait_until(lambda: path.exists() and path.stat().st_size > 100_000)
        os.killpg(process.pid, signal.SIGINT)
        code, _, seconds = interrupt(process)
    assert (code, seconds < 1) == (130, True)


def test_an_interrupt_between_two_paced_events(tmp_path):
    path = tmp_path / "events.json"
    with start(*ENDLESS, "--rate", "1/min", "--to", str(path)) as process:
        wait_until(lambda: path.exists() and path.stat().st_size > 0)
        code, error, seconds = interrupt(process)
    assert (code, seconds < 1) == (130, True)
    assert path.read_bytes().count(b"\n") == 1
    assert b"open loop, offered 0.0 events/s" in error


def test_workers_do_not_outlive_a_killed_parent(tmp_path):
    path = tmp_path / "events.json"
    with start(*ENDLESS, "--workers", "2", "--to", str(path), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        wait_until(lambda: path.exists() and path.stat().st_size > 100_000)
        process.kill()
        wait_until(lambda: group_is_gone(process.pid), seconds=4)


def test_a_killed_worker_is_told(tmp_path):
    path = tmp_path / "events.json"
    with start(*ENDLESS, "--workers", "2", "--to", str(path)) as process:
        wait_until(lambda: path.exists() and path.stat().st_size > 100_000)
        children = Path(f"/proc/{process.pid}/task/{process.pid}/children")
        tasks = Path(f"/proc/{process.pid}/task").iterdir()
        workers = [int(child) for task in tasks for child in (task / "children").read_text().split()] if children.exists() else []
        assert len(workers) == 2
        os.kill(workers[0], signal.SIGKILL)
        _, error = process.communicate(timeout=4)
        wait_until(lambda: group_is_gone(process.pid), seconds=3)
    assert process.returncode == 1
    assert b"a worker process is gone" in error
    assert b"Traceback" not in error


# ------------------------------------------------------------ pace


def test_rate_paces_and_tells_lateness(tmp_path):
    begin = time.monotonic()
    done = generate(*ENDLESS, "--events", "300", "--rate", "600/s", "--to", str(tmp_path / "x"), "--json")
    seconds = time.monotonic() - begin
    summary = report(done)
    assert (done.returncode, summary["made"], summary["offered_per_s"]) == (0, 300, 600.0)
    assert 0.45 < summary["seconds"] < seconds
    assert 0 <= summary["lateness"]["p50_ms"] <= summary["lateness"]["p99_ms"] <= summary["lateness"]["max_ms"]


def test_speed_paces_by_scenario_time(tmp_path):
    asked = ("imap-login", "--sessions", "3", "--seed", "5", "--to", str(tmp_path / "x"))
    generate(*asked)
    ends = [json.loads(line)["end_time"] for line in (tmp_path / "x").read_bytes().splitlines()]
    span = time_of(ends[-1]) - time_of(ends[0])
    done = generate(*asked, "--speed", str(span / 0.6))
    assert done.returncode == 0
    told = re.search(rb"open loop, offered ([\d,.]+) events/s, lateness p50 [\d.]+ ms, p99 [\d.]+ ms, max [\d.]+ ms", done.stderr)
    assert told is not None
    assert float(told[1].replace(b",", b"")) == pytest.approx(len(ends) / 0.6, rel=0.1)
    took = re.search(rb" in ([\d.]+) s", done.stderr)
    assert took is not None
    assert float(took[1]) > 0.5


def time_of(text: str) -> float:
    from datetime import datetime

    return datetime.fromisoformat(text).timestamp()


# ------------------------------------------------------------ misuse


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("imap-logn",), "did you mean 'imap-login'"),
        (("imap-login", "--format", "jsonn"), "did you mean 'json'"),
        (("imap-login", "--time-format", "rfc"), "rfc3339"),
        (("imap-login", "--shard", "0/3"), "0/3"),
        (("imap-login", "--shard", "4/3"), "1 <= I <= N"),
        (("imap-login", "--events", "-1"), "-1"),
        (("imap-login", "--sessions", "-1"), "-1"),
        (("imap-login", "--events", "many"), "many"),
        (("imap-login", "--rate", "5/s", "--speed", "2"), "--speed and --rate"),
        (("imap-login", "--rate", "0"), "above 0"),
        (("imap-login", "--rate", "5/parsec"), "5/parsec"),
        (("imap-login", "--speed", "nan"), "above 0"),
        (("imap-login", "--scale", "inf"), "above 0"),
        (("imap-login", "--scale", "-1"), "above 0"),
        (("imap-login", "--for", "10parsecs"), "10parsecs"),
        (("imap-login", "--for", "-5s"), "0 or more"),
        (("imap-login", "--start", "yesterday"), "2026-03-02T06:00:00Z"),
        (("imap-login", "--dovecot", "2.3.99"), "did you mean '2.3."),
        (
            ("imap-login", "--sections", "imap,htp"),
            "has authentication-server, authentication-client, connection, http, imap, dns, sql, did you mean 'http'?",
        ),
        (("imap-login", "--sections", ""), "sections: ''"),
        (("imap-login", "--users", "0"), "users"),
        (("imap-login", "--workers", "0"), "workers"),
        (("imap-login", "--to", "tpc://x:1"), "did you mean 'tcp'"),
        (("imap-login", "--to", "tcp://x"), "no port"),
        (("imap-login", "--to", ""), "empty sink URL"),
        (("imap-login", "--evnts", "5"), "--events"),
        ((), "SCENARIO"),
        (("/",), "directory"),
        (("/no/such/file.yaml",), "/no/such/file.yaml"),
    ],
)
def test_misuse_is_told_with_what_would_be_right(arguments, told, monkeypatch, capfd):
    monkeypatch.setattr(sys, "argv", ["dovestorm", "generate", *arguments])
    with pytest.raises(SystemExit) as end:
        main()
    out, error = capfd.readouterr()
    assert (end.value.code, out) == (2, ""), error
    assert told in error
    assert len(error.splitlines()) <= 5


def test_an_unknown_command():
    done = run("generat")
    assert done.returncode == 2
    assert b"did you mean 'generate'" in done.stderr


def test_a_wrong_kernel_is_one_line():
    done = generate("imap-login", env={"DOVESTORM_KERNEL": "nonsense"})
    assert (done.returncode, done.stdout, done.stderr.count(b"\n")) == (2, b"", 1)
    assert b"nonsense" in done.stderr


def test_all_faults_of_a_scenario_are_told(tmp_path):
    path = tmp_path / "wrong.yaml"
    path.write_text("scenario: wrong\nduraton: 3h\nusers: -4\nnonsense: [1\n")
    broken = generate(str(path))
    path.write_text("scenario: wrong\nduraton: 3h\npopulaton: 4\n")
    wrong = generate(str(path))
    assert (broken.returncode, wrong.returncode) == (2, 2)
    assert broken.stderr.startswith(str(path).encode()) or str(path).encode() in broken.stderr
    faults = wrong.stderr.decode().splitlines()
    assert len(faults) >= 2
    assert any("duraton" in fault for fault in faults)
    assert any("populaton" in fault for fault in faults)


def test_unreadable_scenarios(tmp_path):
    path = tmp_path / "binary.yaml"
    path.write_bytes(b"\xff\xfe\x00\x01" * 100)
    assert generate(str(path)).returncode == 2
    path.write_bytes(b"")
    assert generate(str(path)).returncode == 2
