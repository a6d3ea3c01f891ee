"""Microsoft's threat intelligence, typed: what Graph knows of hosts, actors and articles.

Many things are asked at once, and each answer is a value or the error that took its place, so one
host that fails costs one gap. Contract: contracts/graph-threat-intelligence.md.
"""

import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

from mdti.errors import ApiError, BadAnswer, MdtiError, Missing
from mdti.graph import (
    Indicator,
    article_of,
    indicator_of,
    profile_of,
    reputation_of,
    resolutions_of,
)
from mdti.graph_api import GraphApi, bad_answer, no_api, path_of
from mdti.ioc import HostParser
from mdti.models import (
    Article,
    Host,
    IntelProfile,
    PagingEnd,
    Reputation,
    Resolution,
    Resolutions,
)
from mdti.net.deadline import Deadline
from mdti.net.meter import Meter
from mdti.net.paging import Collection, Records
from mdti.net.transport import Response

T = TypeVar("T")
Enough = Callable[[Host, Sequence[Resolution]], bool]

MAX_RECORDS = 10_000
"""Passive-DNS records of one host in one direction after which it is oversize."""

MAX_PROFILES = 5_000
MAX_INDICATORS = 200_000

# How passive DNS may be asked for, most economical first. The documentation calls $filter required,
# its own example has none, and no largest $top is documented: so a 400 moves on to the next.
_DIALECTS: tuple[tuple[str, ...], ...] = (
    ("?$top=1000",),
    ("",),
    tuple(f"?$filter=recordType%20eq%20%27{kind}%27" for kind in ("A", "AAAA", "CNAME")),
)
_FORWARD, _REVERSE = "passiveDns", "passiveDnsReverse"
_UNKNOWN = Reputation(0, "unknown", ())
_NEVER_SEEN = Resolutions((), "all")

_Question = tuple[Host, str]


class MdtiClient:
    """Reads threat intelligence from Graph; safe for threads."""

    def __init__(self, api: GraphApi, *, parser: HostParser) -> None:
        self._api, self._parser = api, parser
        self._dialect = 0

    def reputations(
        self, hosts: Sequence[Host], *, deadline: Deadline, meter: Meter | None = None
    ) -> Mapping[Host, Reputation | MdtiError]:
        """Return the reputation of each host; one that Graph does not know has score 0.

        When Graph knows none of them, one more request tells whether it is there at all.
        """
        paths = [path_of("hosts", host.value, "reputation") for host in hosts]
        answers = self._api.get_all(paths, deadline=deadline, meter=meter)
        if answers and all(isinstance(answer, Missing) for answer in answers):
            gone = self.absence(deadline=deadline, meter=meter)
            if gone is not None:
                return dict.fromkeys(hosts, gone)
        return {
            host: _UNKNOWN if isinstance(answer, Missing) else _parsed(reputation_of, answer)
            for host, answer in zip(hosts, answers, strict=True)
        }

    def absence(self, *, deadline: Deadline, meter: Meter | None = None) -> MdtiError | None:
        """Return why threat intelligence cannot be read at all, or None when it can."""
        path = f"{path_of('intelProfiles')}?$top=1"
        (answer,) = self._api.get_all([path], deadline=deadline, meter=meter)
        if isinstance(answer, Missing):
            return no_api(answer)
        return answer if isinstance(answer, MdtiError) else None

    def passive_dns(
        self,
        hosts: Sequence[Host],
        *,
        enough: Enough,
        deadline: Deadline,
        meter: Meter | None = None,
    ) -> Mapping[Host, Resolutions | MdtiError]:
        """Return the passive DNS of each host.

        A name is asked in both directions: what it resolved to, and which names were aliases of
        it. An address is asked for its names, and in the other direction only when that has none,
        since which of the two holds them is not documented. `enough` sees what one direction gave
        after each page; when it says yes, no further page is read and the host is a hub. A page
        that fails makes the host an error, because its degree is then unknown. When Graph knows
        none of the hosts, one more request tells whether it is there at all.
        """
        asked = [(host, _FORWARD) for host in hosts]
        asked += [(host, _REVERSE) for host in hosts if not host.is_address]
        parts = self._read(asked, enough, deadline, meter)
        empty = [host for host in hosts if host.is_address and _is_empty(parts[host, _FORWARD])]
        if empty:
            again = [(host, _REVERSE) for host in empty]
            parts |= self._read(again, enough, deadline, meter)
        found = {
            host: _joined(
                [parts[host, way] for way in (_FORWARD, _REVERSE) if (host, way) in parts]
            )
            for host in hosts
        }
        if found and all(isinstance(answer, Missing) for answer in found.values()):
            gone = self.absence(deadline=deadline, meter=meter)
            if gone is not None:
                return dict.fromkeys(hosts, gone)
        return {
            host: _NEVER_SEEN if isinstance(answer, Missing) else answer
            for host, answer in found.items()
        }

    def _read(
        self,
        asked: Sequence[_Question],
        enough: Enough,
        deadline: Deadline,
        meter: Meter | None,
    ) -> dict[_Question, Resolutions | MdtiError]:
        """Answer each question in the dialect that the tenant is known to accept, or the next.

        A dialect is the tenant's when it takes what an earlier one refused; a question that none
        takes says nothing about the others.
        """
        found: dict[_Question, Resolutions | MdtiError] = {}
        wanted = list(asked)
        for number in range(self._dialect, len(_DIALECTS)):
            answers = self._read_in(_DIALECTS[number], wanted, enough, deadline, meter)
            found |= answers
            if any(isinstance(answer, Resolutions) for answer in answers.values()):
                self._dialect = number
            wanted = [question for question, answer in answers.items() if _is_refused(answer)]
            if not wanted:
                break
        return found

    def _read_in(
        self,
        queries: Sequence[str],
        asked: Sequence[_Question],
        enough: Enough,
        deadline: Deadline,
        meter: Meter | None,
    ) -> dict[_Question, Resolutions | MdtiError]:
        each = [(question, query) for question in asked for query in queries]

        def stop(number: int, records: Records) -> str | None:
            host = each[number][0][0]
            known = resolutions_of(host, records, parser=self._parser)
            return "hub" if enough(host, known.records) else None

        collections = self._api.read_all(
            [path_of("hosts", host.value, way) + query for (host, way), query in each],
            max_records=MAX_RECORDS,
            deadline=deadline,
            enough=stop,
            meter=meter,
        )
        parts: dict[_Question, list[Resolutions | MdtiError]] = {q: [] for q in asked}
        for (question, _), collection in zip(each, collections, strict=True):
            parts[question].append(self._resolutions(question[0], collection))
        return {question: _joined(found) for question, found in parts.items()}

    def _resolutions(self, host: Host, answer: Collection | MdtiError) -> Resolutions | MdtiError:
        if isinstance(answer, MdtiError):
            return answer
        ends: dict[str, PagingEnd] = {"hub": "hub", "oversize": "oversize"}
        end = ends.get(answer.end, "all")
        return resolutions_of(host, answer.items, parser=self._parser, end=end)

    def intel_profiles(
        self, *, deadline: Deadline, meter: Meter | None = None
    ) -> tuple[IntelProfile, ...]:
        """Return all intel profiles, actors and tools; raise what Graph raises."""
        (answer,) = self._read_lists(
            [path_of("intelProfiles")], MAX_PROFILES, deadline=deadline, meter=meter
        )
        if isinstance(answer, Missing):
            raise no_api(answer)
        if isinstance(answer, MdtiError):
            raise answer
        return tuple(filter(None, map(profile_of, answer.items)))

    def profile_indicators(
        self, profile_ids: Sequence[str], *, deadline: Deadline, meter: Meter | None = None
    ) -> Mapping[str, tuple[Indicator, ...] | MdtiError]:
        """Return the indicators of each intel profile; a list cut off by its size is an error."""
        paths = [path_of("intelProfiles", i, "indicators") for i in profile_ids]
        answers = self._read_lists(paths, MAX_INDICATORS, deadline=deadline, meter=meter)
        return {
            profile_id: self._indicators(answer)
            for profile_id, answer in zip(profile_ids, answers, strict=True)
        }

    def _read_lists(
        self, paths: Sequence[str], most: int, *, deadline: Deadline, meter: Meter | None
    ) -> list[Collection | MdtiError]:
        """Read lists in pages of 1,000, and those that refuse that in pages of their own size."""
        asked = [f"{path}?$top=1000" for path in paths]
        found = self._api.read_all(asked, max_records=most, deadline=deadline, meter=meter)
        refused = [number for number, answer in enumerate(found) if _is_refused(answer)]
        if refused:
            plain = [paths[number] for number in refused]
            again = self._api.read_all(plain, max_records=most, deadline=deadline, meter=meter)
            for number, answer in zip(refused, again, strict=True):
                found[number] = answer
        return found

    def _indicators(self, answer: Collection | MdtiError) -> tuple[Indicator, ...] | MdtiError:
        if isinstance(answer, MdtiError):
            return answer
        if answer.end != "all":
            return BadAnswer("An intel profile lists more indicators than can be kept.")
        found = (indicator_of(item, parser=self._parser) for item in answer.items)
        return tuple(filter(None, found))

    def articles(
        self, article_ids: Sequence[str], *, deadline: Deadline, meter: Meter | None = None
    ) -> Mapping[str, Article | MdtiError]:
        """Return the articles with these ids."""
        paths = [path_of("articles", article_id) for article_id in article_ids]
        answers = self._api.get_all(paths, deadline=deadline, meter=meter)
        return {
            article_id: _parsed(article_of, answer)
            for article_id, answer in zip(article_ids, answers, strict=True)
        }

    def hunt(
        self, query: str, *, deadline: Deadline, meter: Meter | None = None
    ) -> tuple[Mapping[str, Any], ...]:
        """Run one advanced hunting query over the last 30 days of this tenant's own data."""
        body = json.dumps({"Query": query, "Timespan": "P30D"}).encode()
        response = self._api.post("/security/runHuntingQuery", body, deadline=deadline, meter=meter)
        answer = response.json()
        rows = answer.get("results") if isinstance(answer, Mapping) else None
        if not isinstance(rows, list):
            raise bad_answer("A hunting query came back without results.", response)
        return tuple(row for row in rows if isinstance(row, Mapping))


def _joined(parts: Sequence[Resolutions | MdtiError]) -> Resolutions | MdtiError:
    """Return the parts of one host's passive DNS as one; a part that failed fails the whole.

    A part that Graph does not know adds nothing, and if it knows none, the whole is `Missing`.
    """
    if parts and all(isinstance(part, Missing) for part in parts):
        return parts[0]
    records: set[Resolution] = set()
    ends: list[PagingEnd] = []
    dropped = swapped = unreadable = 0
    for part in parts:
        if isinstance(part, Missing):
            continue
        if isinstance(part, MdtiError):
            return part
        records.update(part.records)
        ends.append(part.end)
        dropped += part.dropped
        swapped += part.swapped
        unreadable += part.unreadable
    order: tuple[PagingEnd, ...] = ("all", "hub", "oversize")
    end = max(ends, key=order.index)
    return Resolutions(tuple(sorted(records)), end, dropped, swapped, unreadable)


def _is_refused(answer: object) -> bool:
    """True when Graph does not take the question as it was put."""
    return isinstance(answer, ApiError) and answer.status == 400


def _is_empty(answer: Resolutions | MdtiError) -> bool:
    return isinstance(answer, Missing) or (isinstance(answer, Resolutions) and not answer.records)


def _parsed(parse: Callable[[object], T], answer: Response | MdtiError) -> T | MdtiError:
    if isinstance(answer, MdtiError):
        return answer
    try:
        return parse(answer.json())
    except MdtiError as error:
        return error
