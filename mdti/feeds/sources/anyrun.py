"""ANY.RUN's Threat Intelligence Feeds as a source: TAXII 2.1 with the vendor's additions.

Changes are asked for by `modified_after`, which is not of the standard; the header
`X-TAXII-Date-Modified-Last` says where to go on. Revoked indicators are left out unless asked for,
so each collection is read twice, for live and for revoked ones.
Facts: contracts, opencti-anyrun-anomali-threatconnect 2.
"""

from collections.abc import Sequence
from typing import ClassVar

from mdti.errors import Forbidden, Missing, Unauthorized
from mdti.feeds.asking import Hints, Now, utc_now
from mdti.feeds.sources.taxii import PAGE, Dialect, TaxiiSource
from mdti.feeds.values import Values
from mdti.net.transport import Transport

FULL = "3dce855a-c044-5d49-9334-533c24678c5a"
"""The collection that holds addresses, domains and URLs together."""
DIALECT = Dialect(
    "modified_after", "x-taxii-date-modified-", ordered=False, revoked=("false", "true")
)


class AnyRunSource(TaxiiSource):
    """Collections of ANY.RUN's feeds.

    `url` is the TAXII root, with or without the API root `api1`. `token` is the API key, or a whole
    header value such as `Basic ...` from older subscriptions. `depth_days` is how far the feed
    reaches back, in its first read and in each full one.
    """

    name = "anyrun"
    hints: ClassVar[Hints] = {
        Unauthorized: "Check ANYRUN_TOKEN: ANY.RUN did not accept the key.",
        Forbidden: "ANY.RUN accepted the key, but its subscription does not include TI Feeds.",
        Missing: "ANYRUN_TAXII_URL must be ANY.RUN's TAXII root, such as "
        "https://api.any.run/v1/feeds/taxii2.",
    }

    def __init__(
        self,
        *,
        url: str,
        token: str,
        transport: Transport,
        values: Values,
        collections: Sequence[str] = (FULL,),
        depth_days: int | None = 30,
        page: int = PAGE,
        now: Now = utc_now,
    ) -> None:
        root = url.rstrip("/")
        super().__init__(
            url=root if root.endswith("/api1") else f"{root}/api1",
            collections=collections,
            authorization=token if " " in token else f"API-KEY {token}",
            transport=transport,
            values=values,
            depth_days=depth_days,
            page=page,
            dialect=DIALECT,
            now=now,
        )
