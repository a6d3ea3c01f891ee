from datetime import datetime
from random import Random
from typing import Any, ClassVar

from mdti.feeds.sources.opencti import OpenCtiSource
from mdti.sandbox import opencti as vendor
from mdti.sandbox.host import Sandbox
from mdti.sandbox.wire import Vendor
from tests.feeds.rig import VALUES
from tests.feeds.sources.rig import Rig


class OpenCtiRig(Rig):
    name: ClassVar[str] = "opencti"

    def __init__(self) -> None:
        super().__init__()
        self.vendor = vendor.OpenCti(clock=self.clock, heartbeat=0.01)
        self.ids: dict[str, str] = {}

    def vendors(self, sandbox: Sandbox) -> list[Vendor]:
        return [self.vendor]

    def source(
        self, *, key: str = "right", page: int | None = None, **options: Any
    ) -> OpenCtiSource:
        settings = self.sandbox.environment()
        known: dict[str, Any] = {
            "url": settings["OPENCTI_URL"],
            "token": vendor.TOKEN if key == "right" else key,
            "stream_id": settings["CONNECTOR_LIVE_STREAM_ID"],
            "values": VALUES,
            "batch": page or self.page,
            "sleep": self.clock.sleep,
            "random": Random(1),
        }
        return OpenCtiSource(**known | options)

    def add(self, domain: str, *, dated: datetime | None = None) -> None:
        fields: dict[str, Any] = {"modified": dated.isoformat()} if dated else {}
        self.ids[domain] = self.vendor.put(f"[domain-name:value = '{domain}']", **fields)

    def change(self, domain: str) -> None:
        self.vendor.put(f"[domain-name:value = '{domain}']", score=60)

    def remove(self, domain: str) -> None:
        self.vendor.delete(self.ids[domain])

    def vanish(self, domain: str) -> None:
        self.vendor.vanish(self.ids[domain])

    def litter(self) -> int:
        litter: list[dict[str, Any]] = [
            {"pattern": None},
            {"pattern": "nonsense"},
            {"pattern": "[url:value = 'http://a.example/' AND url:value = 'http://b.example/']"},
            {"pattern": "rule x { condition: true }", "pattern_type": "yara"},
            {"pattern": "[ipv4-addr:value = '10.0.0.1']", "confidence": "high"},
            {"pattern": "[domain-name:value = '*.wild.example']", "labels": 7},
            {"pattern": "[file:name = 'a.exe']", "valid_until": "never"},
            {"type": "domain-name", "value": None},
        ]
        for number, fields in enumerate(litter):
            self.vendor.put_object({"id": f"indicator--litter-{number}"} | fields)
        self.vendor.put_object({"id": " "})
        self.vendor.emit("create", "{nonsense")
        self.vendor.emit("delete", '{"data": 5}')
        self.vendor.emit("consumer_metrics", "[]")
        return len(litter) + 1

    def forbid(self) -> None:
        self.vendor.forbidden = True
