"""The command `feed`: list the feeds, run one once, or run it for as long as it is wanted."""

import argparse
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from datetime import timedelta
from random import Random
from typing import TYPE_CHECKING, Any, Final

from mdti.console import Console
from mdti.errors import Conflict, MdtiError, SettingError, StoreError
from mdti.feeds.report import COUNTS, Report
from mdti.render.document import dump
from mdti.render.escape import terminal

if TYPE_CHECKING:
    from mdti.app import App

FOLLOW_SECONDS: Final = 30.0
"""Pause between two runs while a feed is followed and has nothing more for now."""

LONGEST_SECONDS: Final = 900.0
"""Longest pause after runs that failed."""

_QUIET: Final = timedelta(hours=1)
_WIDTH: Final = max(map(len, COUNTS))


def list_feeds(options: argparse.Namespace, console: Console, app: "App") -> None:
    """Show every feed and how its last run ended."""
    feeds = app.feeds()
    if options.format == "json":
        console.show(dump({"feeds": feeds}, pretty=True).decode() + "\n")
        return
    width = max(len(feed["name"]) for feed in feeds)
    console.show("".join(f"{feed['name']:<{width}}  {_last(feed['lastRun'])}\n" for feed in feeds))


def run_feed(
    options: argparse.Namespace,
    console: Console,
    app: "App",
    *,
    sleep: Callable[[float], object] = time.sleep,
    random: Random | None = None,
) -> Report:
    """Run a feed until nothing is left to do for now; with `--follow` until interrupted.

    Returns the report of the last run. While a feed is followed, a run that fails is told and
    another one follows after a pause, unless a setting is wrong.
    """
    from mdti.feeds.service import parse_feed

    body = {
        "depthDays": options.depth_days,
        "minScore": options.min_score,
        "dryRun": options.dry_run,
        "full": options.full,
    }
    request = parse_feed(options.name, body)
    pauses, telling = _Pauses(random or Random()), _Telling(console)
    while True:
        try:
            with console.working(f"Running {options.name}", lambda: app.transport.counters()):
                run = app.run_feed(request)
        except (Conflict, StoreError) as error:
            if not options.follow:
                raise
            console.fail(error)
            sleep(pauses.after(error))
            continue
        if run.again and not options.dry_run:
            telling.tell(run.report)
            request = request.following(run)
            continue
        if not options.follow or isinstance(run.report.error, SettingError):
            return run.report
        telling.tell(run.report)
        # What was read of a full reading is in the mirror, and the next run goes on from there.
        request = replace(request, full=request.full and not run.begun)
        sleep(pauses.after(run.report.error))


class _Pauses:
    """How long to wait between two runs: longer, and not all at once, the more have failed."""

    def __init__(self, random: Random) -> None:
        self._random, self._failures = random, 0

    def after(self, error: MdtiError | None) -> float:
        if error is None:
            self._failures = 0
            return FOLLOW_SECONDS
        self._failures += 1
        longest = min(FOLLOW_SECONDS * 2 ** min(self._failures, 10), LONGEST_SECONDS)
        return self._random.uniform(longest / 2, longest)


class _Telling:
    """One line for each run; a run like the one before it is told once an hour."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._told: Report | None = None

    def tell(self, report: Report) -> None:
        if self._told is not None and report.error is None:
            same = report.line == self._told.line
            if same and report.finished - self._told.finished < _QUIET:
                return
        self._told = report
        self._console.note(f"{report.finished:%Y-%m-%dT%H:%M:%SZ} {report.line}")
        if report.error is not None:
            self._console.fail(report.error)


def show_report(options: argparse.Namespace, console: Console, report: Report) -> None:
    """Show what a run did."""
    document = report.to_json()
    if options.format == "json":
        console.show(dump(document, pretty=True).decode() + "\n")
        return
    console.show("".join(f"{line}\n" for line in _lines(document)))
    if report.error is not None:
        console.fail(report.error)


def _lines(document: Mapping[str, Any]) -> Iterable[str]:
    yield f"{document['feed']}: {_outcome(document)}"
    for name in COUNTS:
        yield f"  {name:<{_WIDTH}} {document[name]:>9,}"
    for reason, count in document["skipped"].items():
        yield f"  {'skipped':<{_WIDTH}} {count:>9,}  {terminal(reason)}"
    for item in document["rejected"]:
        yield f"  {'rejected':<{_WIDTH}} {terminal(item['value'])}: {terminal(item['reason'])}"


def _outcome(document: Mapping[str, Any]) -> str:
    if document["error"] is not None:
        return "failed"
    return "complete" if document["complete"] else "incomplete"


def _last(report: Mapping[str, Any] | None) -> str:
    if report is None:
        return "never run"
    counts = f"{report['accepted']:,} accepted, {report['removed']:,} removed"
    if waiting := report.get("awaitingApproval"):
        counts += f", {waiting:,} awaiting approval"
    return f"{report['finished']}  {_outcome(report)}, {counts}"
