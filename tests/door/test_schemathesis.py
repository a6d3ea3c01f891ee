"""Random requests, good and bad, and what the contract says of their answers."""

from collections.abc import Iterator
from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, settings
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi import checks

from mdti.openapi import document
from tests.door.service import Service, running

CHECKS = [
    not_a_server_error,
    checks.status_code_conformance,
    checks.content_type_conformance,
    checks.response_headers_conformance,
    checks.response_schema_conformance,
    checks.negative_data_rejection,
]


@pytest.fixture(scope="module")
def busy(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    with running(tmp_path_factory.mktemp("state"), {"LEGACY_ROUTE": "true"}) as service:
        yield service


schema = schemathesis.openapi.from_dict(document())


@schema.parametrize()
@settings(
    max_examples=50,
    deadline=None,
    derandomize=True,
    database=None,
    phases=[Phase.explicit, Phase.generate],
    suppress_health_check=list(HealthCheck),
)
def test_every_request_gets_an_answer_of_the_contract(
    case: schemathesis.Case[Any], busy: Service
) -> None:
    answer = case.call(base_url=busy.url, session=busy.session, timeout=30)
    if case.method.lower() != case.operation.method:
        assert answer.status_code == 404  # The platform, too, has no such function.
        return
    case.validate_response(answer, checks=CHECKS)
