from typing import Any

import pytest

from mdti.sandbox import hunting
from mdti.sandbox.world import World
from tests.sandbox.conftest import NOW, Caller

TABLE = hunting.TABLE


@pytest.fixture
def world() -> World:
    world = World(NOW)
    world.vulnerability("CVE-2099-00001", machines=("wks-1", "wks-2", "wks-3"))
    world.vulnerability("CVE-2099-00002", machines=("wks-2",))
    world.vulnerability("CVE-2099-00003")
    return world


def results(query: str, world: World) -> list[dict[str, Any]]:
    found = hunting.run(query, world)["results"]
    assert isinstance(found, list)
    return found


def test_machines_are_counted_per_cve(world: World) -> None:
    query = f"""{TABLE}
        | where CveId in~ ("cve-2099-00001", "CVE-2099-00002", "CVE-2099-00003") // three
        | summarize Machines = dcount(DeviceId), Examples = make_set(DeviceName, 2) by CveId
        | order by Machines desc
        | take 10;"""

    assert results(query, world) == [
        {"CveId": "CVE-2099-00001", "Machines": 3, "Examples": ["wks-1", "wks-2"]},
        {"CveId": "CVE-2099-00002", "Machines": 1, "Examples": ["wks-2"]},
    ]


@pytest.mark.parametrize(
    ("steps", "expected"),
    [
        ("summarize count()", [{"count_": 4}]),
        ("distinct DeviceName | sort by DeviceName asc | take 1", [{"DeviceName": "wks-1"}]),
        ("top 1 by CveId | project CveId", [{"CveId": "CVE-2099-00002"}]),
        ("summarize make_list(DeviceName, 1)", [{"make_list_DeviceName": ["wks-1"]}]),
        ("where CveId == 'CVE-2099-00003'", []),
        (
            "summarize any(DeviceName) by CveId | limit 1",
            [{"CveId": "CVE-2099-00001", "DeviceName": "wks-1"}],
        ),
    ],
)
def test_the_steps_do_what_they_say(
    world: World, steps: str, expected: list[dict[str, Any]]
) -> None:
    assert results(f"{TABLE} | {steps}", world) == expected


@pytest.mark.parametrize(
    "query",
    [
        "SecretTable | take 1",
        f"{TABLE} | evaluate bag_unpack(x)",
        f"{TABLE} | project Nonsense",
        f"{TABLE} | take many",
        f"{TABLE} | summarize percentile(DeviceId, 5)",
        f"{TABLE} | summarize nonsense",
        f"{TABLE} | where DeviceName == 'wks-1'",
    ],
)
def test_what_cannot_be_read_is_a_400(caller: Caller, world: World, query: str) -> None:
    with pytest.raises(hunting.BadQuery):
        hunting.run(query, world)
    assert caller.post("/security/runHuntingQuery", {"Query": query}).status_code == 400


def test_a_body_without_a_query_is_a_400(caller: Caller) -> None:
    documents: tuple[object, ...] = ({}, [], "x")
    for document in documents:
        assert caller.post("/security/runHuntingQuery", document).status_code == 400


def test_device_ids_tell_machines_apart(world: World) -> None:
    rows = results(TABLE, world)

    assert len({row["DeviceId"] for row in rows}) == 3
    assert {len(row["DeviceId"]) for row in rows} == {40}
