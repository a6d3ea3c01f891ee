"""Look-ups and briefs for a terminal: who, how sure, by which path, and what was not looked at.

Every outside text passes `terminal`, so the only escape sequences are the few colours of ours, and
those only when asked for.
"""

import textwrap
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from mdti.incident_models import Brief
from mdti.models import Actor, Evidence, HostReport, Lookup, Role
from mdti.pruning import STOP_ROLES
from mdti.render import wording
from mdti.render.escape import defang_host, shorten, terminal

MAX_ROWS: Final = 40
"""Hosts in the table; the JSON and CSV outputs hold them all."""

MAX_EVIDENCE: Final = 10
"""Pieces of evidence per actor, the strongest first."""

_RESET = "\x1b[0m"
_BOLD = "\x1b[1m"
_DIM = "\x1b[2m"
_RED = "\x1b[1;31m"
_YELLOW = "\x1b[33m"
_GREEN = "\x1b[32m"
_SURENESS = {"high": _RED, "medium": _YELLOW, "low": _DIM}


def lookups_text(
    lookups: Sequence[Lookup],
    *,
    brief: Brief | None = None,
    width: int = 100,
    colour: bool = False,
) -> str:
    """Return the report, no line longer than `width` (at least 40) characters but for one word."""
    page = _Page(max(width, 40), colour)
    if brief:
        _brief(page, brief)
    for lookup in lookups:
        _lookup(page, lookup)
    for cost in wording.costs(lookups):
        page.line(cost, _DIM)
    return page.text()


@dataclass(frozen=True, slots=True)
class _Cell:
    text: str
    style: str = ""


class _Page:
    """Lines of a given width, with or without colour."""

    def __init__(self, width: int, colour: bool) -> None:
        self._width = width
        self._colour = colour
        self._lines: list[str] = []

    def line(self, text: str = "", style: str = "", *, indent: int = 0, hang: int = 2) -> None:
        """Add text, wrapped; continued lines hang two further in."""
        wrapped = textwrap.wrap(
            text,
            self._width,
            initial_indent=" " * indent,
            subsequent_indent=" " * (indent + hang),
            break_long_words=False,
            break_on_hyphens=False,
        )
        self._lines += [self._styled(line, style) for line in wrapped or [""]]

    def table(self, heads: Sequence[str], rows: Sequence[Sequence[_Cell]]) -> None:
        """Add a table; the widest columns are cut until it fits."""
        widths = [
            max(len(head), *(len(row[number].text) for row in rows))
            for number, head in enumerate(heads)
        ]
        while sum(widths) + 2 * len(widths) > self._width:
            widths[widths.index(max(widths))] -= 1
        self._row([_Cell(head, _BOLD) for head in heads], widths)
        for row in rows:
            self._row(row, widths)

    def text(self) -> str:
        return "\n".join(self._lines).strip("\n") + "\n"

    def _row(self, cells: Sequence[_Cell], widths: Sequence[int]) -> None:
        texts = [
            shorten(cell.text, width).ljust(width)
            for cell, width in zip(cells, widths, strict=True)
        ]
        texts[-1] = texts[-1].rstrip()
        parts = [self._styled(text, cell.style) for text, cell in zip(texts, cells, strict=True)]
        self._lines.append(("  " + "  ".join(parts)).rstrip())

    def _styled(self, text: str, style: str) -> str:
        return f"{style}{text}{_RESET}" if self._colour and style and text else text


def _brief(page: _Page, brief: Brief) -> None:
    page.line(terminal(wording.heading(brief)), _BOLD)
    decision = "ESCALATE" if brief.raises else "No escalation"
    page.line(
        f"{decision}: severity {brief.severity}, status {brief.status},"
        f" tags {terminal(', '.join(brief.tags)) or 'none'}",
        _RED if brief.raises else _BOLD,
    )
    if brief.mode == "observe":
        page.line("Observe mode: nothing is changed, this is what would be done.", _YELLOW)
    _section(page, "INCOMPLETE, could not be looked at", map(wording.gap, brief.gaps), _RED)
    actors = (f"{wording.linked(actor)} ({wording.sureness(actor)})" for actor in brief.actors)
    _section(page, "Actors", actors)
    hashes = (
        f"{match.hash.value}: {', '.join(actor.name for actor in match.actors)}"
        for match in brief.hash_matches
    )
    _section(page, "File hashes in intel profiles", hashes, _RED)
    machines = (
        f"{item.cve}, used by {item.actor}: {wording.plural(item.machines, 'machine')}"
        for item in brief.exposure
    )
    _section(page, "Exposed machines", machines)
    _section(page, "Questions for Security Copilot", (p.actor for p in brief.copilot_prompts))
    _section(page, "Hunting queries", (query.title for query in brief.hunting_queries))
    left = (f"{item.kind} {item.value}: {item.reason}" for item in brief.left_out)
    _section(page, "Not looked up", left)
    page.line()


def _lookup(page: _Page, lookup: Lookup) -> None:
    page.line(terminal(wording.verdict(lookup)), _BOLD)
    if lookup.reputation:
        score, kind = lookup.reputation.score, terminal(lookup.reputation.classification)
        style = _RED if score >= wording.MALICIOUS_SCORE else _GREEN if score < 25 else _YELLOW
        page.line(f"Reputation {score}, {kind}", style, indent=2)
    _section(page, "INCOMPLETE, could not be looked at", map(wording.gap, lookup.gaps), _RED)
    for actor in lookup.actors:
        _actor(page, actor)
    stops = wording.not_followed((lookup,))
    _section(page, "Not followed", map(_stop, stops))
    if lookup.hosts:
        page.line()
        _hosts(page, lookup.hosts)
    page.line()


def _actor(page: _Page, actor: Actor) -> None:
    page.line()
    weight = "escalates" if actor.escalate else "does not escalate"
    page.line(
        f"{terminal(actor.name)}: {wording.sureness(actor)}, {weight}",
        _SURENESS[actor.confidence],
        indent=2,
    )
    if actor.aliases:
        page.line(f"also {terminal(', '.join(actor.aliases))}", _DIM, indent=4)
    items = wording.ranked(actor.evidence)
    for group in wording.by_path(items[:MAX_EVIDENCE]):
        _evidence(page, group)
    if len(items) > MAX_EVIDENCE:
        page.line(f"{len(items) - MAX_EVIDENCE:,} more pieces of evidence not shown", indent=4)


def _evidence(page: _Page, group: Sequence[Evidence]) -> None:
    item = group[0]
    start = item.path[0].queried if item.path else item.host
    page.line(defang_host(start), indent=4)
    for number, step in enumerate(item.path):
        note = f"{terminal(step.record_type)}, {wording.seen(step)}"
        page.line(f"└ {defang_host(step.answer)}  {note}", indent=5 + 2 * number)
    for claim in map(_claim, group):
        page.line(claim, _DIM, indent=6 + 2 * item.hops)


def _claim(item: Evidence) -> str:
    shared = f", which names {item.naming} actors" if item.naming > 1 else ""
    remark = terminal(wording.remark(item), limit=120)
    return f"{wording.claim(item.kind)}{shared}{f' ({remark})' if remark else ''}"


def _stop(report: HostReport) -> str:
    facts = ", ".join(filter(None, (wording.role(report), wording.degree(report))))
    return f"{defang_host(report.host)}: {facts}; {report.reason}"


def _hosts(page: _Page, hosts: Sequence[HostReport]) -> None:
    rows = [
        [
            _Cell(defang_host(report.host)),
            _Cell(str(report.hops)),
            _Cell(terminal(wording.role(report), limit=36), _role_style(report.role)),
            _Cell(wording.degree(report)),
            _Cell(wording.day(report.last_seen) if report.last_seen else ""),
        ]
        for report in hosts[:MAX_ROWS]
    ]
    page.table(("host", "hops", "role", "neighbours", "last seen"), rows)
    if len(hosts) > MAX_ROWS:
        page.line(f"{len(hosts) - MAX_ROWS:,} more not shown", indent=2)


def _role_style(role: Role) -> str:
    return _DIM if role in STOP_ROLES else ""


def _section(page: _Page, title: str, items: Iterable[str], style: str = _BOLD) -> None:
    lines = [terminal(item) for item in items]
    if not lines:
        return
    page.line()
    page.line(f"{title}:", style, indent=2)
    for line in lines[:MAX_ROWS]:
        page.line(line, indent=4)
    if len(lines) > MAX_ROWS:
        page.line(f"{len(lines) - MAX_ROWS:,} more not shown", indent=4)
