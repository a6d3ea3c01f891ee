from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from mdti.errors import Forbidden, SettingError
from mdti.feeds.destinations.defender import BATCH, MARK, Defender
from mdti.feeds.destinations.defender_rows import policy_of
from mdti.feeds.indicator import IndicatorKind, Severity
from mdti.feeds.ports import Drop, Skip
from mdti.net.deadline import Deadline
from mdti.net.transport import Transport
from mdti.sandbox.faults import Fault
from mdti.sandbox.host import Sandbox
from mdti.sandbox.wire import Reply, Request, json_reply
from tests.feeds.destinations.rig import NOW, VALUES, domain, drop, indicator, put
from tests.feeds.destinations.rig_defender import DefenderAllRig, DefenderRig

TEN = [domain(number) for number in range(10)]


def row(rig: DefenderRig, value: str) -> dict[str, Any]:
    [found] = rig.rows(value)
    return found


def calls(rig: DefenderRig) -> list[str]:
    return [f"{seen.method} {seen.path.removeprefix('/defender')}" for seen in rig.sandbox.requests]


def test_a_row_says_what_the_indicator_does(defender: DefenderRig) -> None:
    item = indicator(TEN[0], severity="high", title="Loader C2", description="A made-up campaign")

    defender.apply(put(item))

    found = row(defender, TEN[0])
    assert found["indicatorType"] == "DomainName"
    assert found["title"] == "Loader C2"
    assert found["description"] == "A made-up campaign"
    assert found["severity"] == "High"
    assert found["application"] == MARK
    assert found["expirationTime"] == "2026-12-21T12:00:00Z"
    assert found["rbacGroupNames"] == []


def test_the_default_action_is_audit_with_an_alert(defender: DefenderRig) -> None:
    defender.apply(put(TEN[0]))

    assert row(defender, TEN[0])["action"] == "Audit"
    assert row(defender, TEN[0])["generateAlert"] is True


@pytest.mark.parametrize(
    ("name", "on_a_domain", "on_a_hash"),
    [
        ("Audit", "Audit", "Audit"),
        ("alert", "Audit", "Audit"),
        ("Alert", "Audit", "Audit"),
        ("Warn", "Warn", "Warn"),
        ("block", "Block", "Block"),
        ("AlertAndBlock", "Block", "BlockAndRemediate"),
        ("BlockAndRemediate", "Block", "BlockAndRemediate"),
    ],
)
def test_action_names_of_the_opencti_document_mean_todays(
    defender: DefenderRig, name: str, on_a_domain: str, on_a_hash: str
) -> None:
    destination = defender.destination(action=name)

    outcomes = defender.apply(
        put(TEN[0]), put(indicator("a" * 64, "sha256")), destination=destination
    )

    assert {outcome.state for outcome in outcomes} == {"accepted"}
    assert row(defender, TEN[0])["action"] == on_a_domain
    assert row(defender, "a" * 64)["action"] == on_a_hash


@pytest.mark.parametrize(
    ("score", "action"),
    [
        (None, "Audit"),
        (0, "Audit"),
        (29, "Audit"),
        (30, "Warn"),
        (59, "Warn"),
        (60, "Block"),
        (100, "Block"),
    ],
)
def test_an_action_by_score_has_no_holes(
    defender: DefenderRig, score: int | None, action: str
) -> None:
    item = indicator(TEN[0], confidence=None, score=score)

    defender.apply(put(item), destination=defender.destination(action="Score"))

    assert row(defender, TEN[0])["action"] == action


@pytest.mark.parametrize("name", ["Allowed", "Allow", "allowed ", "", "Silent"])
def test_allowed_is_impossible(defender: DefenderRig, name: str) -> None:
    with pytest.raises(SettingError, match="DEFENDER_ACTION"):
        defender.destination(action=name)


@pytest.mark.parametrize("name", ["Block", "Warn", "Score", "AlertAndBlock"])
def test_passive_only_is_audit_whatever_the_action(name: str) -> None:
    assert policy_of(name, passive_only=True) == "Audit"


@pytest.mark.parametrize(
    ("score", "severity"),
    [
        (None, "Informational"),
        (19, "Informational"),
        (20, "Low"),
        (39, "Low"),
        (40, "Medium"),
        (59, "Medium"),
        (60, "High"),
    ],
)
def test_a_missing_severity_follows_the_score(
    defender: DefenderRig, score: int | None, severity: str
) -> None:
    defender.apply(put(indicator(TEN[0], confidence=None, score=score)))

    assert row(defender, TEN[0])["severity"] == severity


@pytest.mark.parametrize("severity", ["informational", "low", "medium", "high"])
def test_the_sources_severity_stands(defender: DefenderRig, severity: Severity) -> None:
    defender.apply(put(indicator(TEN[0], severity=severity, score=100)))

    assert row(defender, TEN[0])["severity"] == severity.capitalize()


def test_a_row_ends_with_its_indicator_if_that_is_sooner(defender: DefenderRig) -> None:
    soon = indicator(TEN[0], valid_until=NOW + timedelta(days=2))
    late = indicator(TEN[1], valid_until=NOW + timedelta(days=300))

    defender.apply(put(soon), put(late), destination=defender.destination(expire_days=7))

    assert row(defender, TEN[0])["expirationTime"] == "2026-11-23T12:00:00Z"
    assert row(defender, TEN[1])["expirationTime"] == "2026-11-28T12:00:00Z"


def test_a_second_put_renews_the_end(defender: DefenderRig) -> None:
    [outcome] = defender.apply(put(TEN[0]))
    defender.clock.pass_(days=21)

    defender.apply(put(TEN[0], remote_id=outcome.remote_id))

    assert row(defender, TEN[0])["expirationTime"] == "2027-01-11T12:00:00Z"
    assert row(defender, TEN[0])["id"] == outcome.remote_id


@pytest.mark.parametrize(
    ("kind", "value", "reason"),
    [
        ("email", "x@evil.example", "email is no type of Defender"),
        ("md5", "a" * 32, "md5 is refused by Defender"),
        ("domain", "_dmarc.evil.example", "name that begins with an underscore"),
        ("url", "https://evil.example/" + "a" * 800, "value too long"),
        ("url", "https://evil.example/*", "wildcard"),
    ],
)
def test_what_defender_cannot_hold_is_skipped(
    defender: DefenderRig, kind: IndicatorKind, value: str, reason: str
) -> None:
    skip = defender.destination().key(indicator(value, kind))

    assert isinstance(skip, Skip)
    assert skip.reason in {reason, "not a host"}


def test_md5_is_sent_when_told(defender: DefenderRig) -> None:
    defender.vendor.indicators.take_md5 = True
    destination = defender.destination(accept_md5=True)
    item = indicator("a" * 32, "md5")

    assert destination.key(item) == item.key
    [outcome] = defender.apply(put(item), destination=destination)
    assert outcome.state == "accepted"


def test_ipv6_is_sent_with_all_eight_groups_and_found_again(defender: DefenderRig) -> None:
    item = indicator("2001:db8::23", "ipv6")

    [outcome] = defender.apply(put(item))

    assert defender.present() == ["2001:0db8:0000:0000:0000:0000:0000:0023"]
    listing = list(defender.destination().listing(deadline=defender.deadline()))
    assert [one.key for one in listing] == [item.key]
    defender.apply(drop(outcome))
    assert defender.present() == []


def test_a_hash_that_is_there_in_capitals_is_the_same_row(defender: DefenderRig) -> None:
    value = "AB" * 32
    defender.vendor.add(
        value, "FileSha256", application=MARK, creator="5a7d0b0e-0000-4000-8000-00000000a001"
    )

    [listed] = defender.destination().listing(deadline=defender.deadline())
    [outcome] = defender.apply(put(indicator(value.lower(), "sha256")))

    assert listed.key.value == value.lower()
    assert outcome.state == "accepted"
    assert defender.present() == [value]


def test_five_hundred_rows_are_one_call(defender: DefenderRig) -> None:
    destination = defender.destination()

    defender.apply(*(put(domain(n)) for n in range(BATCH)), destination=destination)

    assert calls(defender).count("POST /api/indicators/import") == 1
    assert len(defender.present()) == BATCH


def test_thirty_imports_a_minute_are_not_throttled_and_the_next_one_waits(
    defender: DefenderRig,
) -> None:
    destination = defender.destination()
    for number in range(30):
        defender.apply(put(domain(number)), destination=destination)
    assert 429 not in {seen.status for seen in defender.sandbox.requests}
    start = defender.clock.seconds

    [outcome] = defender.apply(put(domain(30)), destination=destination)

    assert outcome.state == "accepted"
    assert 429 in {seen.status for seen in defender.sandbox.requests}
    assert defender.clock.seconds - start >= 59


def test_results_in_another_order_are_matched_by_value(defender: DefenderRig) -> None:
    defender.vendor.options.shuffled = True
    defender.spoil(TEN[2])

    outcomes = defender.apply(*map(put, TEN))

    assert [outcome.state for outcome in outcomes].count("accepted") == 9
    assert outcomes[2].state == "rejected"
    for outcome in outcomes[3:]:
        assert row(defender, outcome.key.value)["id"] == outcome.remote_id


def test_one_row_that_fails_the_whole_call_is_found_and_the_others_are_taken(
    defender: DefenderRig,
) -> None:
    values = [domain(number) for number in range(100)]
    defender.vendor.options.poison.add(values[37])

    outcomes = defender.apply(*map(put, values))

    assert outcomes[37].state == "rejected"
    assert outcomes[37].reason == "BadRequest"
    assert len(defender.present()) == 99
    assert calls(defender).count("POST /api/indicators/import") < 20


def test_too_many_poisonous_rows_leave_the_rest_pending(defender: DefenderRig) -> None:
    values = [domain(number) for number in range(200)]
    defender.vendor.options.poison.update(values[50::3])

    outcomes = defender.apply(*map(put, values))

    assert calls(defender).count("POST /api/indicators/import") <= 24
    states = {outcome.state for outcome in outcomes}
    assert states == {"accepted", "rejected", "pending"}
    taken = [outcome.key.value for outcome in outcomes if outcome.state == "accepted"]
    assert sorted(taken) == defender.present()


def test_a_full_tenant_is_over_cap_and_what_fits_is_taken(defender: DefenderRig) -> None:
    defender.vendor.indicators.capacity = 7
    defender.add_foreign("else.example")

    outcomes = defender.apply(*map(put, TEN))

    assert [outcome.state for outcome in outcomes] == ["accepted"] * 6 + ["over_cap"] * 4
    assert outcomes[6].reason
    assert defender.present() == TEN[:6]


def test_rows_that_are_there_are_updated_in_a_full_tenant(defender: DefenderRig) -> None:
    defender.vendor.indicators.capacity = 3
    defender.apply(*map(put, TEN[:3]))

    outcomes = defender.apply(*map(put, TEN[:5]))

    assert [outcome.state for outcome in outcomes] == ["accepted"] * 3 + ["over_cap"] * 2


def test_a_bad_row_among_good_ones_is_rejected_and_not_taken_for_a_full_tenant(
    defender: DefenderRig,
) -> None:
    defender.spoil(TEN[4])

    assert defender.apply(*map(put, TEN))[4].state == "rejected"


def test_a_single_new_row_that_fails_last_is_tried_again_in_another_place(
    defender: DefenderRig,
) -> None:
    defender.spoil(TEN[9])

    assert defender.apply(*map(put, TEN))[9].state == "pending"
    assert defender.apply(put(TEN[9]), put("new.example"))[0].state == "rejected"


def test_a_batch_delete_that_fails_for_one_id_is_repeated_without_it(
    defender: DefenderRig,
) -> None:
    destination = defender.destination()
    outcomes = defender.apply(*map(put, TEN), destination=destination)
    defender.clock.pass_(minutes=15)
    defender.apply(put(TEN[0]), destination=destination)
    defender.vanish(TEN[4])
    defender.sandbox.forget()

    defender.apply(*map(drop, outcomes), destination=destination)

    assert defender.present() == []
    assert calls(defender) == [
        "POST /api/indicators/BatchDelete",
        "GET /api/indicators",
        "POST /api/indicators/BatchDelete",
    ]


@pytest.mark.parametrize("half", [False, True])
def test_what_a_failed_batch_delete_did_does_not_matter(defender: DefenderRig, half: bool) -> None:
    defender.vendor.options.half_deleted = half
    destination = defender.destination()
    outcomes = defender.apply(*map(put, TEN), destination=destination)
    for value in TEN[2:5]:
        defender.vanish(value)

    gone = defender.apply(*map(drop, outcomes), destination=destination)

    assert {outcome.state for outcome in gone} == {"accepted"}
    assert defender.present() == []


def test_a_row_that_another_process_made_meanwhile_is_removed(defender: DefenderRig) -> None:
    here, there = defender.destination(), defender.destination()
    defender.apply(put(TEN[0]), destination=here)
    [outcome] = defender.apply(put(TEN[1]), destination=there)

    [gone] = defender.apply(drop(outcome), destination=here)

    assert gone.state == "accepted"
    assert defender.present() == [TEN[0]]


def test_an_id_that_is_somebody_elses_is_never_deleted() -> None:
    with DefenderAllRig().running() as rig:
        assert isinstance(rig, DefenderAllRig)
        rig.add_foreign(TEN[0])
        before = rig.foreign(TEN[0])
        assert isinstance(before, dict)

        rig.apply(Drop(indicator(TEN[0]).key, str(before["id"])))

        assert rig.foreign(TEN[0]) == before


def test_a_row_of_ours_is_found_without_its_id(defender: DefenderRig) -> None:
    [outcome] = defender.apply(put(TEN[0]))

    defender.apply(replace(drop(outcome), remote_id=None))

    assert defender.present() == []


def test_nothing_is_asked_with_an_option_that_could_be_ignored() -> None:
    with DefenderAllRig().running() as rig:
        assert isinstance(rig, DefenderAllRig)
        for number in range(5):
            rig.add_foreign(f"foreign-{number}.example")
        outcomes = rig.apply(*map(put, TEN))
        rig.apply(*map(drop, outcomes))

        options = {name for seen in rig.sandbox.requests for name in seen.query}
        assert options <= {"$top", "$skip"}
        assert len(rig.vendor.indicators.rows()) == 5


@pytest.mark.parametrize("next_link", [True, False])
def test_every_page_of_the_list_is_read(
    defender: DefenderRig, next_link: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("mdti.feeds.destinations.defender.PAGE", 3)
    defender.vendor.options.next_link = next_link
    defender.vendor.options.page_size = 3
    defender.apply(*map(put, TEN))

    listing = defender.destination().listing(deadline=defender.deadline())

    assert sorted(one.key.value for one in listing) == TEN


@pytest.mark.parametrize("kind", ["foreignLink", "loop"])
def test_a_list_that_leads_astray_is_an_error_and_nothing_is_changed(
    defender: DefenderRig, kind: str
) -> None:
    defender.apply(put(TEN[0]))
    defender.sandbox.faults.set([Fault(kind=kind, route="GET *")])

    with pytest.raises(Exception, match=r"linked|no end"):
        list(defender.destination().listing(deadline=defender.deadline()))


class Odd:
    """A service that answers in JSON, but not what was asked for."""

    name = "defender"

    def __init__(self, listed: object, imported: object) -> None:
        self.answers = {"GET": listed, "POST": imported}
        self.asked: list[str] = []

    def settings(self, base_url: str) -> dict[str, str]:
        return {}

    def handle(self, request: Request) -> Reply:
        self.asked.append(request.method)
        return json_reply(self.answers[request.method])


@pytest.mark.parametrize("odd", [[], {}, {"value": 1}, {"value": ["x"]}])
def test_an_answer_that_is_no_list_is_no_empty_tenant(odd: object) -> None:
    listed = Odd(odd, {"value": []})
    with odd_tenant(listed) as destination:
        [outcome] = destination.apply([put(TEN[0])], deadline=Deadline.after(60))

    assert outcome.state == "pending"
    assert listed.asked == ["GET"]


@pytest.mark.parametrize("odd", [[], {}, {"value": 1}, {"value": ["x"]}, {"value": []}])
def test_an_answer_without_results_is_no_acceptance(odd: object) -> None:
    with odd_tenant(Odd({"value": []}, odd)) as destination:
        [outcome] = destination.apply([put(TEN[0])], deadline=Deadline.after(60))

    assert outcome.state == "pending"


@contextmanager
def odd_tenant(odd: Odd) -> Iterator[Defender]:
    with (
        Sandbox(vendors=lambda _: [odd]) as sandbox,
        closing(Transport(token=lambda scope, renew: "token")) as transport,
    ):
        url = sandbox.vendor_url("defender")
        yield Defender(transport=transport, values=VALUES, endpoint=url)


def test_a_delete_that_is_refused_for_one_row_is_pending(defender: DefenderRig) -> None:
    [outcome] = defender.apply(put(TEN[0]))
    defender.sandbox.faults.set([Fault(kind="error", status=400, route="*BatchDelete")])

    [refused] = defender.apply(drop(outcome))

    assert refused.state == "pending"
    assert defender.present() == [TEN[0]]


def test_rows_that_no_indicator_becomes_are_passed_over(defender: DefenderRig) -> None:
    creator = "5a7d0b0e-0000-4000-8000-00000000a001"
    defender.vendor.add(
        "a" * 40, "CertificateThumbprint", action="BlockAndRemediate", creator=creator
    )

    assert list(defender.destination().listing(deadline=defender.deadline())) == []


def test_a_feature_that_is_off_says_so(defender: DefenderRig) -> None:
    defender.vendor.options.enabled = False

    with pytest.raises(Forbidden) as caught:
        defender.apply(put(TEN[0]))

    assert caught.value.reason == "DisabledFeature"
    assert caught.value.hint is not None
    assert "switched on" in caught.value.hint


def test_the_path_of_the_opencti_document_is_accepted(defender: DefenderRig) -> None:
    destination = Defender(
        transport=defender.transport,
        values=VALUES,
        endpoint=f"{defender.sandbox.vendor_url('defender')}/",
        resource_path="/api/v1.0/indicators/",
        now=defender.now,
    )

    [outcome] = defender.apply(put(TEN[0]), destination=destination)

    assert outcome.state == "accepted"


def test_settings_that_shape_rows_change_the_revision(defender: DefenderRig) -> None:
    revisions = {
        defender.destination().revision,
        defender.destination(action="Block").revision,
        defender.destination(expire_days=7).revision,
    }

    assert len(revisions) == 3
    passive = defender.destination(action="Block", passive_only=True)
    assert passive.revision == defender.destination().revision


@pytest.mark.parametrize("days", [0, -1])
def test_a_life_of_nothing_is_refused(defender: DefenderRig, days: int) -> None:
    with pytest.raises(SettingError, match="DEFENDER_EXPIRE_DAYS"):
        defender.destination(expire_days=days)


def test_an_answer_after_ten_seconds_does_not_hold_up_the_calls_after_it(
    defender: DefenderRig,
) -> None:
    limits = defender.destination().limits
    assert limits.parallel / limits.per_minute * 60 >= 10


def test_a_tenant_is_read_once_for_many_calls_and_again_after_a_while(
    defender: DefenderRig,
) -> None:
    destination = defender.destination()
    for number in range(5):
        defender.apply(put(domain(number)), destination=destination)
    assert calls(defender).count("GET /api/indicators") == 1

    defender.clock.pass_(minutes=2)
    defender.apply(put(TEN[9]), destination=destination)

    assert calls(defender).count("GET /api/indicators") == 2
