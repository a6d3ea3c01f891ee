from datetime import datetime
from typing import Any, ClassVar

from mdti.feeds.sources.threatconnect import HmacKey, ThreatConnectSource
from mdti.sandbox import threatconnect as vendor
from mdti.sandbox.host import Sandbox
from mdti.sandbox.wire import Vendor
from tests.feeds.rig import VALUES
from tests.feeds.sources.rig import Rig


class ThreatConnectRig(Rig):
    name: ClassVar[str] = "threatconnect"

    def __init__(self) -> None:
        super().__init__()
        self.vendor = vendor.ThreatConnect(clock=self.clock)
        self.ids: dict[str, int] = {}

    def vendors(self, sandbox: Sandbox) -> list[Vendor]:
        return [self.vendor]

    def source(
        self, *, key: str = "right", page: int | None = None, **options: Any
    ) -> ThreatConnectSource:
        secret = vendor.SECRET_KEY if key == "right" else "wrong"
        known: dict[str, Any] = {
            "url": self.sandbox.environment()["THREATCONNECT_URL"],
            "credentials": HmacKey(vendor.ACCESS_ID, secret),
            "owners": [vendor.OWNER],
            "transport": self.transport,
            "values": VALUES,
            "page": page or self.page,
            "depth_days": 30,
            "now": self.now,
        }
        return ThreatConnectSource(**known | options)

    def add(self, domain: str, *, dated: datetime | None = None) -> None:
        fields = {"lastModified": f"{dated:%Y-%m-%dT%H:%M:%SZ}"} if dated else {}
        self.ids[domain] = self.vendor.put("Host", domain, **fields)

    def change(self, domain: str) -> None:
        self.vendor.change(self.ids[domain], description="changed")

    def remove(self, domain: str) -> None:
        self.vendor.delete(self.ids[domain])

    def vanish(self, domain: str) -> None:
        self.vendor.change(self.ids.pop(domain), ownerName="somebody else's")

    def litter(self) -> int:
        rows: list[dict[str, Any]] = [
            {"ownerName": None},
            {"type": "Host", "hostName": None, "summary": None},
            {"hostName": "*.wild.example"},
            {"hostName": "10.0.0.1"},
            {"hostName": 7},
            {"hostName": "x" * 5_000 + ".example"},
            {"lastModified": "yesterday", "hostName": "undated.example", "rating": "high"},
            {"hostName": "line\nbreak.example", "tags": 5, "confidence": 10**400},
        ]
        for row in rows:
            identifier = self.vendor.put("Host", "litter.example")
            # An owner stays, else the vendor itself would filter the record out.
            self.vendor.change(identifier, **{n: v for n, v in row.items() if n != "ownerName"})
        return len(rows)

    def forbid(self) -> None:
        self.vendor.forbidden = True
