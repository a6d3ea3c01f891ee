import os
from collections.abc import Iterator
from unittest.mock import patch

import pytest
import requests
from azure.core.exceptions import ClientAuthenticationError
from azure.identity import ManagedIdentityCredential

from mdti.sandbox.host import Sandbox
from mdti.sandbox.identity import CLIENT_ID, GRAPH, Identity, Tokens
from tests.sandbox import samples
from tests.sandbox.conftest import Clock


@pytest.fixture
def session() -> Iterator[requests.Session]:
    with requests.Session() as session:
        session.trust_env = False
        yield session


def ask(
    sandbox: Sandbox, session: requests.Session, *, header: str | None = None, **query: str
) -> requests.Response:
    settings = sandbox.environment()
    wanted = {"resource": GRAPH, "client_id": CLIENT_ID, "api-version": "2019-08-01", **query}
    headers = {"X-IDENTITY-HEADER": settings["IDENTITY_HEADER"] if header is None else header}
    return session.get(settings["IDENTITY_ENDPOINT"], params=wanted, headers=headers, timeout=10)


def roles(sandbox: Sandbox, session: requests.Session) -> frozenset[str]:
    token = ask(sandbox, session).json()["access_token"]
    return sandbox.tokens.judge(f"Bearer {token}", GRAPH).roles


def test_a_token_comes_in_app_services_shape(sandbox: Sandbox, session: requests.Session) -> None:
    body = ask(sandbox, session).json()

    assert samples.fits(samples.shape(body), samples.shape(samples.TOKEN))
    verdict = sandbox.tokens.judge(f"Bearer {body['access_token']}", GRAPH)
    assert verdict.word == "valid"
    assert verdict.roles == {"ThreatIntelligence.Read.All", "ThreatHunting.Read.All"}
    assert verdict.claims["aud"] == GRAPH
    assert verdict.claims["appid"] == CLIENT_ID
    assert verdict.claims["exp"] == int(body["expires_on"]) == verdict.claims["iat"] + 86_400


@pytest.mark.parametrize(
    ("header", "query", "status"),
    [
        ("", {}, 401),
        ("wrong", {}, 401),
        (None, {"api-version": "2017-09-01"}, 400),
        (None, {"client_id": "00000000-0000-0000-0000-000000000000"}, 400),
        (None, {"resource": "https://unknown.example"}, 500),
    ],
)
def test_what_app_service_refuses_is_refused(
    sandbox: Sandbox,
    session: requests.Session,
    header: str | None,
    query: dict[str, str],
    status: int,
) -> None:
    reply = ask(sandbox, session, header=header, **query)

    assert reply.status_code == status
    assert reply.json()["statusCode"] == status


def test_azure_identity_gets_a_token_that_graph_accepts(
    sandbox: Sandbox, session: requests.Session
) -> None:
    with (
        patch.dict(os.environ, sandbox.environment()),
        ManagedIdentityCredential(client_id=CLIENT_ID) as credential,
    ):
        token = credential.get_token(f"{GRAPH}/.default").token
    url = f"{sandbox.graph_url}/v1.0/security/threatIntelligence/intelProfiles"
    reply = session.get(url, headers={"Authorization": f"Bearer {token}"}, timeout=10)

    assert reply.status_code == 200


def test_azure_identity_says_so_when_the_identity_is_not_assigned(sandbox: Sandbox) -> None:
    with (
        patch.dict(os.environ, sandbox.environment()),
        ManagedIdentityCredential(client_id="00000000-0000-0000-0000-000000000000") as credential,
        pytest.raises(ClientAuthenticationError),
    ):
        credential.get_token(f"{GRAPH}/.default")


def test_a_grant_shows_at_once_unless_the_platform_keeps_its_token(
    sandbox: Sandbox, session: requests.Session, clock: Clock
) -> None:
    sandbox.identity.withdraw(GRAPH, "ThreatHunting.Read.All")
    assert roles(sandbox, session) == {"ThreatIntelligence.Read.All"}
    sandbox.identity.stale_seconds = 3600
    sandbox.identity.grant(GRAPH, "ThreatHunting.Read.All")
    assert "ThreatHunting.Read.All" not in roles(sandbox, session)
    clock.seconds += 3601
    assert "ThreatHunting.Read.All" in roles(sandbox, session)


def test_a_further_audience_can_be_granted(sandbox: Sandbox, session: requests.Session) -> None:
    sandbox.identity.grant("https://further.example", "Read.All")
    reply = ask(sandbox, session, resource="https://further.example/")

    token = reply.json()["access_token"]
    assert sandbox.tokens.judge(f"Bearer {token}", "https://further.example").word == "valid"


def test_client_credentials_get_the_same_roles(sandbox: Sandbox, session: requests.Session) -> None:
    url = f"{sandbox.identity_url}/contoso/oauth2/v2.0/token"
    form = {"grant_type": "client_credentials", "client_id": "any", "client_secret": "any"}
    scope = {"scope": f"{GRAPH}/.default"}
    body = session.post(url, data={**form, **scope}, timeout=10).json()

    verdict = sandbox.tokens.judge(f"Bearer {body['access_token']}", GRAPH)
    assert verdict.word == "valid"
    assert body["expires_in"] == 86_400
    assert session.post(url, data=form, timeout=10).status_code == 400


def test_no_two_runs_share_a_header_or_a_key() -> None:
    one, two = Tokens(), Tokens()
    token, _ = one.issue(GRAPH, [])

    assert two.judge(f"Bearer {token}", GRAPH).word == "badSignature"
    assert Identity(one).settings("x") != Identity(two).settings("x")


def test_the_log_shows_a_verdict_in_place_of_every_credential(
    sandbox: Sandbox, session: requests.Session
) -> None:
    token = ask(sandbox, session).json()["access_token"]
    url = f"{sandbox.graph_url}/v1.0/security/threatIntelligence/articles"
    session.get(url, headers={"Authorization": f"Bearer {token}"}, timeout=10)

    header = sandbox.environment()["IDENTITY_HEADER"]
    assert header not in repr(sandbox.requests)
    assert token not in repr(sandbox.requests)
    assert [seen.vendor for seen in sandbox.requests] == ["identity", "graph"]
    assert sandbox.requests[0].headers["x-identity-header"] == "valid"
    assert sandbox.requests[1].headers["authorization"] == "valid"
