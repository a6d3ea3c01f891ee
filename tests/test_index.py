import gzip
import json
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta

import pytest

from mdti.errors import ApiGone, ServerFault, StoreError
from mdti.graph import Indicator
from mdti.incident_models import FileHash
from mdti.index import EMPTY, MAX_AGE, RELOAD_SECONDS, RETRY_SECONDS, ActorIndex
from mdti.models import ActorRef, Host, IntelProfile
from mdti.sandbox.cast import LOADER_SHA256
from mdti.sandbox.faults import Fault
from tests.tenant import Tenant, brief_of, escalated, finding, stages

INDICATORS = "GET */intelprofiles/*/indicators"
PROFILES = "GET */intelprofiles*"
ONE_LIST = "GET */indicators"
BUILT = datetime(2026, 11, 21, 12, tzinfo=UTC)
ACTOR = IntelProfile("id-1", "actor", "Paper Drizzle", first_active=BUILT, aliases=("DEV-9301",))
TOOL = IntelProfile("id-2", "tool", "LampLoader")
BAD = Host("name", "bad.example")
LOADER = FileHash("SHA256", LOADER_SHA256)


def listed(artifact: Host | FileHash) -> Indicator:
    return Indicator(artifact, "microsoft", BUILT, None)


def index_of(*, failed: tuple[str, ...] = ()) -> ActorIndex:
    indicators = {
        "id-1": [listed(BAD), listed(LOADER), listed(BAD)],
        "id-2": [listed(BAD), listed(Host("ipv4", "198.51.100.1"))],
    }
    return ActorIndex.of([ACTOR, TOOL], indicators, built=BUILT, failed=failed)


def profiles_asked(tenant: Tenant) -> int:
    return sum("intelProfiles" in seen.path for seen in tenant.asked())


def copies(tenant: Tenant, state: str = "state") -> int:
    return len(list((tenant.folder / state).rglob("*.json.gz")))


def test_members_are_found_by_exact_artifact_and_tools_are_no_actors() -> None:
    index = index_of()
    assert [claim.actor for claim in index.claims(BAD)] == [ActorRef("Paper Drizzle", "id-1")]
    assert index.owners(LOADER) == (ActorRef("Paper Drizzle", "id-1"),)
    assert index.claims(Host("ipv4", "198.51.100.1")) == ()
    assert index.claims(Host("name", "sub.bad.example")) == ()
    assert index.claims(Host("name", "zzz.example")) == ()


def test_a_copy_survives_being_stored() -> None:
    assert ActorIndex.from_bytes(index_of(failed=("id-3",)).to_bytes()) == index_of(
        failed=("id-3",)
    )


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"\x1f\x8b",
        index_of().to_bytes()[:-9],
        gzip.compress(b"[]", mtime=0),
        gzip.compress(b"{}", mtime=0),
        gzip.compress(b'{"format": 99}', mtime=0),
    ],
    ids=["empty", "head", "cut", "list", "object", "format"],
)
def test_a_copy_that_cannot_be_read_is_an_error_of_the_store(body: bytes) -> None:
    with pytest.raises(StoreError):
        ActorIndex.from_bytes(body)


def test_missing_old_and_partial_copies_are_gaps() -> None:
    def reason(index: ActorIndex, age: timedelta) -> str:
        gap = index.gap(BUILT + age)
        return gap.reason if gap else ""

    assert reason(index_of(), MAX_AGE) == ""
    assert reason(index_of(), MAX_AGE + timedelta(hours=25)) == (
        "the intel profiles were last read 3 days ago"
    )
    assert reason(index_of(failed=("id-2",)), timedelta()) == (
        "the indicators of 1 intel profiles could not be read"
    )
    assert reason(EMPTY, timedelta()) == "the intel profiles could not be read"


def test_the_first_look_up_makes_the_copy_and_another_process_reads_it(tenant: Tenant) -> None:
    tenant.look_up_one(tenant.app())
    assert profiles_asked(tenant) == 6
    other = tenant.app()
    assert escalated(tenant.look_up_one(other, "vault-key.example")) == ["Velvet Squall"]
    assert profiles_asked(tenant) == 6


def test_profiles_that_are_listed_twice_are_read_once(tenant: Tenant) -> None:
    tenant.faults(Fault(kind="duplicates"))
    tenant.app().refresh_index()
    assert profiles_asked(tenant) == 6


def test_a_copy_that_is_too_old_is_made_anew(tenant: Tenant) -> None:
    app = tenant.app()
    tenant.look_up_one(app)
    tenant.pass_time(hours=49)
    tenant.look_up_one(app)
    assert profiles_asked(tenant) == 12


def test_a_copy_that_is_too_old_is_used_and_said_when_graph_gives_no_other(tenant: Tenant) -> None:
    app = tenant.app()
    tenant.look_up_one(app)
    tenant.pass_time(hours=49)
    tenant.faults(Fault(kind="error", route=PROFILES))
    lookup = tenant.look_up_one(app)
    assert [gap.reason for gap in lookup.gaps] == ["the intel profiles were last read 2 days ago"]
    assert escalated(lookup) == ["Paper Drizzle"]


def test_the_daily_refresh_keeps_two_copies(tenant: Tenant) -> None:
    app = tenant.app()
    for _ in range(4):
        app.refresh_index()
        tenant.pass_time(days=1)
    assert copies(tenant) == 2


def test_another_process_notices_a_newer_copy_within_minutes(tenant: Tenant) -> None:
    one, other = tenant.app(), tenant.app()
    tenant.look_up_one(one)
    profile = tenant.sandbox.world.profile("Silver Hail")
    tenant.sandbox.world.indicator(profile, "weather-today.example")
    tenant.pass_time(seconds=1)
    other.refresh_index()
    assert escalated(tenant.look_up_one(one, "weather-today.example")) == []
    tenant.pass_time(seconds=RELOAD_SECONDS)
    assert escalated(tenant.look_up_one(one, "weather-today.example")) == ["Silver Hail"]


def test_graph_is_left_alone_for_a_while_after_a_copy_could_not_be_made(tenant: Tenant) -> None:
    app = tenant.app()
    tenant.faults(Fault(kind="html", route=PROFILES))
    assert stages(tenant.look_up_one(app)) == {"actorIndex"}
    tenant.look_up_one(app)
    assert profiles_asked(tenant) == 1
    tenant.faults()
    tenant.pass_time(seconds=RETRY_SECONDS[0])
    assert tenant.look_up_one(app).complete


def test_a_failure_that_stays_is_tried_less_and_less_often(tenant: Tenant) -> None:
    app = tenant.app()
    tenant.faults(Fault(kind="html", route=PROFILES))
    for _ in range(10):
        tenant.look_up_one(app)
        tenant.pass_time(seconds=RETRY_SECONDS[0])
    assert profiles_asked(tenant) == 4
    tenant.pass_time(seconds=RETRY_SECONDS[1])
    tenant.faults()
    assert tenant.look_up_one(app).complete


def test_a_partial_copy_is_said_used_and_completed_once_graph_recovers(tenant: Tenant) -> None:
    undisturbed = tenant.look_up_one(tenant.fresh())
    app = tenant.fresh()
    tenant.faults(Fault(kind="html", route=INDICATORS, count=2))
    lookup = tenant.look_up_one(app)
    assert [gap.reason for gap in lookup.gaps] == [
        "the indicators of 2 intel profiles could not be read"
    ]
    tenant.pass_time(seconds=RETRY_SECONDS[0])
    assert finding(tenant.look_up_one(app)) == finding(undisturbed)


def test_a_partial_copy_never_replaces_one_that_misses_no_more(tenant: Tenant) -> None:
    app = tenant.app()
    tenant.look_up_one(app)
    tenant.faults(Fault(kind="html", route=INDICATORS, count=1))
    with pytest.raises(StoreError, match="in part"):
        app.refresh_index()
    assert tenant.look_up_one(app).complete

    partial = tenant.fresh()
    tenant.faults(Fault(kind="html", route=INDICATORS, count=1))
    tenant.look_up_one(partial)
    tenant.faults(Fault(kind="html", route=INDICATORS, count=3))
    with pytest.raises(StoreError, match="in part"):
        partial.refresh_index()
    assert "of 1 intel" in tenant.look_up_one(partial, "vault-key.example").gaps[0].reason


def test_a_partial_copy_replaces_one_that_is_too_old(tenant: Tenant) -> None:
    app = tenant.app()
    app.refresh_index()
    tenant.pass_time(hours=49)
    tenant.faults(Fault(kind="html", route=INDICATORS, count=1))
    assert "of 1 intel" in tenant.look_up_one(app).gaps[0].reason


@pytest.mark.parametrize("where", ["current.json", "*.json.gz"])
def test_a_damaged_copy_is_made_anew(tenant: Tenant, where: str) -> None:
    tenant.app().refresh_index()
    (damaged,) = (tenant.folder / "state").rglob(where)
    damaged.write_bytes(b"{}")
    lookup = tenant.look_up_one(tenant.app())
    assert lookup.complete
    assert profiles_asked(tenant) == 12


def test_a_process_that_finds_the_lease_taken_says_so_and_reads_the_others_copy(
    tenant: Tenant,
) -> None:
    app, other = tenant.app(), tenant.app()
    with ThreadPoolExecutor(1) as threads:
        with tenant.holding(PROFILES) as hold:
            refreshing = threads.submit(other.refresh_index)
            assert hold.reached.wait(10)
            lookup = tenant.look_up_one(app, timeoutSeconds=60)
            assert stages(lookup) == {"actorIndex"}
            assert escalated(lookup) == ["Paper Drizzle"]
        refreshing.result(30)
    assert tenant.look_up_one(app).complete
    assert profiles_asked(tenant) == 6


def test_a_look_up_does_not_wait_beyond_its_time_for_the_copy_another_makes(
    tenant: Tenant,
) -> None:
    app = tenant.app()
    with ThreadPoolExecutor(1) as threads:
        with tenant.holding(PROFILES) as hold:
            slow = threads.submit(tenant.look_up_one, app)
            assert hold.reached.wait(10)
            lookup = tenant.look_up_one(app, "vault-key.example", timeoutSeconds=2)
            assert stages(lookup) == {"actorIndex"}
            assert escalated(lookup) == ["Velvet Squall"]
        assert slow.result(30).complete


@pytest.mark.parametrize("wait", [2.0, None])
def test_profiles_that_are_refused_leave_time_for_the_look_up_itself(
    tenant: Tenant, wait: float | None
) -> None:
    tenant.faults(Fault(kind="throttle", route=ONE_LIST, retry_after=wait))
    lookup = tenant.look_up_one(tenant.app(LOOKUP_CONCURRENCY="1"), timeoutSeconds=90)
    assert "actorIndex" in stages(lookup)
    assert escalated(lookup) == ["Paper Drizzle"]


def test_two_graphs_on_one_store_never_share_a_copy(tenant: Tenant) -> None:
    tenant.app().refresh_index()
    tenant.look_up_one(tenant.app(GRAPH_API_VERSION="beta"))
    assert profiles_asked(tenant) == 12
    assert copies(tenant) == 2


def test_a_pointer_that_somebody_else_moved_is_not_overwritten(tenant: Tenant) -> None:
    app = tenant.app()
    app.refresh_index()
    (pointer,) = (tenant.folder / "state").rglob("current.json")
    with ThreadPoolExecutor(1) as threads:
        with tenant.holding(PROFILES) as hold:
            refreshing = threads.submit(app.refresh_index)
            assert hold.reached.wait(10)
            moved = json.dumps({"version": "moved"}).encode()
            pointer.write_bytes(moved)
        with pytest.raises(StoreError):
            refreshing.result(30)
    assert pointer.read_bytes() == moved


def test_actors_are_listed_by_title_and_found_by_title_or_alias(tenant: Tenant) -> None:
    app = tenant.app()
    assert [profile.title for profile in app.actors()] == [
        "Copper Mist",
        "LampLoader",
        "Marble Thunderhead",
        "Paper Drizzle",
        "Velvet Squall",
    ]
    assert app.actor(" paper  drizzle ") == app.actor("DEV-9301")


@pytest.mark.parametrize(("fault", "error"), [("gone", ApiGone), ("error", ServerFault)])
def test_actors_that_cannot_be_listed_say_why(
    tenant: Tenant, fault: str, error: type[Exception]
) -> None:
    tenant.faults(Fault(kind=fault, route="GET /graph/*"))
    with pytest.raises(error):
        tenant.app().actors()


def test_file_hashes_are_answered_from_the_copy(tenant: Tenant) -> None:
    brief = brief_of(tenant.app(), tenant.incident("invoice"))
    assert [match.hash for match in brief.hash_matches] == [LOADER]
