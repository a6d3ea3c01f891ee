"""Microsoft's reputation as tags in ThreatStream, and nothing else of what is there."""

from datetime import timedelta

import pytest

from mdti.errors import Forbidden, ServerFault
from mdti.feeds.destinations.threatstream import MARK
from mdti.feeds.destinations.threatstream_enrichment import BATCH, TLP, tags_of
from mdti.feeds.ports import Put
from mdti.sandbox.faults import Fault
from mdti.sandbox.observables import Row
from tests.feeds.destinations.rig import NOW, domain, drop, indicator, put
from tests.feeds.destinations.rig_enrichment import PARTNER, EnrichmentRig

TEN = [domain(number) for number in range(10)]


def scored(value: str, score: int) -> Put:
    """Return the operation as the feed makes it: of a host with Microsoft's score."""
    return put(indicator(value, confidence=score, score=score, tags=("A rule",)))


def writes(rig: EnrichmentRig) -> list[str]:
    return [seen.method for seen in rig.sandbox.requests if seen.method != "GET"]


def only(rig: EnrichmentRig, value: str = TEN[0]) -> Row:
    [row] = rig.vendor.observables.named(value)
    return row


@pytest.mark.parametrize(
    ("score", "word"),
    [
        (0, None),
        (49, None),
        (50, "mdti-suspicious"),
        (74, "mdti-suspicious"),
        (75, "mdti-malicious"),
        (100, "mdti-malicious"),
    ],
)
def test_a_score_is_a_tag_and_from_50_on_a_word_as_well(
    enrichment: EnrichmentRig, score: int, word: str | None
) -> None:
    [outcome] = enrichment.apply(scored(TEN[0], score))

    row = only(enrichment)
    assert (outcome.state, outcome.remote_id) == ("accepted", str(row["id"]))
    assert enrichment.tags(row) == sorted({f"mdti-score-{score}", *([word] if word else [])})
    assert set(enrichment.tags(row)) == tags_of(score)
    assert {tag["tlp"] for tag in row["tags"]} == {TLP}


def test_a_changed_score_takes_its_older_tags_away(enrichment: EnrichmentRig) -> None:
    enrichment.apply(scored(TEN[0], 90))

    for score in (74, 12, 75):
        [outcome] = enrichment.apply(scored(TEN[0], score))
        assert outcome.state == "accepted"
        assert set(enrichment.tags(only(enrichment))) == tags_of(score)


def test_what_says_so_already_costs_one_question_and_no_change(enrichment: EnrichmentRig) -> None:
    enrichment.apply(scored(TEN[0], 90))
    before = only(enrichment)
    asked = len(enrichment.sandbox.requests)

    [outcome] = enrichment.apply(scored(TEN[0], 90))

    assert outcome.state == "accepted"
    assert len(enrichment.sandbox.requests) == asked + 1
    assert only(enrichment) == before


def test_nothing_but_our_tags_is_touched(enrichment: EnrichmentRig) -> None:
    row = enrichment.vendor.observables.put(
        TEN[0],
        itype="apt_domain",
        confidence=33,
        severity="medium",
        tlp="green",
        tags=[
            {"name": "by-hand", "tlp": "amber"},
            {"name": "mdti-notes"},
            {"name": "mdti-score-high"},
        ],
        expires="2026-12-24T00:00:00",
    )
    before = enrichment.foreign(TEN[0])

    [outcome] = enrichment.apply(scored(TEN[0], 80))
    assert enrichment.foreign(TEN[0]) == before
    enrichment.apply(scored(TEN[0], 60))
    enrichment.apply(drop(outcome))

    assert enrichment.foreign(TEN[0]) == before
    names = [tag["name"] for tag in only(enrichment)["tags"]]
    assert names == [tag["name"] for tag in row["tags"]]


def test_every_active_observable_of_a_value_is_tagged_whoever_owns_it(
    enrichment: EnrichmentRig,
) -> None:
    observables = enrichment.vendor.observables
    ids = {
        who: observables.put(TEN[0], itype="mal_domain", organisation=who)["id"]
        for who in (67, PARTNER, 100)
    }
    observables.change(ids[100], status="falsepos")

    [outcome] = enrichment.apply(scored(TEN[0], 80))

    assert outcome.state == "accepted"
    rows = {row["owner_organization_id"]: row for row in observables.named(TEN[0])}
    assert {who: bool(enrichment.tags(row)) for who, row in rows.items()} == {
        67: True,
        PARTNER: True,
        100: False,
    }


def test_our_own_import_is_left_alone(enrichment: EnrichmentRig) -> None:
    observables = enrichment.vendor.observables
    ours = observables.put(TEN[0], itype="mal_domain", tags=[{"name": MARK}])
    theirs = observables.put(
        TEN[0], itype="mal_domain", organisation=PARTNER, tags=[{"name": MARK}]
    )

    enrichment.apply(scored(TEN[0], 80))

    rows = {row["id"]: row for row in observables.named(TEN[0])}
    assert enrichment.tags(rows[ours["id"]]) == []
    assert enrichment.tags(rows[theirs["id"]]) == ["mdti-malicious", "mdti-score-80"]


def test_what_is_in_force_no_more_loses_its_tags_beside_one_that_is(
    enrichment: EnrichmentRig,
) -> None:
    observables = enrichment.vendor.observables
    first = observables.put(TEN[0], itype="mal_domain", organisation=PARTNER)
    enrichment.apply(scored(TEN[0], 80))
    observables.change(first["id"], status="inactive")
    second = observables.put(TEN[0], itype="mal_domain")

    enrichment.apply(scored(TEN[0], 80))

    rows = {row["id"]: row for row in observables.named(TEN[0])}
    assert enrichment.tags(rows[first["id"]]) == []
    assert enrichment.tags(rows[second["id"]]) == ["mdti-malicious", "mdti-score-80"]


@pytest.mark.parametrize("status", ["inactive", "falsepos"])
def test_a_drop_takes_our_tags_from_whatever_became_of_the_observable(
    enrichment: EnrichmentRig, status: str
) -> None:
    [first] = enrichment.apply(scored(TEN[0], 80))
    enrichment.vendor.observables.change(only(enrichment)["id"], status=status)

    [gone] = enrichment.apply(drop(first))

    assert gone.state == "accepted"
    assert enrichment.tags(only(enrichment)) == []
    assert only(enrichment)["status"] == status


def test_a_value_that_is_in_force_nowhere_is_rejected(enrichment: EnrichmentRig) -> None:
    enrichment.seeds = False
    enrichment.vendor.observables.put(TEN[0], itype="mal_domain", status="falsepos")

    outcomes = enrichment.apply(scored(TEN[0], 80), scored(TEN[1], 80))

    assert [one.state for one in outcomes] == ["rejected"] * 2
    assert {one.reason for one in outcomes} == {"no active observable has this value any more"}
    assert writes(enrichment) == []


def test_what_has_no_score_is_rejected(enrichment: EnrichmentRig) -> None:
    [outcome] = enrichment.apply(put(indicator(TEN[0], confidence=None)))

    assert (outcome.state, outcome.reason) == ("rejected", "no reputation")


def test_a_202_alone_is_no_acceptance(enrichment: EnrichmentRig) -> None:
    enrichment.vendor.options.visible_after = 99

    [outcome] = enrichment.apply(scored(TEN[0], 80))

    assert outcome.state == "pending"
    assert "do not show yet" in outcome.reason


def test_what_shows_late_is_waited_for(enrichment: EnrichmentRig) -> None:
    enrichment.vendor.options.visible_after = 2

    [outcome] = enrichment.apply(scored(TEN[0], 80))

    assert outcome.state == "accepted"
    assert enrichment.clock.slept


def test_a_tag_that_cannot_be_removed_is_rejected_with_the_reason_and_both_stay(
    enrichment: EnrichmentRig,
) -> None:
    [first] = enrichment.apply(scored(TEN[0], 90), scored(TEN[1], 90))[:1]
    enrichment.vendor.options.may_untag = False

    changed, added = enrichment.apply(scored(TEN[0], 60), scored(TEN[2], 60))
    [gone] = enrichment.apply(drop(first))

    assert (changed.state, added.state, gone.state) == ("rejected", "accepted", "rejected")
    assert changed.remote_id == first.remote_id
    for outcome in (changed, gone):
        assert "does not give up an older tag: " in outcome.reason
        assert "405" in outcome.reason
    assert set(enrichment.tags(only(enrichment))) == tags_of(90) | tags_of(60)
    enrichment.vendor.options.may_untag = True
    [gone] = enrichment.apply(drop(first))
    assert gone.state == "accepted"


def test_a_tag_that_may_not_be_removed_stops_no_other_value(enrichment: EnrichmentRig) -> None:
    enrichment.apply(scored(TEN[0], 90))
    enrichment.sandbox.faults.set([Fault(kind="error", status=403, route="DELETE *")])

    kept, taken = enrichment.apply(scored(TEN[0], 60), scored(TEN[1], 60))

    assert (kept.state, taken.state) == ("rejected", "accepted")


def test_a_tag_that_somebody_removed_meanwhile_is_gone(enrichment: EnrichmentRig) -> None:
    [first] = enrichment.apply(scored(TEN[0], 90))
    row = only(enrichment)
    enrichment.sandbox.faults.set([Fault(kind="error", status=404, route="DELETE *")])
    for tag in row["tags"]:
        enrichment.vendor.observables.untag(row["id"], tag["id"])

    [gone] = enrichment.apply(drop(first))

    assert gone.state == "accepted"


def test_a_partners_observable_that_takes_no_tag_is_rejected_and_stops_nothing(
    enrichment: EnrichmentRig,
) -> None:
    enrichment.spoil(TEN[0])
    enrichment.vendor.observables.put(TEN[0], itype="mal_domain", organisation=PARTNER)

    refused, taken = enrichment.apply(scored(TEN[0], 80), scored(TEN[1], 80))

    assert (refused.state, taken.state) == ("rejected", "accepted")
    assert "another organisation's observable does not take the tags: " in refused.reason
    assert "403" in refused.reason
    assert refused.remote_id is None


def test_a_value_that_is_tagged_in_part_is_rejected_and_names_what_is_there(
    enrichment: EnrichmentRig,
) -> None:
    observables = enrichment.vendor.observables
    own = observables.put(TEN[0], itype="mal_domain")
    theirs = observables.put(TEN[0], itype="mal_domain", organisation=PARTNER)
    path = f"POST */intelligence/{theirs['id']}/tag/"
    enrichment.sandbox.faults.set([Fault(kind="error", status=403, route=path)])

    [outcome] = enrichment.apply(scored(TEN[0], 80))

    assert (outcome.state, outcome.remote_id) == ("rejected", str(own["id"]))
    [gone] = enrichment.apply(drop(outcome))
    assert gone.state == "accepted"
    assert enrichment.present() == []


def test_a_user_who_may_not_tag_is_told_which_right_is_missing(enrichment: EnrichmentRig) -> None:
    enrichment.forbid()

    with pytest.raises(Forbidden) as caught:
        enrichment.apply(scored(TEN[0], 80))

    assert caught.value.hint is not None
    assert "tag" in caught.value.hint


def test_tags_that_nobody_answers_for_are_given_up_at_the_third_call(
    enrichment: EnrichmentRig,
) -> None:
    destination = enrichment.destination()
    enrichment.sandbox.faults.set([Fault(kind="error", status=503, route="POST *")])

    for _ in range(2):
        [outcome] = enrichment.apply(scored(TEN[0], 80), destination=destination)
        assert outcome.state == "pending"
    with pytest.raises(ServerFault):
        enrichment.apply(scored(TEN[0], 80), destination=destination)


def test_one_observable_without_an_answer_leaves_its_value_alone_pending(
    enrichment: EnrichmentRig,
) -> None:
    row = enrichment.vendor.observables.put(TEN[0], itype="mal_domain")
    path = f"POST */intelligence/{row['id']}/tag/"
    enrichment.sandbox.faults.set([Fault(kind="error", status=500, route=path)])

    outcomes = enrichment.apply(scored(TEN[0], 80), scored(TEN[1], 80))

    assert [one.state for one in outcomes] == ["pending", "accepted"]


def test_older_tags_stay_until_the_newer_ones_are_taken(enrichment: EnrichmentRig) -> None:
    enrichment.apply(scored(TEN[0], 90))
    enrichment.sandbox.faults.set([Fault(kind="error", status=500, route="POST *")])

    [outcome] = enrichment.apply(scored(TEN[0], 60))

    assert outcome.state == "pending"
    assert set(enrichment.tags(only(enrichment))) == tags_of(90)


def test_a_batch_at_our_pace_stays_below_what_threatstream_was_seen_to_allow(
    enrichment: EnrichmentRig,
) -> None:
    values = [domain(number) for number in range(BATCH)]
    enrichment.apply(*(scored(value, 90) for value in values))
    asked = len(enrichment.sandbox.requests)

    enrichment.apply(*(scored(value, 60) for value in values))

    requests = len(enrichment.sandbox.requests) - asked
    assert requests * enrichment.destination().limits.per_minute <= 6_000


def test_a_host_that_ended_is_rejected_as_it_was(enrichment: EnrichmentRig) -> None:
    over = indicator(TEN[0], score=80, valid_until=NOW - timedelta(seconds=1))

    [outcome] = enrichment.apply(put(over))

    assert (outcome.state, outcome.reason) == ("rejected", "expired")
    assert writes(enrichment) == []
