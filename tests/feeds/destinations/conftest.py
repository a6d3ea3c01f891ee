from collections.abc import Iterator

import pytest

from tests.feeds.destinations.rig import Rig
from tests.feeds.destinations.rig_defender import DefenderAllRig, DefenderRig
from tests.feeds.destinations.rig_enrichment import EnrichmentRig
from tests.feeds.destinations.rig_sentinel import SentinelRig
from tests.feeds.destinations.rig_threatstream import SessionsRig, ThreatStreamRig

RIGS: tuple[type[Rig], ...] = (
    DefenderAllRig,
    DefenderRig,
    EnrichmentRig,
    SentinelRig,
    SessionsRig,
    ThreatStreamRig,
)


@pytest.fixture(params=RIGS, ids=lambda rig: rig.name)
def rig(request: pytest.FixtureRequest) -> Iterator[Rig]:
    """Every kind of destination, each test with a vendor of its own."""
    with request.param().running() as running:
        yield running


@pytest.fixture
def defender() -> Iterator[DefenderRig]:
    with DefenderRig().running() as running:
        assert isinstance(running, DefenderRig)
        yield running


@pytest.fixture
def enrichment() -> Iterator[EnrichmentRig]:
    with EnrichmentRig().running() as running:
        assert isinstance(running, EnrichmentRig)
        yield running


@pytest.fixture
def sentinel() -> Iterator[SentinelRig]:
    with SentinelRig().running() as running:
        assert isinstance(running, SentinelRig)
        yield running


@pytest.fixture
def direct() -> Iterator[ThreatStreamRig]:
    with ThreatStreamRig().running() as running:
        assert isinstance(running, ThreatStreamRig)
        yield running


@pytest.fixture
def sessions() -> Iterator[SessionsRig]:
    with SessionsRig().running() as running:
        assert isinstance(running, SessionsRig)
        yield running
