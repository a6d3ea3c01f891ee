from mdti.feeds.destinations.defender import MARK, Defender
from mdti.sandbox.defender import Defender as Vendor
from mdti.sandbox.host import Sandbox
from mdti.sandbox.wire import Vendor as AnyVendor
from tests.feeds.destinations.rig import VALUES, Rig


class DefenderRig(Rig):
    """Defender, with the role that sees the rows of its own application only."""

    name = "defender"

    def __init__(self) -> None:
        super().__init__()
        self.roles = ("Ti.ReadWrite",)
        self.vendor: Vendor

    def vendors(self, sandbox: Sandbox) -> list[AnyVendor]:
        self.vendor = Vendor(sandbox.tokens)
        return [self.vendor]

    def destination(
        self,
        *,
        action: str = "Audit",
        passive_only: bool = False,
        expire_days: int = 30,
        accept_md5: bool = False,
    ) -> Defender:
        return Defender(
            transport=self.transport,
            values=VALUES,
            endpoint=self.sandbox.vendor_url("defender"),
            action=action,
            passive_only=passive_only,
            expire_days=expire_days,
            accept_md5=accept_md5,
            now=self.now,
        )

    def rows(self, value: str | None = None) -> list[dict[str, object]]:
        return [
            row
            for row in self.vendor.indicators.rows()
            if row["application"] == MARK and value in (None, row["indicatorValue"])
        ]

    def present(self) -> list[str]:
        return sorted(str(row["indicatorValue"]) for row in self.rows())

    def describes(self, value: str) -> int:
        [row] = self.rows(value)
        return {"Informational": 0, "Low": 20, "Medium": 40, "High": 60}[str(row["severity"])]

    def spoil(self, value: str) -> None:
        self.vendor.options.refused.add(value)

    def add_foreign(self, value: str) -> None:
        self.vendor.add(value, "DomainName", application="Cloud Apps")

    def foreign(self, value: str) -> object:
        rows = self.vendor.indicators.rows()
        [row] = [
            dict(row)
            for row in rows
            if row["indicatorValue"] == value and row["application"] != MARK
        ]
        return row

    def vanish(self, value: str) -> None:
        [row] = self.rows(value)
        self.vendor.indicators.remove(str(row["id"]))

    def forbid(self) -> None:
        self.roles = ("Alert.Read.All",)


class DefenderAllRig(DefenderRig):
    """Defender, with the role that sees and may change every row of the tenant."""

    name = "defender, all rows"

    def __init__(self) -> None:
        super().__init__()
        self.roles = ("Ti.ReadWrite.All",)
