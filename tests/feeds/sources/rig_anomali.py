from datetime import datetime
from typing import Any, ClassVar

from mdti.feeds.sources.anomali import AnomaliSource
from mdti.sandbox import threatstream as vendor
from mdti.sandbox.faults import Fault
from mdti.sandbox.host import Sandbox
from mdti.sandbox.wire import Vendor
from tests.feeds.rig import VALUES
from tests.feeds.sources.rig import Rig


class AnomaliRig(Rig):
    name: ClassVar[str] = "threatstream"

    def __init__(self) -> None:
        super().__init__()
        self.vendor = vendor.ThreatStream(clock=self.clock)
        self.rows = self.vendor.observables

    def vendors(self, sandbox: Sandbox) -> list[Vendor]:
        return [self.vendor]

    def source(
        self, *, key: str = "right", page: int | None = None, **options: Any
    ) -> AnomaliSource:
        settings = self.sandbox.environment()
        known: dict[str, Any] = {
            "url": settings["THREATSTREAM_URL"],
            "username": settings["THREATSTREAM_USERNAME"],
            "api_key": settings["THREATSTREAM_API_KEY"] if key == "right" else key,
            "transport": self.transport,
            "values": VALUES,
            "page": page or self.page,
        }
        return AnomaliSource(**known | options)

    def add(self, domain: str, *, dated: datetime | None = None) -> None:
        row = self.rows.put(domain, itype="mal_domain", tlp="amber", tags=[{"name": "loader"}])
        if dated is not None:
            row["modified_ts"] = dated.isoformat()

    def change(self, domain: str) -> None:
        self.rows.change(self.rows.named(domain)[0]["id"], confidence=90)

    def remove(self, domain: str) -> None:
        self.rows.change(self.rows.named(domain)[0]["id"], status="inactive")

    def vanish(self, domain: str) -> None:
        self.rows.delete(self.rows.named(domain)[0]["id"])

    def litter(self) -> int:
        litter: list[dict[str, Any]] = [
            {"value": None},
            {"value": 7},
            {"value": "*.wild.example"},
            {"value": "10.0.0.1", "type": "ip"},
            {"value": "http://", "type": "url", "confidence": "high"},
            {"type": "string"},
            {"type": None, "tags": 5},
            {"value": "not a hash", "type": "md5", "expiration_ts": "9999-99-99"},
        ]
        for number, fields in enumerate(litter):
            row = self.rows.put(f"litter-{number}.example", itype="mal_domain")
            row.update(fields)
        return len(litter)

    def forbid(self) -> None:
        self.sandbox.faults.set([Fault(kind="error", status=403)])
