from mdti.feeds.destinations.sentinel import Sentinel
from mdti.feeds.indicator import Tlp
from mdti.sandbox.host import Sandbox
from mdti.sandbox.identity import CLIENT_ID
from mdti.sandbox.sentinelupload import WORKSPACE_ID, SentinelUpload
from mdti.sandbox.wire import Vendor
from tests.feeds.destinations.rig import VALUES, Rig

SOURCE_SYSTEM = "MDTI Actor Lookup feeds"
_FOREIGN = ("Analyst", "indicator--6f0c8a5e-6a0b-5f3e-8f59-2b6a51a9c001")


class SentinelRig(Rig):
    name = "sentinel"
    lists = False
    shares_values = True

    def __init__(self) -> None:
        super().__init__()
        self.vendor: SentinelUpload

    def vendors(self, sandbox: Sandbox) -> list[Vendor]:
        self.vendor = SentinelUpload(sandbox.tokens)
        return [self.vendor]

    def destination(
        self,
        *,
        workspace_id: str = WORKSPACE_ID,
        expire_days: int | None = 30,
        default_tlp: Tlp | None = None,
    ) -> Sentinel:
        return Sentinel(
            transport=self.transport,
            values=VALUES,
            workspace_id=workspace_id,
            source_system=SOURCE_SYSTEM,
            endpoint=self.sandbox.vendor_url("sentinelupload"),
            expire_days=expire_days,
            default_tlp=default_tlp,
            now=self.now,
        )

    def present(self) -> list[str]:
        return sorted(self.vendor.active(SOURCE_SYSTEM))

    def describes(self, value: str) -> int:
        return int(self.vendor.active(SOURCE_SYSTEM)[value]["confidence"])

    def spoil(self, value: str) -> None:
        self.vendor.options.refused.add(value)

    def add_foreign(self, value: str) -> None:
        self.vendor.objects[_FOREIGN] = {
            "type": "indicator",
            "id": _FOREIGN[1],
            "pattern": f"[domain-name:value = '{value}']",
            "modified": "2026-11-01T00:00:00.000Z",
        }

    def foreign(self, value: str) -> object:
        return dict(self.vendor.objects[_FOREIGN])

    def vanish(self, value: str) -> None:
        for place in [place for place in self.vendor.objects if place[0] == SOURCE_SYSTEM]:
            if f"'{value}'" in self.vendor.objects[place]["pattern"]:
                del self.vendor.objects[place]

    def forbid(self) -> None:
        self.vendor.options.readers.add(CLIENT_ID)
