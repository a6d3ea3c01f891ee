from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from tests.infra.fake_az import FakeAz
from tests.infra.tenant import Tenant, Tenants, tenant_state


@pytest.fixture
def tenants(tmp_path: Path) -> Iterator[Tenants]:
    """Make tenants that differ from the usual one in what is given."""
    with ExitStack() as stack:

        def make(**changes: Any) -> Tenant:
            return Tenant(tmp_path, stack.enter_context(FakeAz(tenant_state(**changes))))

        yield make
