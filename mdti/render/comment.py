"""The comment that an analyst reads on the Sentinel incident.

Plain HTML of the few tags Sentinel keeps. The first sentence says what happened, the second what
could not be looked at; then each actor with its strongest paths, then what was not followed and
what was left out. Rows are cut whole, the least important first, with the number of those cut.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Final, Literal

from mdti.incident_models import EarlierDescription, Exposure, HashMatch, LeftOut
from mdti.models import Actor, Evidence, Gap, HostReport, IntelProfile, Lookup
from mdti.render import wording
from mdti.render.escape import defang_host, html, html_link, link, profile_link

MAX_COMMENT: Final = 30_000
"""Characters that Sentinel takes in one comment, counted here as UTF-16 code units."""

_RESERVE: Final = 120  # for a section's closing tag and its "n more not shown"
_PATHS: Final = 5  # evidence per actor; the strongest decide, the rest is in the report
_ROWS: Final = 25  # rows of any other section
_PARAGRAPH: Final = 2_000  # characters of a profile's summary


def incident_comment(
    *,
    actors: Sequence[Actor],
    lookups: Sequence[Lookup],
    raises: bool,
    severity: str,
    mode: Literal["act", "observe"] = "act",
    gaps: Sequence[Gap] = (),
    left_out: Sequence[LeftOut] = (),
    hash_matches: Sequence[HashMatch] = (),
    exposure: Sequence[Exposure] = (),
    hunting_queries: Sequence[str] = (),
    profiles: Mapping[str, IntelProfile] | None = None,
    earlier: Mapping[str, EarlierDescription] | None = None,
    closed: bool = False,
    limit: int = MAX_COMMENT,
) -> str:
    """Return the comment's HTML, at most `limit` UTF-16 code units (at least 2,000).

    `severity` is what the incident gets when it is raised, `hunting_queries` are titles,
    `profiles` holds the profile of each actor that gets no Copilot prompt, `earlier` the incident
    that already has a description of an actor; both are keyed by the actor's name. `closed` says
    that the incident is closed, and so stays as it is.
    """
    writer = _Writer(limit)
    decision = _decision(actors, raises=raises, severity=severity, mode=mode, closed=closed)
    headline = _headline(actors, lookups, hash_matches, complete=not gaps)
    writer.add(f"<p><b>{html(headline, limit=600)}</b></p>")
    writer.add(f"<p>{html(decision)}</p>")
    if gaps:
        count = wording.plural(len(gaps), "thing")
        writer.add(
            f"<p><b>INCOMPLETE: {count} could not be looked at.</b>"
            " What is missing may hold further links; see the list below.</p>"
        )
    if not actors:
        writer.add(f"<p>{html(wording.checked(lookups))}</p>")
    for actor in actors:
        writer.section(
            _actor_head(actor), map(_evidence_row, wording.ranked(actor.evidence)), _PATHS
        )
        writer.add_if_room(_actor_tail(actor, profiles or {}, earlier or {}))
    writer.section(_heading("File hashes"), map(_hash_row, hash_matches))
    writer.section(_heading("Could not be looked at"), (_item(wording.gap(gap)) for gap in gaps))
    writer.section(_heading("Exposed machines"), map(_exposure_row, exposure))
    writer.section(_heading("Not followed"), map(_stop_row, wording.not_followed(lookups)))
    writer.section(_heading("Not looked up"), map(_left_out_row, left_out))
    writer.section(
        "Ready hunting queries in the brief", (_item(title) for title in hunting_queries)
    )
    return writer.text()


def actor_paragraph(profile: IntelProfile, *, limit: int = _PARAGRAPH) -> str:
    """Return what Microsoft's profile says of an actor, as one HTML paragraph.

    `limit` bounds the summary's characters. The text is Microsoft's, shown as text: no markup of
    it survives.
    """
    facts = [
        _fact("Also known as", profile.aliases),
        _fact("Origin", profile.origins),
        _fact("Targets", profile.targets),
    ]
    name = html_link(profile_link(profile.id), profile.title)
    summary = html(profile.summary or profile.description, limit=limit) or "No summary published."
    return f"<p><b>{name}</b><br>{summary}{''.join(facts)}</p>"


class _Writer:
    """Collects whole fragments up to a limit and says how many rows did not fit."""

    def __init__(self, limit: int) -> None:
        self._left = limit - _RESERVE
        self._parts: list[str] = []
        self._lost_sections = 0

    def add(self, fragment: str) -> None:
        self._left -= _units(fragment)
        self._parts.append(fragment)

    def add_if_room(self, fragment: str) -> None:
        if _units(fragment) <= self._left:
            self.add(fragment)

    def section(self, head: str, rows: Iterable[str], most: int = _ROWS) -> None:
        """Add a list under the fragment `head`, or count it as lost when no row of it fits."""
        waiting = list(rows)
        if not waiting:
            return
        opening = f"{head}<ul>"
        if _units(opening) + _units(waiting[0]) + _RESERVE > self._left:
            self._lost_sections += 1
            return
        self._left -= _RESERVE
        self.add(opening)
        shown = 0
        for row in waiting[:most]:
            if _units(row) > self._left:
                break
            self.add(row)
            shown += 1
        more = f"<li>{len(waiting) - shown:,} more not shown</li>" if shown < len(waiting) else ""
        self._parts.append(f"{more}</ul>")

    def text(self) -> str:
        if self._lost_sections:
            lost = wording.plural(self._lost_sections, "more section")
            self._parts.append(f"<p>{lost} not shown</p>")
        return "".join(self._parts)


def _units(text: str) -> int:
    return len(text.encode("utf-16-le")) // 2


def _headline(
    actors: Sequence[Actor],
    lookups: Sequence[Lookup],
    hash_matches: Sequence[HashMatch],
    *,
    complete: bool,
) -> str:
    if actors:
        first = next((actor for actor in actors if actor.escalate), actors[0])
        others = len(actors) - 1
        tail = f", and {wording.plural(others, 'further actor')}" if others else ""
        return f"{wording.linked(first)} ({wording.sureness(first)}){tail}."
    if hash_matches:
        names = sorted({actor.name for match in hash_matches for actor in match.actors})
        return f"File hashes of this incident linked through intel profiles to {', '.join(names)}."
    seeds = wording.plural(len(lookups), "host")
    malicious = sum(
        lookup.reputation is not None and lookup.reputation.score >= wording.MALICIOUS_SCORE
        for lookup in lookups
    )
    found = "No threat actor found" if complete else "No threat actor found so far"
    if malicious:
        return f"{found} behind {seeds}; Microsoft rates {malicious} malicious."
    return f"{found} behind {seeds} of this incident."


def _decision(
    actors: Sequence[Actor],
    *,
    raises: bool,
    severity: str,
    mode: Literal["act", "observe"],
    closed: bool,
) -> str:
    named = [actor.name for actor in actors if actor.escalate]
    reason = (
        f"for {', '.join(named)}"
        if named
        else "as actor infrastructure: several actors qualify and none stands out"
    )
    if closed:
        return "The incident is closed and stays as it is."
    if not raises:
        return "The incident keeps its severity."
    if mode == "observe":
        return f"Observe mode: nothing was changed. Severity would be {severity}, {reason}."
    return f"Severity: at least {severity}, {reason}."


def _actor_head(actor: Actor) -> str:
    name = html_link(profile_link(actor.profile_id), actor.name)
    aliases = f" ({html(', '.join(actor.aliases))})" if actor.aliases else ""
    weight = "strong enough to escalate" if actor.escalate else "not enough to escalate"
    return f"<h3>{name}</h3><p>{html(wording.sureness(actor))}, {weight}{aliases}</p>"


def _actor_tail(
    actor: Actor,
    profiles: Mapping[str, IntelProfile],
    earlier: Mapping[str, EarlierDescription],
) -> str:
    if actor.name in earlier:
        where = earlier[actor.name]
        # Without a live link the incident's name says more than a defanged URL.
        incident = html_link(link(where.url), where.incident)
        return f"<p>Described already on {wording.day(where.at)}, in {incident}.</p>"
    profile = profiles.get(actor.name)
    return actor_paragraph(profile) if profile else ""


def _evidence_row(item: Evidence) -> str:
    shared = f", which names {item.naming} actors" if item.naming > 1 else ""
    claim = html_link(item.url, f"{wording.claim(item.kind)}{shared}")
    remark = wording.remark(item)
    text = f": {html(remark)}" if remark else ""
    return f"<li><code>{html(wording.path(item), limit=1_500)}</code><br>{claim}{text}</li>"


def _hash_row(match: HashMatch) -> str:
    names = ", ".join(actor.name for actor in match.actors)
    return f"<li><code>{html(match.hash.value)}</code> listed in the profile of {html(names)}</li>"


def _exposure_row(item: Exposure) -> str:
    examples = f", such as {html(', '.join(item.examples))}" if item.examples else ""
    machines = wording.plural(item.machines, "machine")
    return f"<li>{html(item.cve)} (used by {html(item.actor)}): {machines}{examples}</li>"


def _stop_row(report: HostReport) -> str:
    facts = ", ".join(filter(None, (wording.role(report), wording.degree(report))))
    host = html(defang_host(report.host))
    return f"<li><code>{host}</code>: {html(facts)}; {html(report.reason)}</li>"


def _left_out_row(item: LeftOut) -> str:
    return _item(f"{item.kind} {item.value}: {item.reason}")


def _heading(words: str) -> str:
    return f"<p><b>{words}</b></p>"


def _item(text: str) -> str:
    return f"<li>{html(text)}</li>"


def _fact(name: str, values: Sequence[str]) -> str:
    return f"<br>{name}: {html(', '.join(values), limit=500)}" if values else ""
