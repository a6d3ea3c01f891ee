import base64
from datetime import datetime
from typing import Any, ClassVar

from mdti.feeds.sources.anyrun import AnyRunSource
from mdti.feeds.sources.taxii import TaxiiSource
from mdti.sandbox import taxii as vendor
from mdti.sandbox.host import Sandbox
from mdti.sandbox.wire import Vendor
from tests.feeds.rig import VALUES
from tests.feeds.sources.rig import Rig


def stix(
    number: int, *, modified: str = "2026-11-01T00:00:00.000Z", **fields: Any
) -> dict[str, Any]:
    return {
        "type": "indicator",
        "spec_version": "2.1",
        "id": f"indicator--5a7d0b0e-0000-4000-8000-{number:012d}",
        "created": "2026-11-01T00:00:00.000Z",
        "modified": modified,
        "valid_from": "2026-11-01T00:00:00.000Z",
        "pattern": f"[domain-name:value = 'host-{number}.example']",
        "pattern_type": "stix",
    } | fields


class TaxiiRig(Rig):
    name: ClassVar[str] = "taxii"
    anyrun: ClassVar[bool] = False

    def __init__(self) -> None:
        super().__init__()
        self.vendor = vendor.Taxii(anyrun=self.anyrun, clock=self.clock)
        self.ids: dict[str, str] = {}

    def vendors(self, sandbox: Sandbox) -> list[Vendor]:
        return [self.vendor]

    def source(self, *, key: str = "right", page: int | None = None, **options: Any) -> TaxiiSource:
        settings = self.sandbox.environment()
        password = vendor.PASSWORD if key == "right" else key
        basic = base64.b64encode(f"{vendor.USER}:{password}".encode()).decode()
        known: dict[str, Any] = {
            "url": settings["TAXII_URL"],
            "collections": [settings["TAXII_COLLECTIONS"]],
            "authorization": f"Basic {basic}",
            "transport": self.transport,
            "values": VALUES,
            "page": page or self.page,
            "depth_days": 30,
            "now": self.now,
        }
        return TaxiiSource(**known | options)

    def add(self, domain: str, *, dated: datetime | None = None) -> None:
        fields = {"modified": dated.isoformat()} if dated else {}
        self.ids[domain] = self.vendor.put(f"[domain-name:value = '{domain}']", **fields)

    def change(self, domain: str) -> None:
        self.vendor.put(f"[domain-name:value = '{domain}']", confidence=50)

    def remove(self, domain: str) -> None:
        self.vendor.revoke(self.ids[domain])

    def vanish(self, domain: str) -> None:
        self.vendor.vanish(self.ids[domain])

    def litter(self) -> int:
        litter: list[dict[str, Any]] = [
            {"pattern": None},
            {"pattern": "nonsense"},
            {"pattern": "[url:value = 'http://a.example/' AND url:value = 'http://b.example/']"},
            {"pattern": "rule x { condition: true }", "pattern_type": "yara"},
            {"pattern": "[ipv4-addr:value = '10.0.0.1']", "confidence": None},
            {"pattern": "[domain-name:value = '*.wild.example']", "labels": 7},
            {"pattern": "[file:name = 'a.exe']", "modified": "never"},
            {"pattern": "[x", "id": "indicator--\n"},
        ]
        for number, fields in enumerate(litter):
            self.vendor.put_object({"id": f"indicator--litter-{number}"} | fields)
        return len(litter)

    def forbid(self) -> None:
        self.vendor.forbidden = True


class AnyRunRig(TaxiiRig):
    name: ClassVar[str] = "anyrun"
    anyrun: ClassVar[bool] = True

    def source(
        self, *, key: str = "right", page: int | None = None, **options: Any
    ) -> AnyRunSource:
        settings = self.sandbox.environment()
        known: dict[str, Any] = {
            "url": settings["ANYRUN_TAXII_URL"],
            "token": settings["ANYRUN_TOKEN"] if key == "right" else key,
            "transport": self.transport,
            "values": VALUES,
            "page": page or self.page,
            "now": self.now,
        }
        return AnyRunSource(**known | options)
