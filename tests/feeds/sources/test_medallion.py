"""Our reading of TAXII 2.1 against a server that others wrote, and our own server against it."""

import base64
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import requests

from mdti.errors import ApiError, Missing, Unauthorized
from mdti.feeds.ports import Batch
from mdti.feeds.sources.taxii import TaxiiSource
from mdti.sandbox import taxii as vendor
from tests.feeds.rig import VALUES
from tests.feeds.sources.medallion import COLLECTION, Medallion, medallion
from tests.feeds.sources.mirror import Mirror
from tests.feeds.sources.rig_taxii import TaxiiRig, stix


@pytest.fixture
def taxii() -> Iterator[TaxiiRig]:
    rig = TaxiiRig()
    with rig.running():
        yield rig


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Medallion]:
    with medallion(tmp_path_factory.mktemp("medallion")) as running:
        yield running


def test_a_server_that_others_wrote_is_read_and_read_on(taxii: TaxiiRig, server: Medallion) -> None:
    def read(mirror: Mirror, *, full: bool = False) -> list[Batch]:
        source = TaxiiSource(
            url=server.root,
            collections=[COLLECTION],
            authorization=server.authorization,
            transport=taxii.transport,
            values=VALUES,
            page=3,
        )
        return list(source.read(mirror.cursor, full=full, deadline=taxii.deadline()))

    mirror = Mirror().apply(read(Mirror()))
    assert mirror.keys() == set()
    server.publish(*(stix(number) for number in range(10)))
    mirror.apply(read(mirror))
    assert mirror.values() == {f"host-{number}.example" for number in range(10)}

    later = "2026-11-02T00:00:00.000Z"
    server.publish(
        stix(3, modified=later, revoked=True),
        stix(4, modified=later, pattern="[domain-name:value = 'moved.example']"),
        stix(99),
    )
    mirror.apply(read(mirror))
    expected = {f"host-{number}.example" for number in (0, 1, 2, 5, 6, 7, 8, 9, 99)}
    assert mirror.values() == expected | {"moved.example"}

    batches = read(Mirror(), full=True)
    assert batches[-1].phase == "snapshot_end"
    for index in range(len(batches)):
        resumed = Mirror().apply(batches[: index + 1])
        again = resumed.apply(read(resumed))
        assert again.values() == expected | {"moved.example"}


@pytest.mark.parametrize(
    ("change", "error"),
    [
        ({"authorization": "Basic bm9ib2R5Ong="}, Unauthorized),
        ({"collections": ["5a7d0b0e-0000-4000-8000-000000000000"]}, Missing),
    ],
)
def test_a_server_that_others_wrote_refuses_as_expected(
    taxii: TaxiiRig, server: Medallion, change: dict[str, Any], error: type[ApiError]
) -> None:
    known: dict[str, Any] = {
        "url": server.root,
        "collections": [COLLECTION],
        "authorization": server.authorization,
        "transport": taxii.transport,
        "values": VALUES,
    }
    source = TaxiiSource(**known | change)

    with pytest.raises(error) as caught:
        list(source.read(None, full=False, deadline=taxii.deadline()))
    assert caught.value.hint


def test_the_sandbox_answers_in_the_form_of_a_server_that_others_wrote(
    taxii: TaxiiRig, tmp_path: Path
) -> None:
    """Same questions to both: the same envelopes, headers and statuses."""

    def forms(root: str, authorization: str, collection: str) -> list[object]:
        seen: list[object] = []
        with requests_session() as session:
            token = ""
            for _ in range(3):
                options = f"match[type]=indicator&limit=2{token}"
                answer = session.get(
                    f"{root}/collections/{collection}/objects/?{options}",
                    headers={"Authorization": authorization, "Accept": vendor.MEDIA_TYPE},
                    timeout=10,
                )
                envelope = answer.json()
                dates = {name for name in answer.headers if name.startswith("X-TAXII-Date")}
                kind = answer.headers["content-type"].replace(" ", "")
                seen.append((answer.status_code, sorted(envelope), len(envelope["objects"]), kind))
                seen.append("X-TAXII-Date-Added-First" in dates)
                if "next" not in envelope:
                    break
                token = f"&next={envelope['next']}"
            for headers in ({"Accept": vendor.MEDIA_TYPE}, {"Authorization": authorization}):
                url = f"{root}/collections/{collection}/objects/"
                bad = {"Accept": "text/plain"} | headers
                seen.append(session.get(url, headers=bad, timeout=10).status_code)
        return seen

    for number in range(5):
        taxii.vendor.put_object(stix(number))
    ours = forms(
        taxii.sandbox.environment()["TAXII_URL"],
        basic(vendor.USER, vendor.PASSWORD),
        vendor.COLLECTION,
    )
    with medallion(tmp_path) as other:
        other.publish(*(stix(number) for number in range(5)))
        theirs = forms(other.root, other.authorization, COLLECTION)

    assert [drop_more(form) for form in ours] == [drop_more(form) for form in theirs]


def basic(user: str, password: str) -> str:
    return f"Basic {base64.b64encode(f'{user}:{password}'.encode()).decode()}"


def requests_session() -> requests.Session:
    session = requests.Session()
    session.trust_env = False
    return session


def drop_more(form: object) -> object:
    """The last page may say `more: false` or nothing."""
    if isinstance(form, tuple):
        status, names, size, kind = form
        return status, [name for name in names if name != "more"], size, kind
    return form
