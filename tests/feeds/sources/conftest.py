from collections.abc import Iterator

import pytest

from tests.feeds.sources.rig import Rig
from tests.feeds.sources.rig_anomali import AnomaliRig
from tests.feeds.sources.rig_mdti import MdtiRig
from tests.feeds.sources.rig_opencti import OpenCtiRig
from tests.feeds.sources.rig_taxii import AnyRunRig, TaxiiRig
from tests.feeds.sources.rig_threatconnect import ThreatConnectRig

RIGS: dict[str, type[Rig]] = {
    rig.name: rig
    for rig in (AnomaliRig, AnyRunRig, MdtiRig, OpenCtiRig, TaxiiRig, ThreatConnectRig)
}


@pytest.fixture(params=sorted(RIGS))
def rig(request: pytest.FixtureRequest) -> Iterator[Rig]:
    """Every kind of source, each test with a vendor of its own."""
    with RIGS[request.param]().running() as running:
        yield running
