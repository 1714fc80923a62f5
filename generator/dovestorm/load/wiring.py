"""Where a run hangs on Locust's events: options are checked before, the report is drawn up after."""

from __future__ import annotations

import json
import logging
import signal
import sys
import time
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import gevent
from locust import events
from locust.runners import STATE_SPAWNING, WorkerRunner

from dovestorm.errors import DovestormError, UsageError
from dovestorm.load import run as runs
from dovestorm.load.beforehand import measure_ceiling, shares
from dovestorm.load.junit import to_junit
from dovestorm.load.metrics import offer_metrics, write_metrics
from dovestorm.load.page import add_csv, add_page, add_section
from dovestorm.load.planning import plan_of, refuse_shared_file, worker_count
from dovestorm.load.report import NOTHING_DELIVERED
from dovestorm.load.worker import Worker, worker_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from locust.env import Environment
    from locust.rpc.protocol import Message
__all__: list[str] = []

_STOP_TIMEOUT_S = 1.0
"""A user that is stopped while it sends may finish its batch; Locust's own default would cut a record in two."""

_PREPARED_S = 10.0

_INTERRUPTED = 130
"""What shells say of a program that Ctrl-C has ended."""

_FROM_WORKERS = ("ask", "ready", "report", "released", "trouble", "final")
_TO_WORKERS = ("assign", "release", "go", "rate", "finish")

_log = logging.getLogger(__name__)


@events.init.add_listener  # type: ignore[untyped-decorator]
def _prepare(environment: Environment, **_others: Any) -> None:
    runner: Any = environment.runner
    if not environment.stop_timeout:
        environment.stop_timeout = _STOP_TIMEOUT_S
    is_worker = isinstance(runner, WorkerRunner)
    if not is_worker:
        for kind in _FROM_WORKERS:
            runner.register_message(f"dovestorm-{kind}", runs.hear)
        options: Any = environment.parsed_options
        if options is not None and options.headless:
            _or_misuse(partial(plan_of, environment))
        _or_misuse(partial(offer_metrics, environment))
        if environment.web_ui:
            add_page(environment)
        environment.events.spawning_complete.add_listener(partial(_all_there, environment))
    if is_worker or runs.is_alone(environment):
        for kind in _TO_WORKERS:
            runner.register_message(f"dovestorm-{kind}", _obey, concurrent=True)
    _take_ctrl_c()
    # Added after the runner's own, and called before it: a worker's last report must come before its farewell.
    environment.events.quitting.add_listener(_conclude)
    environment.events.quit.add_listener(partial(_show, environment))
    state: Any = environment
    state.dovestorm_is_prepared = True


def _take_ctrl_c() -> None:
    """Let Ctrl-C end Locust where it waits for that; else it is raised in whatever greenlet runs just then, which dies of it with a traceback."""
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        gevent.signal_handler(signal.SIGINT, gevent.kill, gevent.get_hub().parent, KeyboardInterrupt)


def _or_misuse(read: Callable[[], Any]) -> None:
    """What is wrong with the options ends the program."""
    try:
        read()
    except KeyboardInterrupt:
        sys.exit(_INTERRUPTED)
    except UsageError as error:
        sys.stderr.write("".join(f"dovestorm: {line}\n" for line in str(error).splitlines()))
        sys.exit(error.exit_code)


@events.test_start.add_listener  # type: ignore[untyped-decorator]
def _start(environment: Environment, **_others: Any) -> None:
    state: Any = environment
    state.dovestorm_worker = None
    # A worker that joins a run may be told to start before Locust has made it fully: it would not know our messages yet.
    deadline = time.monotonic() + _PREPARED_S
    while not getattr(state, "dovestorm_is_prepared", False) and time.monotonic() < deadline:
        gevent.sleep(0.01)
    runner: Any = environment.runner
    is_worker = isinstance(runner, WorkerRunner)
    before = runner.state
    if not is_worker:
        # Locust says this only when the listeners are through, and preparing may take seconds: a page that asks meanwhile would hear that
        # nothing runs, go back to its form, and never ask again.
        runner.update_state(STATE_SPAWNING)
        state.dovestorm_preparing = gevent.getcurrent()
    try:
        plan = plan_of(environment, check=not is_worker)
        if not is_worker:
            state.dovestorm_run = None
            refuse_shared_file(plan, environment)
            count = plan.shards or worker_count(environment)
            limits = shares(plan, count)
            ceiling = measure_ceiling(plan.source, plan.ceiling) if plan.ceiling else None
            state.dovestorm_run = runs.Run(environment, plan, events=limits, ceiling_per_s=ceiling)
    except DovestormError as error:
        _log.error("dovestorm: %s", error)
        environment.process_exit_code = error.exit_code
        gevent.spawn_later(0.1, _end, environment)
        return
    except gevent.GreenletExit:
        # Stopped, or started once more, meanwhile: it was as if it had never begun.
        runner.state = before
        raise
    finally:
        state.dovestorm_preparing = None
    if is_worker or runs.is_alone(environment):
        state.dovestorm_worker = Worker(environment, plan)


def _end(environment: Environment) -> None:
    options: Any = environment.parsed_options
    runner: Any = environment.runner
    if options is None or options.headless:
        runner.quit()
    else:
        runner.stop()


def _all_there(environment: Environment, **_others: Any) -> None:
    run = runs.of(environment)
    if run is not None:
        run.settle()


@events.test_stopping.add_listener  # type: ignore[untyped-decorator]
def _finish(environment: Environment, **_others: Any) -> None:
    run, worker = runs.of(environment), worker_of(environment)
    if run is not None:
        run.finish()
    if worker is not None:
        worker.finish()


def _conclude(environment: Environment, **_others: Any) -> None:
    """Someone ends the program while a run is under way: Locust takes the exit code before it stops the run."""
    preparing: gevent.Greenlet | None = getattr(environment, "dovestorm_preparing", None)
    if preparing is not None:
        # Left alone, it would start users of a program that is gone.
        preparing.kill()
        sys.stderr.write("dovestorm: stopped before sending began: nothing was delivered\n")
        environment.process_exit_code = NOTHING_DELIVERED
    _finish(environment)
    _judge(environment)
    _attempt("the report", partial(add_section, environment))


@events.test_stop.add_listener  # type: ignore[untyped-decorator]
def _stopped(environment: Environment, **_others: Any) -> None:
    run = runs.of(environment)
    is_first = run is not None and not run.is_judged
    _judge(environment)
    options: Any = environment.parsed_options
    # A program that ends prints Locust's tables first: the verdict stands below them.
    if is_first and not (options is not None and options.headless):
        _show(environment)


def _show(environment: Environment, **_others: Any) -> None:
    run = runs.of(environment)
    if run is None or run.report is None or run.is_shown:
        return
    run.is_shown = True
    sys.stderr.write(f"\n{run.report.to_text()}\n\n")
    sys.stderr.flush()


def _judge(environment: Environment) -> None:
    run = runs.of(environment)
    if run is None or run.report is None or run.is_judged:
        return
    run.is_judged = True
    report = run.report
    options: Any = environment.parsed_options
    runner: Any = environment.runner
    if run.plan.junit:
        _write(run.plan.junit, to_junit(report))
    path = getattr(options, "load_json", "")
    if path:
        _write(path, json.dumps(report.to_dict(), indent=2) + "\n")
    _attempt("the CSV file", partial(add_csv, environment))
    _attempt("the metrics", partial(write_metrics, environment))
    environment.process_exit_code = report.exit_code or (1 if runner.exceptions else 0)


def _write(path: str, text: str) -> None:
    _attempt(path, lambda: Path(path).write_text(text, encoding="utf-8"))


def _attempt(what: str, write: Callable[[], Any]) -> None:
    try:
        write()
    except OSError as error:
        sys.stderr.write(f"dovestorm: {what}: cannot be written: {error.strerror}\n")


def _obey(environment: Environment, msg: Message) -> None:
    """A message of the master, given to this process's worker."""
    worker = worker_of(environment)
    if worker is None:
        return
    facts: dict[str, Any] = msg.data
    match str(msg.type).removeprefix("dovestorm-"):
        case "assign":
            worker.assign(facts)
        case "release":
            worker.release(facts["shard"])
        case "go":
            worker.go(facts["elapsed"])
        case "rate":
            worker.change_rate(facts["at"], facts["rate"], facts["of"])
        case _:
            worker.finish()
