"""The engine's mirror in a few lines: what is known of a source after some batches."""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field

from mdti.feeds.indicator import Indicator, Key
from mdti.feeds.plan import supersedes, version_order
from mdti.feeds.ports import Batch, Change, Cursor, Remove, Upsert


@dataclass
class Mirror:
    """Applies batches by the rules of the engine: newest version wins, snapshots sweep."""

    cursor: Cursor | None = None
    objects: dict[str, Change] = field(default_factory=dict)
    listed: set[str] = field(default_factory=set)

    def apply(self, batches: Iterable[Batch]) -> "Mirror":
        for batch in batches:
            for change in batch.changes:
                self._apply(change, snapshot=batch.phase == "snapshot")
            if batch.phase == "snapshot_end":
                self._sweep(batch.since)
            self.cursor = batch.cursor
        return self

    def keys(self) -> set[Key]:
        return {indicator.key for indicator in self.indicators()}

    def values(self) -> set[str]:
        return {key.value for key in self.keys()}

    def indicators(self) -> list[Indicator]:
        kept = [change for change in self.objects.values() if isinstance(change, Upsert)]
        return [indicator for change in kept for indicator in change.indicators]

    def skipped(self) -> Counter[str]:
        reasons: Counter[str] = Counter()
        for change in self.objects.values():
            if isinstance(change, Upsert):
                reasons.update(change.skipped or {})
        return reasons

    def _apply(self, change: Change, *, snapshot: bool) -> None:
        if snapshot and isinstance(change, Upsert):
            self.listed.add(change.source_id)
        before = self.objects.get(change.source_id)
        if before is None or supersedes(
            change.version,
            before.version,
            removes=isinstance(change, Remove),
            removed_before=isinstance(before, Remove),
            snapshot=snapshot,
        ):
            self.objects[change.source_id] = change

    def _sweep(self, since: str) -> None:
        for source_id in self.objects.keys() - self.listed:
            version = self.objects[source_id].version
            if not since or version_order(version) >= version_order(since):
                del self.objects[source_id]
        self.listed.clear()
