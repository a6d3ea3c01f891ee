"""The grammar of keys, by property."""

from hypothesis import given, settings
from hypothesis import strategies as st

from mdti.store.base import check_key, check_prefix

SEGMENT = st.from_regex(r"[a-z0-9_-]([a-z0-9._-]{0,20}[a-z0-9_-])?", fullmatch=True)


@settings(deadline=None, max_examples=200)
@given(st.lists(SEGMENT, min_size=1, max_size=6))
def test_a_key_and_everything_it_begins_with_is_accepted(segments: list[str]) -> None:
    key = "/".join(segments)
    assert check_key(key) == key
    for length in range(len(key) + 1):
        assert check_prefix(key[:length]) == key[:length]


@settings(deadline=None, max_examples=300)
@given(st.text(alphabet="ab/.-_\\A%\x00 é", max_size=12))
def test_an_accepted_key_stays_inside_its_folder_and_is_not_hidden(text: str) -> None:
    try:
        key = check_key(text)
    except ValueError:
        return
    assert set(key) <= set("ab/.-_")
    assert all(part and part[0] != "." and part[-1] != "." for part in key.split("/"))
