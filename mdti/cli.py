"""The command line: each command reads what it is given, calls a method of `App`, shows the answer.

Results go to standard output, everything else to standard error. Exit codes: 0 done, 1 error,
2 wrong usage, 3 done but incomplete, 130 interrupted, 143 terminated. Heavy rooms are imported
where they are used, so that `--help` answers at once.
"""

import argparse
import json
import os
import runpy
import signal
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from mdti.arguments import TOGETHER, command_line, iocs, read
from mdti.console import Console
from mdti.errors import InputError, MdtiError

if TYPE_CHECKING:
    from mdti.app import App
    from mdti.contract import LookupRequest
    from mdti.incident_models import Brief
    from mdti.models import Host, Lookup

DONE, FAILED, USAGE, INCOMPLETE, INTERRUPTED, TERMINATED = 0, 1, 2, 3, 130, 143


class Terminated(KeyboardInterrupt):
    """Somebody asked the process to end, as `docker stop` does."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code."""
    console = Console()
    try:
        return _run(list(sys.argv[1:] if arguments is None else arguments))
    except SystemExit as end:  # how argparse ends
        return int(end.code or DONE)
    except KeyboardInterrupt as end:
        # Threads with requests under way would hold the process until these are answered.
        os._exit(TERMINATED if isinstance(end, Terminated) else INTERRUPTED)
    except MdtiError as error:
        console.fail(error)
        return USAGE if isinstance(error, InputError) else FAILED
    except OSError as error:
        console.fail(MdtiError(f"The system says: {error.strerror or type(error).__name__}."))
        return FAILED
    except Exception as error:
        if sys.flags.dev_mode:
            raise
        hint = "`python -X dev -m mdti ...` shows where."
        console.fail(MdtiError(f"This should not happen: {type(error).__name__}.", hint=hint))
        return FAILED


def _run(arguments: Sequence[str]) -> int:
    if arguments[:1] == ["sandbox"]:  # its options are its own
        from mdti.sandbox.__main__ import main as serve_sandbox

        return serve_sandbox(arguments[1:])
    options = command_line().parse_args(arguments)
    return _COMMANDS[options.command](options, Console(options.color, options.output))


def _lookup(options: argparse.Namespace, console: Console) -> int:
    with _app(options) as app:
        request = _request(options, console, app)
        lookups: list[Lookup] = []
        for start in range(0, len(request.hosts), TOGETHER):
            part = request.hosts[start : start + TOGETHER]
            label = _progress_label(start + 1, start + len(part), len(request.hosts))
            with console.working(label, lambda: app.transport.counters()):
                lookups += app.look_up(replace(request, hosts=part), at=options.at)
    _show_report(options, console, lookups)
    return DONE if all(lookup.complete for lookup in lookups) else INCOMPLETE


def _incident(options: argparse.Namespace, console: Console) -> int:
    try:
        body = json.loads(read(options.file))
    except (ValueError, RecursionError) as error:
        raise InputError(f"{options.file} is not JSON.") from error
    with _app(options) as app:
        incident = app.parse_incident(body)
        with console.working("Writing the brief", lambda: app.transport.counters()):
            brief = app.brief(incident)
    _show_report(options, console, brief.lookups, brief)
    return DONE if brief.complete else INCOMPLETE


def _actors(options: argparse.Namespace, console: Console) -> int:
    from mdti.listing import profile_text, profiles_text
    from mdti.render.document import actor_document, dump

    with (
        _app(options) as app,
        console.working("Reading intel profiles", lambda: app.transport.counters()),
    ):
        found = (app.actor(options.name),) if options.name else app.actors()
    if options.format == "json":
        documents = [actor_document(profile) for profile in found]
        answer = documents[0] if options.name else {"actors": documents}
        console.show(dump(answer, pretty=True).decode() + "\n")
    elif options.name:
        console.show(profile_text(found[0], width=console.width, colour=console.coloured))
    else:
        console.show(profiles_text(found, width=console.width, colour=console.coloured))
    return DONE


def _status(options: argparse.Namespace, console: Console) -> int:
    from mdti.listing import checks_text
    from mdti.render.document import dump
    from mdti.status import status_document

    with (
        _app(options) as app,
        console.working("Trying everything", lambda: app.transport.counters()),
    ):
        checks = app.status()
    document = status_document(checks)
    if options.format == "json":
        console.show(dump(document, pretty=True).decode() + "\n")
    else:
        console.show(checks_text(checks, width=console.width, colour=console.coloured))
    return DONE if document["healthy"] else FAILED


def _feed(options: argparse.Namespace, console: Console) -> int:
    from mdti.feeding import list_feeds, run_feed, show_report

    with _app(options) as app:
        if options.action == "list":
            list_feeds(options, console, app)
            return DONE
        with _terminable():
            report = run_feed(options, console, app)
    show_report(options, console, report)
    if report.error is not None:
        return FAILED
    return DONE if report.complete else INCOMPLETE


def _serve(options: argparse.Namespace, console: Console) -> int:
    from mdti.serve import serve

    with (
        suppress(KeyboardInterrupt),
        _surroundings(options),
        serve(_functions(), port=options.port) as server,
    ):
        ioc = "telemetry-cache.example" if options.sandbox else "IOC"
        console.show(
            f"The function app listens on {server.url} (Ctrl-C ends it).\n\n"
            f"  curl '{server.url}/api/v1/lookups?ioc={ioc}&format=markdown'\n"
            f"  curl {server.url}/api/v1/status\n\n" + "\n".join(server.notes) + "\n"
        )
        threading.Event().wait()
    return DONE


def _demo(options: argparse.Namespace, console: Console) -> int:
    from mdti.demo import play

    play(console, report=options.report)
    return DONE


_COMMANDS: dict[str, Callable[[argparse.Namespace, Console], int]] = {
    "lookup": _lookup,
    "incident": _incident,
    "actors": _actors,
    "status": _status,
    "feed": _feed,
    "serve": _serve,
    "demo": _demo,
}


@contextmanager
def _app(options: argparse.Namespace) -> Iterator["App"]:
    """Make the app, and a sandbox beside it when asked for."""
    from mdti.app import App

    with _surroundings(options):
        app = App(dict(os.environ))
        yield app
        app.close()  # not after an interrupt: it waits for requests under way


@contextmanager
def _terminable() -> Iterator[None]:
    """Make a request to end an exception, so that leases are given back.

    The first process of a container would not even notice it otherwise.
    """

    def end(*_: object) -> None:
        raise Terminated

    before = signal.signal(signal.SIGTERM, end)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _surroundings(options: argparse.Namespace) -> AbstractContextManager[object]:
    if not options.sandbox:
        return nullcontext()
    from mdti.sandboxed import sandboxed

    return sandboxed(feeds=options.command == "feed")


def _functions() -> Sequence[object]:
    """Return the functions of the function app, which lies beside this package."""
    path = Path(__file__).resolve().parent.parent / "function_app.py"
    if not path.is_file():
        raise MdtiError(f"There is no {path}.", hint="`serve` works from a copy of the repository.")
    functions: Sequence[object] = runpy.run_path(str(path))["app"].get_functions()
    return functions


def _request(options: argparse.Namespace, console: Console, app: "App") -> "LookupRequest":
    """Return what to look up; say which IOCs cannot be, and raise when none is left."""
    from mdti.contract import LookupRequest, parse_options

    chosen = {
        "depth": options.depth,
        "lookbackDays": options.lookback_days,
        "maxHosts": options.max_hosts,
        "timeoutSeconds": options.timeout,
    }
    given = {name: value for name, value in chosen.items() if value is not None}
    limits = parse_options(given, settings=app.settings.lookup)
    hosts: dict[Host, None] = {}
    for text in iocs(options):
        try:
            hosts[app.parser.parse(text)] = None
        except InputError as error:
            console.note(f"mdti: not looked up: {text}: {error.message}")
    if not hosts:
        raise InputError("There is no IOC to look up.", hint="`mdti lookup --help` says how.")
    return LookupRequest(tuple(hosts), len(hosts) == 1, limits)


def _progress_label(first: int, last: int, count: int) -> str:
    which = f"host {first}" if first == last else f"hosts {first} to {last}"
    return f"Looking up {which} of {count:,}"


def _show_report(
    options: argparse.Namespace,
    console: Console,
    lookups: "Sequence[Lookup]",
    brief: "Brief | None" = None,
) -> None:
    from mdti.render import render

    report = render(
        options.format,
        lookups,
        now=datetime.now(UTC),
        brief=brief,
        width=console.width,
        colour=console.coloured,
    )
    console.show(report)
