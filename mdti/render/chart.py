"""What the picture of a chain shows: which hosts, which links, and what is folded away.

A look-up may hold hundreds of hosts. Drawn are the seed, every host on a path to evidence, the
hosts at which the walk stopped, on purpose or for a fault, and then the others up to a few per
hop; the rest is counted, never dropped in silence.
"""

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from mdti.models import Actor, Host, HostReport, Lookup, Resolution
from mdti.pruning import STOP_ROLES
from mdti.render import wording

MAX_PER_HOP: Final = 9
"""Hosts in one column; more are unreadable at the height of a screen."""

MAX_ACTORS: Final = 6


@dataclass(frozen=True, slots=True)
class Node:
    """One host of the picture.

    `unfinished` says that a gap concerns it; `report` is None when the look-up holds none of it.
    """

    host: Host
    hops: int
    on_path: bool
    unfinished: bool
    report: HostReport | None


@dataclass(frozen=True, slots=True)
class Edge:
    """All resolutions between two drawn hosts, the nearer host first."""

    near: Host
    far: Host
    record_types: tuple[str, ...]
    first: datetime
    last: datetime
    on_path: bool


@dataclass(frozen=True, slots=True)
class Chart:
    """The chosen part of a look-up; `folded` counts the hosts left out per number of hops."""

    nodes: tuple[Node, ...]
    edges: tuple[Edge, ...]
    actors: tuple[Actor, ...]
    folded: tuple[tuple[int, int], ...]


def chart(lookup: Lookup) -> Chart:
    """Choose what to draw of a look-up; the same look-up always gives the same chart."""
    actors = lookup.actors[:MAX_ACTORS]
    path = _on_path(actors) | {lookup.seed}
    reports = {report.host: report for report in lookup.hosts}
    hops = _hops(lookup, actors)
    unfinished = {gap.host for gap in lookup.gaps if gap.host}
    drawn = [
        Node(host, distance, host in path, host in unfinished, reports.get(host))
        for host, distance in hops.items()
    ]
    columns: dict[int, list[Node]] = defaultdict(list)
    for node in sorted(drawn, key=_importance):
        columns[node.hops].append(node)
    nodes = tuple(node for hop in sorted(columns) for node in columns[hop][:MAX_PER_HOP])
    folded = tuple(
        (hop, len(columns[hop]) - MAX_PER_HOP)
        for hop in sorted(columns)
        if len(columns[hop]) > MAX_PER_HOP
    )
    return Chart(nodes, _edges(lookup, actors, nodes), actors, folded)


def node_note(node: Node) -> str:
    """Return the second line of a node: its role and degree, or that it was not finished."""
    if node.unfinished:
        return "could not be looked at"
    if node.report is None:
        return "seen on the way"
    words = wording.ROLE_WORDS[node.report.role]
    degree = wording.degree(node.report)
    return f"{words}, {degree}" if degree else words


def edge_note(edge: Edge) -> str:
    """Return what an edge says when asked: types and days."""
    types = "/".join(edge.record_types)
    return f"{types}, seen {wording.day(edge.first)} to {wording.day(edge.last)}"


def _steps(actors: Iterable[Actor]) -> list[Resolution]:
    return [step for actor in actors for item in actor.evidence for step in item.path]


def _on_path(actors: Iterable[Actor]) -> set[Host]:
    return {host for step in _steps(actors) for host in (step.queried, step.answer)}


def _hops(lookup: Lookup, actors: Iterable[Actor]) -> dict[Host, int]:
    hops = {lookup.seed: 0} | {report.host: report.hops for report in lookup.hosts}
    for actor in actors:
        for item in actor.evidence:
            hops.setdefault(item.host, item.hops)
            for number, step in enumerate(item.path):
                hops.setdefault(step.queried, number)
                hops.setdefault(step.answer, number + 1)
    return hops


def _importance(node: Node) -> tuple[bool, bool, bool, Host]:
    stopped = node.report is not None and node.report.role in STOP_ROLES
    return (not node.on_path, not node.unfinished, not stopped, node.host)


def _edges(lookup: Lookup, actors: Iterable[Actor], nodes: tuple[Node, ...]) -> tuple[Edge, ...]:
    rank = {node.host: number for number, node in enumerate(nodes)}
    steps = _steps(actors)
    walked = {frozenset((step.queried, step.answer)) for step in steps}
    merged: dict[tuple[Host, Host], list[Resolution]] = defaultdict(list)
    for record in [*lookup.resolutions, *steps]:
        ends = (record.queried, record.answer)
        if record.queried != record.answer and all(host in rank for host in ends):
            near, far = sorted(ends, key=rank.__getitem__)
            merged[near, far].append(record)
    return tuple(
        Edge(
            near=near,
            far=far,
            record_types=tuple(sorted({record.record_type for record in records})),
            first=min(record.first for record in records),
            last=max(record.last for record in records),
            on_path=frozenset((near, far)) in walked,
        )
        for (near, far), records in sorted(merged.items())
    )
