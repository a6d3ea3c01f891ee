from datetime import timedelta

from mdti.feeds.destinations.defender_tenant import Tenant
from mdti.feeds.indicator import Key
from tests.feeds.destinations.rig import NOW

KEY = Key("domain", "evil.example")


def test_what_was_accepted_lately_may_be_missing_in_a_list() -> None:
    before = Tenant(NOW)
    before.add(KEY, "7", now=NOW)

    soon = Tenant(NOW + timedelta(minutes=9)).merged(before)
    late = Tenant(NOW + timedelta(minutes=10)).merged(before)

    assert soon.ours(KEY) == ("7",)
    assert soon.unlisted(["7"]) == ["7"]
    assert soon.size == 1
    assert late.ours(KEY) == ()


def test_what_is_missing_stays_missing_only_so_long_over_many_lists() -> None:
    tenant = Tenant(NOW)
    tenant.add(KEY, "7", now=NOW)
    for minutes in (4, 8, 12):
        tenant = Tenant(NOW + timedelta(minutes=minutes)).merged(tenant)

    assert tenant.ours(KEY) == ()


def test_a_list_is_believed_about_what_it_lists() -> None:
    before = Tenant(NOW)
    before.add(KEY, "7", now=NOW)
    after = Tenant(NOW + timedelta(minutes=1))
    after.put(KEY, "7", ours=False)

    merged = after.merged(before)

    assert merged.ours(KEY) == ()
    assert merged.foreign(KEY) == ("7",)
    assert merged.unlisted(["7"]) == []


def test_an_accepted_row_is_counted_once() -> None:
    tenant = Tenant(NOW)
    tenant.add(KEY, "7", now=NOW)
    tenant.add(KEY, "7", now=NOW)
    assert tenant.size == 1

    tenant.forget(["7", "8"])

    assert tenant.size == 0
    assert list(tenant.rows()) == []
