from datetime import datetime
from typing import Any, ClassVar

from mdti.feeds.sources.mdti import MdtiSource
from mdti.sandbox import loganalytics as vendor
from mdti.sandbox.host import Sandbox
from mdti.sandbox.wire import Vendor
from tests.feeds.rig import VALUES
from tests.feeds.sources.rig import Rig


class MdtiRig(Rig):
    name: ClassVar[str] = "loganalytics"
    page: ClassVar[int] = 4

    def __init__(self) -> None:
        super().__init__()
        self.vendor: vendor.LogAnalytics
        self.ids: dict[str, str] = {}

    def vendors(self, sandbox: Sandbox) -> list[Vendor]:
        self.vendor = vendor.LogAnalytics(sandbox.tokens, clock=self.clock)
        return [self.vendor]

    def source(self, *, key: str = "right", page: int | None = None, **options: Any) -> MdtiSource:
        settings = self.sandbox.environment()
        known: dict[str, Any] = {
            "url": settings["LOG_ANALYTICS_ENDPOINT"],
            "workspace_id": settings["SENTINEL_WORKSPACE_ID"],
            "transport": self.transport,
            "values": VALUES,
            "rows": page or self.page,
        }
        if key != "right":
            known["scope"] = f"{key}/.default"
        return MdtiSource(**known | options)

    def token(self, scope: str, renew: bool) -> str:
        if scope.startswith("wrong"):
            return "header.wrong.signature"
        return super().token(scope, renew)

    def add(self, domain: str, *, dated: datetime | None = None) -> None:
        columns = {"Modified": dated.isoformat()} if dated else {}
        self.ids[domain] = self.vendor.put(("domain-name:value", domain), **columns)

    def change(self, domain: str) -> None:
        self.vendor.put(("domain-name:value", domain), Confidence=50)

    def remove(self, domain: str) -> None:
        self.vendor.withdraw(self.ids[domain])

    def vanish(self, domain: str) -> None:
        self.clock.pass_(days=8)
        self.vendor.republish(but=[self.ids[domain]])
        self.clock.pass_(days=8)
        self.vendor.republish(but=[self.ids[domain]])
        self.clock.pass_(hours=1)

    def litter(self) -> int:
        rows: list[dict[str, Any]] = [
            {"Id": None},
            {"ObservableKey": "file:name"},
            {"ObservableKey": "", "Pattern": "nonsense"},
            {"ObservableKey": None, "Pattern": None, "Data": {}},
            {"ObservableValue": "10.0.0.1"},
            {"ObservableValue": None},
            {"ObservableValue": "*.wild.example", "Tags": 7, "Confidence": "high"},
            {"ObservableValue": "http://a.example/", "Modified": "never", "Tags": "[nonsense"},
        ]
        for number, columns in enumerate(rows):
            known = ("domain-name:value", "litter.example")
            self.vendor.put(known, name=f"litter {number}", **columns)
        return len(rows)

    def forbid(self) -> None:
        self.vendor.options.readable = False
