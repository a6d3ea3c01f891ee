"""Look-ups and briefs as Markdown for tickets, wikis and chat.

Hosts stand in code spans; every other outside text is escaped, so it renders as the characters it
has and can neither link, mention an image nor break out of a table cell.
"""

from collections.abc import Iterable, Sequence
from typing import Final

from mdti.incident_models import Brief
from mdti.models import Actor, Evidence, HostReport, Lookup
from mdti.render import wording
from mdti.render.escape import markdown, markdown_host, markdown_link, profile_link

MAX_ROWS: Final = 100
"""Rows of one table; the JSON and CSV outputs hold them all."""


def lookups_markdown(lookups: Sequence[Lookup], *, brief: Brief | None = None) -> str:
    """Return the report of any number of look-ups, led by the brief when there is one."""
    blocks = [*(_brief(brief) if brief else ()), *(_lookup(lookup) for lookup in lookups)]
    return "\n\n".join(blocks) + "\n"


def _brief(brief: Brief) -> Iterable[str]:
    yield f"# {markdown(wording.heading(brief))}"
    mode = " (observe mode: nothing was changed)" if brief.mode == "observe" else ""
    decision = "Escalate" if brief.raises else "Do not escalate"
    tags = ", ".join(map(markdown, brief.tags)) or "none"
    yield f"**{decision}**{mode}. Severity {brief.severity}, tags: {tags}."
    if brief.gaps:
        yield _list("Incomplete: could not be looked at", map(wording.gap, brief.gaps))
    if brief.left_out:
        left = (f"{item.kind} {item.value}: {item.reason}" for item in brief.left_out)
        yield _list("Not looked up", left)
    if brief.hash_matches:
        hashes = (
            f"{match.hash.value}: {', '.join(actor.name for actor in match.actors)}"
            for match in brief.hash_matches
        )
        yield _list("File hashes in intel profiles", hashes)
    if brief.exposure:
        machines = (
            f"{item.cve}, used by {item.actor}: {wording.plural(item.machines, 'machine')}"
            for item in brief.exposure
        )
        yield _list("Exposed machines", machines)
    for query in brief.hunting_queries:
        yield f"**{markdown(query.title)}**\n\n{_code(query.kql)}"


def _lookup(lookup: Lookup) -> str:
    blocks = [f"# {markdown_host(lookup.seed)}", f"{markdown(wording.verdict(lookup))}"]
    if lookup.gaps:
        blocks.append(_list("Incomplete: could not be looked at", map(wording.gap, lookup.gaps)))
    if lookup.reputation:
        score = f"{lookup.reputation.score} ({markdown(lookup.reputation.classification)})"
        rules = (f"{rule.name}: {rule.description}" for rule in lookup.reputation.rules)
        blocks.append(f"Reputation {score}.")
        blocks.append(_list("Rules", rules))
    blocks += [_actor(actor) for actor in lookup.actors]
    blocks.append(_table(("Host", "Hops", "Role", "Neighbours", "Why"), map(_host, lookup.hosts)))
    return "\n\n".join(filter(None, blocks))


def _actor(actor: Actor) -> str:
    name = markdown_link(profile_link(actor.profile_id), actor.name)
    weight = "escalates" if actor.escalate else "does not escalate"
    aliases = f" Also {markdown(', '.join(actor.aliases))}." if actor.aliases else ""
    head = f"## {name}\n\n{markdown(wording.sureness(actor))}, {weight}.{aliases}"
    rows = map(_evidence, wording.ranked(actor.evidence))
    return f"{head}\n\n{_table(('Path', 'Evidence', 'Weight'), rows)}"


def _evidence(item: Evidence) -> tuple[str, ...]:
    source = markdown_link(item.url, wording.claim(item.kind))
    remark = wording.remark(item)
    text = f": {markdown(remark)}" if remark else ""
    return (markdown(wording.path(item), limit=1_500), f"{source}{text}", f"{item.weight:.2f}")


def _host(report: HostReport) -> tuple[str, ...]:
    return (
        markdown_host(report.host),
        str(report.hops),
        markdown(wording.role(report)),
        wording.degree(report),
        markdown(report.reason),
    )


def _table(heads: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [f"| {' | '.join(cells)} |" for cells in rows]
    if not lines:
        return ""
    rule = f"|{' --- |' * len(heads)}"
    left = len(lines) - MAX_ROWS
    more = [f"\n{left:,} more not shown."] if left > 0 else []
    return "\n".join([f"| {' | '.join(heads)} |", rule, *lines[:MAX_ROWS], *more])


def _list(title: str, items: Iterable[str]) -> str:
    lines = [f"- {markdown(item)}" for item in items]
    if not lines:
        return ""
    left = len(lines) - MAX_ROWS
    more = [f"- {left:,} more not shown"] if left > 0 else []
    return "\n".join([f"**{title}**", "", *lines[:MAX_ROWS], *more])


def _code(text: str) -> str:
    return "\n".join(f"    {line}" for line in text.splitlines())
