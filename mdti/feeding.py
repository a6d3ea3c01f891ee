"""The command `feed`: list the feeds, run one once, or run it for as long as it is wanted."""

import argparse
import time
from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any, Final

from mdti.console import Console
from mdti.errors import MdtiError
from mdti.render.document import dump
from mdti.render.escape import terminal

if TYPE_CHECKING:
    from mdti.app import App
    from mdti.feeds.report import Report

FOLLOW_SECONDS: Final = 30.0
"""Pause between two runs while a feed is followed and has nothing more for now."""

_COUNTS: Final = (
    "read",
    "accepted",
    "unchanged",
    "removed",
    "pending",
    "awaitingApproval",
    "overCap",
)
_WIDTH: Final = max(map(len, _COUNTS))


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
) -> "Report":
    """Run a feed until nothing is left to do for now; with `--follow` until interrupted.

    Returns the report of the last run. While a feed is followed, a run that fails is told and
    another one follows, unless a setting is wrong.
    """
    from mdti.feeds.service import parse_feed

    body = {
        "depthDays": options.depth_days,
        "minScore": options.min_score,
        "dryRun": options.dry_run,
        "full": options.full,
    }
    request = parse_feed(options.name, body)
    while True:
        with console.working(f"Running {options.name}", lambda: app.transport.counters()):
            run = app.run_feed(request)
        if run.again and not options.dry_run:
            _say(console, run.report)
            request = request.following
            continue
        if not options.follow:
            return run.report
        _say(console, run.report)
        if run.report.error is None:
            # A reading that failed is begun anew: what it had read of a snapshot is in the mirror.
            request = request.following
        sleep(FOLLOW_SECONDS)


def show_report(options: argparse.Namespace, console: Console, report: "Report") -> None:
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
    for name in _COUNTS:
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


def _say(console: Console, report: "Report") -> None:
    document = report.to_json()
    counts = ", ".join(f"{document[name]:,} {name}" for name in _COUNTS)
    console.note(f"{document['finished']} {document['feed']}: {_outcome(document)}, {counts}")
    if report.error is not None:
        console.fail(MdtiError(report.error.message, hint=report.error.hint))
