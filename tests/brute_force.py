"""The walk as its rules put it, without rounds, budgets or dominance: every simple path.

Written from design section 7 alone, so that it can contradict `mdti.chain`. Exponential in depth;
for small worlds.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from mdti.models import Host, Resolution
from mdti.pruning import STOP_ROLES, WalkRules

Path = tuple[Resolution, ...]
Records = Mapping[Host, tuple[Resolution, ...]]


@dataclass(frozen=True, slots=True)
class BruteForce:
    """All that can be known of a small world at a time."""

    records: Records
    at: datetime
    rules: WalkRules

    def paths(self, seed: Host) -> dict[Host, list[Path]]:
        """Return every path from `seed` to every host it reaches."""
        reached: dict[Host, list[Path]] = {seed: [()]}
        for path in self._onward(seed, ()):
            reached.setdefault(path[-1].answer, []).append(path)
        return reached

    def _onward(self, seed: Host, path: Path) -> Iterator[Path]:
        here = path[-1].answer if path else seed
        if len(path) >= self.rules.depth or not self.followed(here):
            return
        for edge in self._folded(here):
            if edge.answer in {seed, *(step.answer for step in path)}:
                continue
            if not self._continues(path, edge):
                continue
            yield (*path, edge)
            yield from self._onward(seed, (*path, edge))

    def _continues(self, path: Path, edge: Resolution) -> bool:
        if not path:
            return self._recent(edge)
        before = path[-1]
        pause = max(edge.first, before.first) - min(edge.last, before.last)
        return pause <= self.rules.overlap_slack

    def _recent(self, edge: Resolution) -> bool:
        days = self.rules.lookback_days
        return not days or self.at - edge.last <= timedelta(days=days)

    def known(self, one: Host) -> list[Resolution]:
        """Return what had been seen of a host by then."""
        return [
            replace(record, last=min(record.last, self.at))
            for record in self.records.get(one, ())
            if record.first <= self.at and record.record_type in ("A", "AAAA", "CNAME")
        ]

    def _domain(self, one: Host) -> Host:
        return one if one.is_address else Host("name", self.rules.registrable(one.value))

    def degree(self, one: Host) -> int:
        recent = [edge.answer for edge in self.known(one) if self._recent(edge)]
        if one.is_address:
            return len({self._domain(answer) for answer in recent})
        return len({answer for answer in recent if answer.is_address})

    def followed(self, one: Host) -> bool:
        """Return whether public lists and the number of neighbours let the walk go on."""
        standing = self.rules.classify(one)
        limit = self.rules.hub_degree if one.is_address else self.rules.flux_addresses
        stopped = standing is not None and standing.role in STOP_ROLES
        return not stopped and self.degree(one) <= limit

    def _folded(self, one: Host) -> list[Resolution]:
        edges = self.known(one)
        if not one.is_address:
            return edges
        names: dict[Host, set[Host]] = {}
        for edge in edges:
            names.setdefault(self._domain(edge.answer), set()).add(edge.answer)
        return [
            replace(edge, answer=domain)
            if len(names[domain := self._domain(edge.answer)]) > self.rules.fold_subdomains
            else edge
            for edge in edges
        ]

    def strength(self, path: Path) -> float:
        """Return D x R of a path as far as its inner hosts decide it."""
        if not path:
            return 1.0
        left = 0.9 * 0.5 ** (len(path) - 1)
        if path[0].queried.is_address and self.at - path[0].last > timedelta(days=60):
            left *= 0.1
        for edge in path[:-1]:
            left *= self._inner(edge.answer)
        return left

    def _inner(self, one: Host) -> float:
        if not one.is_address:
            return 1.0
        standing = self.rules.classify(one)
        cloud = 0.7 if standing is not None and standing.role == "cloud" else 1.0
        return cloud * (1.0 if self.degree(one) <= self.rules.dedicated_degree else 0.5)
