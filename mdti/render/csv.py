"""Look-ups as one CSV table: a row per piece of evidence, per host and per gap.

One header serves the three kinds of row, told apart by the column `row`, so the file opens in a
spreadsheet and still says when an answer is incomplete. Hosts are not defanged: the table feeds
block lists and joins. Line ends are CR LF (RFC 4180).
"""

import csv
import io
from collections.abc import Iterator, Sequence
from typing import Any, Final

from mdti.models import Actor, Evidence, Gap, HostReport, Lookup
from mdti.render.document import time_text
from mdti.render.escape import csv_cell, link, plain

COLUMNS: Final = (
    "row",
    "ioc",
    "host",
    "hostKind",
    "hops",
    "role",
    "provider",
    "degree",
    "reputation",
    "actor",
    "confidence",
    "score",
    "escalate",
    "evidenceKind",
    "text",
    "url",
    "path",
    "firstSeen",
    "lastSeen",
    "reason",
    "complete",
)

Row = dict[str, Any]


def lookups_csv(lookups: Sequence[Lookup]) -> str:
    """Return the table for any number of look-ups."""
    out = io.StringIO(newline="")
    writer = csv.DictWriter(out, COLUMNS, restval="", lineterminator="\r\n")
    writer.writeheader()
    for lookup in lookups:
        shared = {"ioc": lookup.seed.value, "complete": lookup.complete}
        for row in _rows(lookup):
            writer.writerow({name: _cell(value) for name, value in (shared | row).items()})
    return out.getvalue()


def _rows(lookup: Lookup) -> Iterator[Row]:
    for actor in lookup.actors:
        for evidence in actor.evidence:
            yield _evidence_row(actor, evidence)
    for report in lookup.hosts:
        yield _host_row(report)
    for gap in lookup.gaps:
        yield _gap_row(gap)


def _evidence_row(actor: Actor, evidence: Evidence) -> Row:
    return {
        "row": "evidence",
        "host": evidence.host.value,
        "hostKind": evidence.host.kind,
        "hops": evidence.hops,
        "actor": actor.name,
        "confidence": actor.confidence,
        "score": actor.score,
        "escalate": actor.escalate,
        "evidenceKind": evidence.kind,
        "text": evidence.text,
        "url": link(evidence.url) or plain(evidence.url or ""),
        "path": " > ".join(
            [step.queried.value for step in evidence.path[:1]]
            + [step.answer.value for step in evidence.path]
        ),
        "firstSeen": min((time_text(step.first) for step in evidence.path), default=""),
        "lastSeen": max((time_text(step.last) for step in evidence.path), default=""),
    }


def _host_row(report: HostReport) -> Row:
    at_least = ">=" if report.degree_at_least else ""
    return {
        "row": "host",
        "host": report.host.value,
        "hostKind": report.host.kind,
        "hops": report.hops,
        "role": report.role,
        "provider": report.provider or "",
        "degree": "" if report.degree is None else f"{at_least}{report.degree}",
        "reputation": report.reputation.score if report.reputation else "",
        "lastSeen": time_text(report.last_seen) if report.last_seen else "",
        "reason": report.reason,
    }


def _gap_row(gap: Gap) -> Row:
    return {
        "row": "gap",
        "host": gap.host.value if gap.host else "",
        "hostKind": gap.host.kind if gap.host else "",
        "text": gap.stage,
        "reason": gap.reason,
    }


def _cell(value: object) -> object:
    if isinstance(value, bool):
        return str(value).lower()
    return csv_cell(value) if isinstance(value, str) else value
