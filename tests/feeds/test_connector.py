"""The OpenCTI connector's own settings, from a login with its secret to rows in Defender."""

import json
import logging
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import pytest

from mdti.app import App
from mdti.errors import IdentityError
from mdti.feeds.service import FeedRequest
from mdti.sandbox.defender import Defender
from mdti.sandbox.feeds import vendors
from mdti.sandbox.host import Sandbox
from mdti.sandbox.opencti import STREAM_ID, TOKEN
from mdti.sandbox.wire import Vendor
from tests.feeds.login import Login, login_services

FEED = "opencti-to-defender"
TENANT, CLIENT, SECRET = "11111111-aaaa", "22222222-bbbb", "s3cret-of-the-connector"


@dataclass
class World:
    """The vendors, the login services, and apps that know of both what a connector knows."""

    sandbox: Sandbox
    defender: Defender
    login: Login
    folder: Path
    stack: ExitStack

    def app(self, settings: Mapping[str, str]) -> App:
        # The hosts are invented ones, which are refused unless Graph is a sandbox.
        known = {
            "GRAPH_ENDPOINT": self.sandbox.graph_url,
            "MDTI_STATE_DIR": str(self.folder / "state"),
        }
        app = App({**known, **settings}, sleep=lambda seconds: None)
        self.stack.callback(app.close)
        return app

    def names(self, **changed: str) -> dict[str, str]:
        """Return the connector's settings as its container has them."""
        ours = "MICROSOFT_DEFENDER_INTEL_"
        return {
            "OPENCTI_URL": self.sandbox.vendor_url("opencti"),
            "OPENCTI_TOKEN": TOKEN,
            "CONNECTOR_ID": "ChangeMe",
            "CONNECTOR_LIVE_STREAM_ID": STREAM_ID,
            "CONNECTOR_LIVE_STREAM_LISTEN_DELETE": "true",
            f"{ours}TENANT_ID": TENANT,
            f"{ours}CLIENT_ID": CLIENT,
            f"{ours}CLIENT_SECRET": SECRET,
            f"{ours}LOGIN_URL": "https://login.microsoft.com",
            f"{ours}BASE_URL": self.sandbox.vendor_url("defender"),
            f"{ours}RESOURCE_PATH": "/api/indicators",
            f"{ours}EXPIRE_TIME": "7",
            f"{ours}ACTION": "Block",
            **{ours + name: value for name, value in changed.items()},
        }

    def file(self, **changed: str) -> dict[str, str]:
        """Return the one setting that names the connector's `config.yml`."""
        lines, heads = [], {"OPENCTI": "", "CONNECTOR": "", "MICROSOFT_DEFENDER_INTEL": ""}
        for head in heads:
            lines.append(f"{head.lower()}:")
            for name, value in self.names(**changed).items():
                if name.startswith(f"{head}_"):
                    lines.append(f"  {name.removeprefix(f'{head}_').lower()}: '{value}'")
        path = self.folder / "config.yml"
        path.write_text("\n".join(lines))
        return {"OPENCTI_CONFIG": str(path)}


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[World]:
    made: list[Vendor] = []

    def all_vendors(sandbox: Sandbox) -> tuple[Vendor, ...]:
        made.extend(vendors(sandbox))
        return tuple(made)

    monkeypatch.delenv("IDENTITY_ENDPOINT", raising=False)
    with ExitStack() as stack:
        sandbox = stack.enter_context(Sandbox(vendors=all_vendors))
        (defender,) = [vendor for vendor in made if isinstance(vendor, Defender)]
        # The connector asks for a token of the API's own root.
        defender.options.audience = sandbox.vendor_url("defender")
        sandbox.identity.grant(defender.options.audience, "Ti.ReadWrite")
        sandbox.identity.register(CLIENT, SECRET)
        login = stack.enter_context(login_services(sandbox, tmp_path, monkeypatch))
        yield World(sandbox, defender, login, tmp_path, stack)


Form = Callable[..., dict[str, str]]


@pytest.fixture(params=["names", "file"])
def settings(request: pytest.FixtureRequest, world: World) -> Form:
    """The connector's settings by name or by file; arguments change some of its own."""
    form: Form = getattr(world, request.param)
    return form


def test_the_connectors_settings_bring_its_stream_to_defender(world: World, settings: Form) -> None:
    report = world.app(settings()).run_feed(FeedRequest(feed=FEED)).report
    assert report.error is None, report.error
    assert (report.accepted, report.complete) == (5, True)
    scope = f"{world.sandbox.vendor_url('defender')}/.default"
    tenant, client, asked = {told[1:] for told in world.login.told}.pop()
    assert (tenant, client) == (TENANT, CLIENT)
    assert scope in asked
    rows = world.defender.indicators.rows()
    assert {(row["action"], row["createdBy"]) for row in rows} == {("Block", CLIENT)}


@pytest.mark.parametrize(
    ("url", "host"),
    [
        ("https://login.microsoft.com", "login.microsoft.com"),
        ("https://login.microsoftonline.us", "login.microsoftonline.us"),
        ("", "login.microsoftonline.com"),
    ],
)
def test_the_secret_goes_to_the_login_service_of_the_cloud_and_nowhere_else(
    world: World, settings: Form, url: str, host: str
) -> None:
    report = world.app(settings(LOGIN_URL=url)).run_feed(FeedRequest(feed=FEED)).report
    assert report.accepted == 5
    assert {told[0] for told in world.login.told} == {host}


def test_a_wrong_secret_says_what_to_do_shows_nothing_and_loses_nothing(
    world: World, settings: Form, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    app = world.app(settings(CLIENT_SECRET="s3cret-and-wrong"))
    report = app.run_feed(FeedRequest(feed=FEED)).report
    assert isinstance(report.error, IdentityError)
    assert "client secret" in report.error.message
    assert "MICROSOFT_DEFENDER_INTEL_TENANT_ID" in (report.error.hint or "")
    assert (report.accepted, report.complete) == (0, False)
    (check,) = [check for check in app.status() if check.name == f"feed {FEED}"]
    assert check.state == "failed"
    shown = [json.dumps(report.to_json()), repr(report.error), json.dumps(check.to_json())]
    shown += [record.getMessage() for record in caplog.records]
    assert "s3cret" not in " ".join(shown)
    assert world.defender.indicators.rows() == []
    mended = world.app(settings()).run_feed(FeedRequest(feed=FEED)).report
    assert (mended.error, mended.accepted) == (None, 5)


def test_another_path_of_the_api_is_used(world: World, settings: Form) -> None:
    app = world.app(settings(RESOURCE_PATH="/api/v1.0/indicators"))
    assert app.run_feed(FeedRequest(feed=FEED)).report.accepted == 5
    paths = {seen.path for seen in world.sandbox.requests if seen.vendor == "defender"}
    assert all(path.startswith("/defender/api/v1.0/indicators") for path in paths)


def test_a_login_service_whose_certificate_is_not_trusted_gets_no_secret(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("REQUESTS_CA_BUNDLE")
    monkeypatch.setattr("mdti.credentials._PATIENCE", {"retry_total": 0})
    report = world.app(world.names()).run_feed(FeedRequest(feed=FEED)).report
    assert isinstance(report.error, IdentityError)
    assert world.login.connected
    assert world.login.told == []


def test_two_feeds_with_credentials_of_their_own_speak_as_two(world: World) -> None:
    other = {
        name.replace("MICROSOFT_DEFENDER_INTEL", "ANYRUN_TO_DEFENDER_AZURE"): value
        for name, value in world.names(CLIENT_ID="33333333-cccc").items()
        if name.endswith(("_TENANT_ID", "_CLIENT_ID", "_CLIENT_SECRET"))
    }
    shared = {
        name: value
        for name, value in world.sandbox.environment().items()
        if name.startswith("ANYRUN_")
    }
    endpoint = world.sandbox.vendor_url("defender")
    place = {"DEFENDER_ENDPOINT": endpoint, "DEFENDER_SCOPE": f"{endpoint}/.default"}
    app = world.app({**world.names(), **shared, **other, **place})
    for feed in (FEED, "anyrun-to-defender"):
        app.run_feed(FeedRequest(feed=feed))
    assert {told[2] for told in world.login.told} == {CLIENT, "33333333-cccc"}
