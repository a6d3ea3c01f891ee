from typing import ClassVar

from mdti.feeds.destinations.threatstream import MARK, ThreatStream
from mdti.feeds.destinations.threatstream_work import Approval
from mdti.sandbox.host import Sandbox
from mdti.sandbox.observables import Row
from mdti.sandbox.threatstream import USERNAME
from mdti.sandbox.threatstream import ThreatStream as Vendor
from mdti.sandbox.wire import Vendor as AnyVendor
from tests.feeds.destinations.rig import VALUES, Rig


class ThreatStreamRig(Rig):
    """ThreatStream, imported into directly."""

    name = "anomali, direct"
    approval: ClassVar[Approval] = "direct"

    def __init__(self) -> None:
        super().__init__()
        self.vendor: Vendor

    def vendors(self, sandbox: Sandbox) -> list[AnyVendor]:
        self.vendor = Vendor(clock=self.clock)
        return [self.vendor]

    def destination(self, *, expire_days: int = 90) -> ThreatStream:
        return ThreatStream(
            transport=self.transport,
            values=VALUES,
            url=self.sandbox.vendor_url("threatstream"),
            username=USERNAME,
            api_key=self.vendor.api_key if self.credential == "right" else "wrong-key",
            approval=self.approval,
            expire_days=expire_days,
            now=self.now,
            sleep=self.clock.sleep,
        )

    def rows(self) -> list[Row]:
        return [
            row
            for row in self.vendor.observables.rows()
            if MARK in {tag["name"] for tag in row["tags"]}
        ]

    def row(self, value: str) -> Row:
        [row] = [row for row in self.rows() if row["value"] == value]
        return row

    def present(self) -> list[str]:
        return sorted(row["value"] for row in self.rows() if row["status"] == "active")

    def describes(self, value: str) -> int:
        return int(self.row(value)["confidence"])

    def spoil(self, value: str) -> None:
        self.vendor.options.benign.add(value)

    def add_foreign(self, value: str) -> None:
        self.vendor.observables.put(value, itype="apt_domain", tags=[{"name": "by-hand"}])

    def foreign(self, value: str) -> object:
        [row] = self.vendor.observables.named(value)
        return row

    def vanish(self, value: str) -> None:
        self.vendor.observables.delete(self.row(value)["id"])

    def forbid(self) -> None:
        self.vendor.options.may_approve = False


class SessionsRig(ThreatStreamRig):
    """ThreatStream, with import sessions that a rule approves."""

    name = "anomali, sessions"
    approval = "import"
    lists = False

    def forbid(self) -> None:
        self.vendor.options.may_import = False
