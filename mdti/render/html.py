"""A report of look-ups and a brief as one self-contained HTML page.

No script, no outside style, font or image, and a content security policy that allows none: the
page may be mailed, archived and opened anywhere. Every outside text passes `escape.html`.
"""

from base64 import b64encode
from collections.abc import Iterable, Sequence
from datetime import datetime
from hashlib import sha256
from typing import Final

from mdti.incident_models import Brief, HuntingQuery
from mdti.models import Actor, Evidence, Gap, HostReport, Lookup, Resolution
from mdti.render import wording
from mdti.render.escape import defang_host, html, html_link, html_text, profile_link
from mdti.render.style import STYLE
from mdti.render.svg import lookup_svg

MAX_ROWS: Final = 300
"""Rows of one table and items of one list; the JSON and CSV outputs hold them all."""

_CLASSES = frozenset({"malicious", "suspicious", "neutral", "unknown"})
_LEGEND = (
    ("name", "host name"),
    ("dedicated", "dedicated address"),
    ("shared", "shared or cloud address"),
    ("hub", "not followed"),
    ("unfinished", "could not be looked at"),
    ("mark", "bears evidence"),
    ("actor", "actor that escalates"),
)


def report_html(lookups: Sequence[Lookup], *, now: datetime, brief: Brief | None = None) -> str:
    """Return the page for any number of look-ups, led by the brief when there is one."""
    parts = [
        "<!DOCTYPE html>",
        '<html lang="en"><head><meta charset="utf-8">',
        f'<meta http-equiv="Content-Security-Policy" content="{content_security_policy()}">',
        '<meta name="viewport" content="width=device-width, initial-scale=1">',
        '<meta name="referrer" content="no-referrer">',
        f"<title>{html(_title(lookups, brief))}</title>",
        f"<style>{STYLE}</style></head><body><main>",
        f"<header><h1>{html(_title(lookups, brief))}</h1>",
        f"<p>MDTI Actor Lookup, {wording.minute(now)}</p></header>",
        *(_brief(brief) if brief else ()),
        *(_lookup(lookup, number) for number, lookup in enumerate(lookups)),
        *(f'<p class="soft">{cost}</p>' for cost in wording.costs(lookups)),
        "</main></body></html>",
    ]
    return "\n".join(parts) + "\n"


def content_security_policy() -> str:
    """Return the policy of the page: its own style sheet, and nothing else."""
    digest = b64encode(sha256(STYLE.encode()).digest()).decode()
    return f"default-src 'none'; style-src 'sha256-{digest}'; base-uri 'none'; form-action 'none'"


def _title(lookups: Sequence[Lookup], brief: Brief | None) -> str:
    if brief:
        return wording.heading(brief)
    if len(lookups) == 1:
        return f"Who is behind {defang_host(lookups[0].seed)}?"
    return f"Who is behind {wording.plural(len(lookups), 'host')}?"


def _brief(brief: Brief) -> Iterable[str]:
    yield "<section>"
    decision = "Escalate" if brief.raises else "Do not escalate"
    style = "raise" if brief.raises else "low"
    tags = "".join(f' <span class="badge">{html(tag)}</span>' for tag in brief.tags)
    yield (
        f'<h2 class="{style}">{decision}</h2>'
        f"<p>Severity {brief.severity}, status {brief.status}{tags}</p>"
    )
    if brief.mode == "observe":
        yield '<p class="note">Observe mode: nothing was changed; this is what would be done.</p>'
    yield _gaps(brief.gaps)
    yield _list("Actors", (_sentence(actor) for actor in brief.actors))
    hashes = (
        f"<code>{html(match.hash.value)}</code>"
        f" {html(', '.join(actor.name for actor in match.actors))}"
        for match in brief.hash_matches
    )
    yield _list("File hashes in intel profiles", hashes)
    machines = (
        f"{html(item.cve)}, used by {html(item.actor)}: {wording.plural(item.machines, 'machine')}"
        f" <span class='soft'>{html(', '.join(item.examples))}</span>"
        for item in brief.exposure
    )
    yield _list("Exposed machines", machines)
    left = (html(f"{item.kind} {item.value}: {item.reason}") for item in brief.left_out)
    yield _list("Not looked up", left)
    yield from map(_query, brief.hunting_queries)
    yield "</section>"


def _sentence(actor: Actor) -> str:
    return f"{html(wording.linked(actor))} ({html(wording.sureness(actor))})"


def _query(query: HuntingQuery) -> str:
    return (
        f"<details><summary>Hunt: {html(query.title)}</summary>"
        f"<pre><code>{html_text(query.kql)}</code></pre></details>"
    )


def _lookup(lookup: Lookup, number: int) -> str:
    parts = [
        f'<section><h2 class="host">{html(defang_host(lookup.seed))}{_reputation(lookup)}</h2>',
        f'<p class="verdict">{html(wording.verdict(lookup))}</p>',
        _gaps(lookup.gaps),
        f'<div class="actors">{"".join(map(_actor, lookup.actors))}</div>',
        f'<h3>The chain</h3><div class="scroll">{lookup_svg(lookup, name=f"chain{number}")}</div>',
        _legend(),
        _rules(lookup),
        _list("Not followed", map(_stop, wording.not_followed((lookup,)))),
        _table("host", ("Host", "Hops", "Role", "Neighbours", "Last seen", "Why"), _hosts(lookup)),
        _table("resolution", ("From", "To", "Type", "Seen"), map(_record, lookup.resolutions)),
        "</section>",
    ]
    return "\n".join(filter(None, parts))


def _reputation(lookup: Lookup) -> str:
    if lookup.reputation is None:
        return ""
    kind = lookup.reputation.classification
    style = kind if kind in _CLASSES else "unknown"
    return f' <span class="badge {style}">{html(kind)} {lookup.reputation.score}</span>'


def _gaps(gaps: Sequence[Gap]) -> str:
    if not gaps:
        return ""
    items = "".join(f"<li>{html(wording.gap(gap))}</li>" for gap in gaps[:MAX_ROWS])
    count = wording.plural(len(gaps), "thing")
    return (
        f'<div class="alarm" role="alert"><b>Incomplete: {count} could not be looked at.</b>'
        f"<ul>{items}{_more(len(gaps))}</ul></div>"
    )


def _actor(actor: Actor) -> str:
    style = "actor-card escalates" if actor.escalate else "actor-card"
    name = html_link(profile_link(actor.profile_id), actor.name)
    aliases = html(", ".join(actor.aliases))
    weight = "escalates" if actor.escalate else "does not escalate"
    shown = wording.ranked(actor.evidence)[:MAX_ROWS]
    rows = "".join(map(_evidence, wording.by_path(shown)))
    return (
        f'<article class="{style}"><h3>{name}</h3>'
        f'<span class="badge {actor.confidence}">{html(wording.sureness(actor))}</span>'
        f'<p class="soft">{weight}{", also " if aliases else ""}{aliases}</p>'
        f'<ul class="evidence">{rows}{_more(len(actor.evidence))}</ul></article>'
    )


def _claim(item: Evidence) -> str:
    shared = f", which names {item.naming} actors" if item.naming > 1 else ""
    source = html_link(item.url, f"{wording.claim(item.kind)}{shared}")
    remark = wording.remark(item)
    return f"{source}: {html(remark)}" if remark else source


def _evidence(group: Sequence[Evidence]) -> str:
    item = group[0]
    start = item.path[0].queried if item.path else item.host
    steps = "".join(
        f'<li><span class="host">{html(defang_host(step.answer))}</span>'
        f' <span class="soft">{html(step.record_type)}, {wording.seen(step)}</span></li>'
        for step in item.path
    )
    return (
        f'<li><p>{"</p><p>".join(map(_claim, group))}</p><ol class="path">'
        f'<li><span class="host">{html(defang_host(start))}</span></li>{steps}</ol></li>'
    )


def _legend() -> str:
    items = (f'<li><i class="{style}"></i>{words}</li>' for style, words in _LEGEND)
    return f'<ul class="legend">{"".join(items)}<li>dates show on hover</li></ul>'


def _rules(lookup: Lookup) -> str:
    rules = lookup.reputation.rules if lookup.reputation else ()
    items = (
        f"{html_link(rule.url, rule.name)}: {html(rule.description)}"
        f' <span class="soft">{html(rule.severity)}</span>'
        for rule in rules
    )
    return _list("Reputation rules", items)


def _stop(report: HostReport) -> str:
    facts = ", ".join(filter(None, (wording.role(report), wording.degree(report))))
    host = html(defang_host(report.host))
    return f'<span class="host">{host}</span>: {html(facts)}; {html(report.reason)}'


def _hosts(lookup: Lookup) -> Iterable[tuple[str, ...]]:
    for report in lookup.hosts:
        yield (
            f'<span class="host">{html(defang_host(report.host))}</span>',
            str(report.hops),
            html(wording.role(report)),
            html(wording.degree(report)),
            wording.day(report.last_seen) if report.last_seen else "",
            html(report.reason),
        )


def _record(record: Resolution) -> tuple[str, ...]:
    return (
        f'<span class="host">{html(defang_host(record.queried))}</span>',
        f'<span class="host">{html(defang_host(record.answer))}</span>',
        html(record.record_type),
        wording.seen(record),
    )


def _table(noun: str, heads: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [f"<tr><td>{'</td><td>'.join(cells)}</td></tr>" for cells in rows]
    if not lines:
        return ""
    columns = "".join(f'<th scope="col">{head}</th>' for head in heads)
    more = f"<p>{len(lines) - MAX_ROWS:,} more not shown</p>" if len(lines) > MAX_ROWS else ""
    return (
        f"<details><summary>{wording.plural(len(lines), noun)}</summary>"
        f'<div class="scroll"><table><thead><tr>{columns}</tr></thead>'
        f"<tbody>{''.join(lines[:MAX_ROWS])}</tbody></table></div>{more}</details>"
    )


def _list(title: str, fragments: Iterable[str]) -> str:
    items = [f"<li>{fragment}</li>" for fragment in fragments]
    if not items:
        return ""
    return f"<h3>{title}</h3><ul>{''.join(items[:MAX_ROWS])}{_more(len(items))}</ul>"


def _more(count: int) -> str:
    return f"<li>{count - MAX_ROWS:,} more not shown</li>" if count > MAX_ROWS else ""
