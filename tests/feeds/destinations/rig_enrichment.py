from collections.abc import Sequence

from mdti.feeds.destinations.threatstream_enrichment import ThreatStreamEnrichment
from mdti.feeds.ports import Destination, Operation, Outcome, Put
from mdti.sandbox.host import Sandbox
from mdti.sandbox.observables import Row
from mdti.sandbox.threatstream import USERNAME
from mdti.sandbox.threatstream import ThreatStream as Vendor
from mdti.sandbox.wire import Vendor as AnyVendor
from tests.feeds.destinations.rig import VALUES, Rig

PARTNER = 99


class EnrichmentRig(Rig):
    """ThreatStream, whose observables get tags; what is put is there before, unless `seeds` not."""

    name = "anomali, enrichment"
    lists = False
    shares_values = True
    one_call = False
    hosts_only = True

    def __init__(self) -> None:
        super().__init__()
        self.seeds = True
        self.vendor: Vendor

    def vendors(self, sandbox: Sandbox) -> list[AnyVendor]:
        self.vendor = Vendor(clock=self.clock)
        return [self.vendor]

    def destination(self) -> ThreatStreamEnrichment:
        return ThreatStreamEnrichment(
            transport=self.transport,
            values=VALUES,
            url=self.sandbox.vendor_url("threatstream"),
            username=USERNAME,
            api_key=self.vendor.api_key if self.credential == "right" else "wrong-key",
            now=self.now,
            sleep=self.clock.sleep,
        )

    def apply(
        self,
        *operations: Operation,
        destination: Destination | None = None,
        seconds: float = 600.0,
    ) -> Sequence[Outcome]:
        for one in operations:
            if isinstance(one, Put) and self.seeds and not self.active(one.key.value):
                until = one.indicator.valid_until
                expires = until.replace(tzinfo=None).isoformat() if until else None
                self.vendor.observables.put(one.key.value, itype="mal_domain", expires=expires)
        return super().apply(*operations, destination=destination, seconds=seconds)

    def active(self, value: str) -> list[Row]:
        return [row for row in self.vendor.observables.named(value) if row["status"] == "active"]

    def tags(self, row: Row) -> list[str]:
        """Return the names of our tags on a row, sorted."""
        names = [str(tag["name"]) for tag in row["tags"]]
        return sorted(
            name
            for name in names
            if name in {"mdti-malicious", "mdti-suspicious"} or name.startswith("mdti-score-")
        )

    def present(self) -> list[str]:
        rows = self.vendor.observables.rows()
        return sorted(r["value"] for r in rows if r["status"] == "active" and self.tags(r))

    def describes(self, value: str) -> int:
        [row] = self.active(value)
        [score] = [tag for tag in self.tags(row) if tag.startswith("mdti-score-")]
        return int(score.removeprefix("mdti-score-"))

    def spoil(self, value: str) -> None:
        self.vendor.options.untaggable.add(value)

    def add_foreign(self, value: str) -> None:
        tags = [{"name": "by-hand"}, {"name": "mdti-notes"}]
        self.vendor.observables.put(value, itype="apt_domain", tags=tags, organisation=PARTNER)

    def foreign(self, value: str) -> object:
        [row] = self.vendor.observables.named(value)
        ours = self.tags(row)
        kept = {name: row[name] for name in row if name not in {"update_id", "modified_ts"}}
        return kept | {"tags": [tag for tag in row["tags"] if tag["name"] not in ours]}

    def vanish(self, value: str) -> None:
        [row] = self.vendor.observables.named(value)
        self.vendor.observables.delete(row["id"])

    def forbid(self) -> None:
        self.vendor.options.may_tag = False
