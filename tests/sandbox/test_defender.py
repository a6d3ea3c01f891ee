"""Defender's indicators against the contract's samples (sentinel-and-defender 2)."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import requests

from mdti.sandbox.defender import AUDIENCE, Defender
from mdti.sandbox.host import Sandbox
from mdti.sandbox.identity import CLIENT_ID, GRAPH
from mdti.sandbox.indicators import FILTERABLE
from tests.sandbox.conftest import NOW, Clock

# The fields of an indicator as three independent products recorded them.
FIELDS = {
    "id",
    "indicatorValue",
    "indicatorType",
    "action",
    "createdBy",
    "severity",
    "category",
    "application",
    "educateUrl",
    "bypassDurationHours",
    "title",
    "description",
    "recommendedActions",
    "creationTimeDateTimeUtc",
    "expirationTime",
    "lastUpdateTime",
    "lastUpdatedBy",
    "rbacGroupNames",
    "rbacGroupIds",
    "notificationId",
    "notificationBody",
    "version",
    "mitreTechniques",
    "historicalDetection",
    "lookBackPeriod",
    "generateAlert",
    "additionalInfo",
    "createdByDisplayName",
    "externalId",
    "createdBySource",
    "certificateInfo",
}


class Caller:
    """Speaks to the indicators API with an application's token."""

    def __init__(self, sandbox: Sandbox, vendor: Defender) -> None:
        self.sandbox, self.vendor = sandbox, vendor
        self.session = requests.Session()
        self.session.trust_env = False
        self.roles = ["Ti.ReadWrite"]
        self.audience = AUDIENCE
        self.client_id = CLIENT_ID

    def send(self, method: str, path: str = "", document: object = None) -> requests.Response:
        token, _ = self.sandbox.tokens.issue(self.audience, self.roles, client_id=self.client_id)
        url = f"{self.sandbox.vendor_url('defender')}/api/indicators{path}"
        headers = {"Authorization": f"Bearer {token}"}
        return self.session.request(method, url, json=document, headers=headers, timeout=10)

    def import_(self, *items: dict[str, Any]) -> list[dict[str, Any]]:
        answer = self.send("POST", "/import", {"Indicators": list(items)})
        assert answer.status_code == 200
        results: list[dict[str, Any]] = answer.json()["value"]
        return results

    def listed(self, query: str = "") -> list[str]:
        return [row["indicatorValue"] for row in self.send("GET", query).json()["value"]]


@pytest.fixture
def caller(clock: Clock) -> Iterator[Caller]:
    made: list[Defender] = []

    def vendors(sandbox: Sandbox) -> list[Defender]:
        made.append(Defender(sandbox.tokens))
        return made

    with Sandbox(vendors=vendors, clock=clock, sleep=clock.sleep) as sandbox:
        caller = Caller(sandbox, made[0])
        with caller.session:
            yield caller


def item(value: str = "evil.example", kind: str = "DomainName", **fields: Any) -> dict[str, Any]:
    return {
        "indicatorValue": value,
        "indicatorType": kind,
        "action": "Audit",
        "generateAlert": True,
        "title": "OpenCTI evil.example",
        "description": "C2 domain",
        **fields,
    }


def test_an_import_answers_for_each_row(caller: Caller) -> None:
    good, bad = caller.import_(item(), item("10.0.0.0/8", "IpAddress", action="Block"))

    assert good["isFailed"] is False
    assert good["failureReason"] is None
    assert good["id"].isdecimal()
    assert bad == {
        "id": None,
        "indicator": "10.0.0.0/8",
        "isFailed": True,
        "failureReason": bad["failureReason"],
    }
    assert bad["failureReason"]


def test_a_row_has_the_fields_that_were_recorded(caller: Caller) -> None:
    answer = caller.send("POST", "", item(expirationTime="2026-12-21T00:00:00Z"))

    assert answer.status_code == 200
    assert answer.json().keys() == FIELDS | {"@odata.context"}
    assert answer.json()["createdBySource"] == "PublicApi"
    assert answer.headers["Content-Type"].startswith("application/json; odata.metadata=minimal")


@pytest.mark.parametrize(
    "fields",
    [
        {"generateAlert": False},
        {"action": "BlockAndRemediate"},
        {"action": "Alert"},
        {"severity": "Critical"},
        {"title": ""},
        {"expirationTime": "2026-11-21T11:59:59Z"},
        {"indicatorValue": "10.1.2.3", "indicatorType": "IpAddress"},
        {"indicatorValue": "198.51.100.0/24", "indicatorType": "IpAddress"},
        {"indicatorValue": "2001:db8::1", "indicatorType": "IpAddress"},
        {"indicatorValue": "*.example"},
        {"indicatorValue": "evil.example "},
        {"indicatorValue": "nothing"},
        {"indicatorValue": "a" * 63, "indicatorType": "FileSha256"},
        {"indicatorValue": "a" * 32, "indicatorType": "FileMd5"},
        {"indicatorValue": "x@evil.example", "indicatorType": "Email"},
        {"indicatorValue": "evil.example", "indicatorType": "Url"},
        {"indicatorValue": "https://e.example/" + "a" * 800, "indicatorType": "Url"},
        {"indicatorValue": "a" * 40, "indicatorType": "CertificateThumbprint"},
    ],
)
def test_what_the_documents_exclude_fails_by_itself(caller: Caller, fields: dict[str, Any]) -> None:
    [first, second] = caller.import_(item(**fields), item("good.example"))

    assert first["isFailed"] is True
    assert second["isFailed"] is False
    assert caller.send("POST", "", item(**fields)).status_code == 400


def test_md5_is_refused_unless_the_tenant_takes_it(caller: Caller) -> None:
    caller.vendor.indicators.take_md5 = True

    [result] = caller.import_(item("a" * 32, "FileMd5"))

    assert result["isFailed"] is False


def test_updating_keeps_the_application_the_creator_and_the_first_spelling(
    caller: Caller,
) -> None:
    value = "AB" * 32
    [first] = caller.import_(item(value, "FileSha256", application="one"))
    [second] = caller.import_(item(value.lower(), "FileSha256", application="two", title="later"))

    assert first["id"] == second["id"]
    [row] = caller.vendor.indicators.rows()
    assert (row["indicatorValue"], row["application"], row["title"]) == (value, "one", "later")


def test_device_groups_tell_rows_apart(caller: Caller) -> None:
    caller.import_(item(), item(rbacGroupNames=["servers"]))

    assert len(caller.vendor.indicators.rows()) == 2


@pytest.mark.parametrize(
    "body", [{"indicators": []}, {"Indicators": []}, {}, [], {"Indicators": 1}]
)
def test_a_body_in_another_case_or_shape_is_refused(caller: Caller, body: object) -> None:
    answer = caller.send("POST", "/import", body)

    assert answer.status_code == 400
    assert answer.json()["error"]["code"] == "InvalidRequestBody"
    assert answer.json()["error"].keys() == {"code", "message", "target"}


def test_more_than_five_hundred_are_refused(caller: Caller) -> None:
    many = [item(f"host-{number}.example") for number in range(501)]

    answer = caller.send("POST", "/import", {"Indicators": many})

    assert answer.json()["error"]["code"] == "MaximumBatchSizeExceeded"
    assert len(caller.import_(*many[:500])) == 500


def test_the_cap_is_reached_in_the_middle_of_a_batch(caller: Caller) -> None:
    caller.vendor.indicators.capacity = 2

    results = caller.import_(*(item(f"host-{number}.example") for number in range(4)))

    assert [result["isFailed"] for result in results] == [False, False, True, True]


def test_an_application_sees_its_own_rows_unless_it_may_see_all(caller: Caller) -> None:
    caller.vendor.add("else.example", "DomainName")
    caller.import_(item())
    assert caller.listed() == ["evil.example"]

    caller.roles = ["Ti.ReadWrite.All"]
    assert sorted(caller.listed()) == ["else.example", "evil.example"]


def test_an_application_that_sees_its_own_rows_cannot_change_others(caller: Caller) -> None:
    row = caller.vendor.add("else.example", "DomainName")

    [result] = caller.import_(item("else.example"))

    assert result["isFailed"] is True
    assert caller.send("DELETE", f"/{row['id']}").status_code == 404


def test_a_filter_without_its_dollar_lists_everything(caller: Caller) -> None:
    caller.import_(item("a.example", application="ours"), item("b.example"))

    assert caller.listed("?$filter=application eq 'ours'") == ["a.example"]
    assert caller.listed("?filter=application eq 'ours'") == ["a.example", "b.example"]


def test_filters_take_equalities_joined_by_and(caller: Caller) -> None:
    caller.import_(
        item("a.example", title="it's"), item("b.example", title="it's", severity="High")
    )

    assert caller.listed("?$filter=title eq 'it''s' and severity eq 'High'") == ["b.example"]
    assert caller.listed("?$filter=generateAlert eq true") == ["a.example", "b.example"]
    assert "externalId" not in FILTERABLE


@pytest.mark.parametrize(
    "query",
    [
        "?$filter=externalId eq 'x'",
        "?$filter=title eq 'it's'",
        "?$filter=title eq 'a' or title eq 'b'",
        "?$filter=nonsense",
        "?$orderby=title",
        "?$top=many",
    ],
)
def test_what_cannot_be_filtered_by_is_refused(caller: Caller, query: str) -> None:
    answer = caller.send("GET", query)

    assert answer.status_code == 400
    assert answer.json()["error"]["code"] == "ODataError"


def test_a_list_is_read_in_pages(caller: Caller) -> None:
    caller.import_(*(item(f"host-{number}.example") for number in range(5)))

    first = caller.send("GET", "?$top=3").json()
    assert len(first["value"]) == 3
    assert first["@odata.nextLink"].endswith("?$skip=3&$top=3")
    assert caller.listed("?$top=3&$skip=3") == ["host-3.example", "host-4.example"]


def test_a_batch_delete_with_one_unknown_id_deletes_nothing(caller: Caller) -> None:
    ids = [one["id"] for one in caller.import_(item("a.example"), item("b.example"))]

    answer = caller.send("POST", "/BatchDelete", {"IndicatorIds": [*ids, "1"]})
    assert answer.status_code == 404
    assert len(caller.listed()) == 2

    assert caller.send("POST", "/BatchDelete", {"IndicatorIds": ids}).status_code == 204
    assert caller.listed() == []


@pytest.mark.parametrize("ids", [[], ["x"], [1], [str(number) for number in range(501)]])
def test_a_batch_delete_of_none_too_many_or_malformed_ids_is_refused(
    caller: Caller, ids: list[Any]
) -> None:
    assert caller.send("POST", "/BatchDelete", {"IndicatorIds": ids}).status_code == 400


def test_one_row_can_be_deleted(caller: Caller) -> None:
    [result] = caller.import_(item())

    assert caller.send("DELETE", f"/{result['id']}").status_code == 204
    assert caller.send("DELETE", f"/{result['id']}").status_code == 404


def test_rows_vanish_when_their_time_is_over(caller: Caller, clock: Clock) -> None:
    soon = (NOW + timedelta(minutes=5)).astimezone(UTC).isoformat()
    caller.import_(item("a.example", expirationTime=soon), item("b.example"))

    clock.seconds += 299
    assert len(caller.listed()) == 2
    clock.seconds += 1
    assert caller.listed() == ["b.example"]


def test_imports_have_their_own_minute(caller: Caller, clock: Clock) -> None:
    for _ in range(30):
        caller.import_(item())
    answer = caller.send("POST", "/import", {"Indicators": [item()]})
    assert answer.status_code == 429
    assert answer.headers["Retry-After"] == "60"
    assert caller.send("GET").status_code == 200

    clock.seconds += 60
    caller.import_(item())


def test_reads_have_an_hour_too(caller: Caller, clock: Clock) -> None:
    for number in range(1_500):
        assert caller.send("GET", "?$top=1").status_code == 200, number
        clock.seconds += 1
    answer = caller.send("GET", "?$top=1")

    assert answer.status_code == 429
    assert int(answer.headers["Retry-After"]) > 60


def test_a_token_for_something_else_or_without_the_role_is_refused(caller: Caller) -> None:
    caller.audience = GRAPH
    assert caller.send("GET").status_code == 401
    caller.audience, caller.roles = AUDIENCE, ["Alert.Read.All"]
    assert caller.send("GET").json()["error"]["code"] == "Forbidden"


def test_the_path_may_name_a_version(caller: Caller) -> None:
    token, _ = caller.sandbox.tokens.issue(AUDIENCE, ["Ti.ReadWrite"])
    url = f"{caller.sandbox.vendor_url('defender')}/api/v1.0/indicators"
    answer = caller.session.get(url, headers={"Authorization": f"Bearer {token}"}, timeout=10)

    assert answer.status_code == 200
    assert caller.send("GET", "/nonsense/more").status_code == 404


def test_the_settings_point_at_the_vendor(caller: Caller) -> None:
    environment = caller.sandbox.environment()

    assert environment["DEFENDER_ENDPOINT"] == caller.sandbox.vendor_url("defender")
    assert environment["DEFENDER_SCOPE"] == f"{AUDIENCE}/.default"
    assert datetime.fromtimestamp(caller.sandbox.tokens.clock(), UTC) == NOW
