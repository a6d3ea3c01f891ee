from datetime import UTC, datetime

from mdti.listing import checks_text, profile_text, profiles_text
from mdti.models import IntelProfile
from mdti.status import Check

PROFILES = (
    IntelProfile(
        id="abc",
        kind="actor",
        title="Paper \x1b[31mDrizzle",
        aliases=("DEV-9301", "x" * 80),
        first_active=datetime(2021, 2, 20, tzinfo=UTC),
        summary="It steals price lists. " * 9,
        tradecraft="one\n\ntwo",
    ),
    IntelProfile(id="../x", kind="tool", title="LampLoader"),
)


def test_profiles_are_one_line_each_and_never_wrap() -> None:
    lines = profiles_text(PROFILES, width=60, colour=False).splitlines()
    assert len(lines) == 4
    assert lines[1].split() == ["LampLoader", "tool"]
    assert lines[3] == "2 intel profiles"
    assert max(map(len, lines)) <= 60
    assert profiles_text(PROFILES[:1], width=60, colour=False).endswith("1 intel profile\n")
    assert profiles_text((), width=60, colour=False) == "\n0 intel profiles\n"


def test_a_profile_shows_what_is_published_and_only_links_to_microsoft() -> None:
    shown = profile_text(PROFILES[0], width=60, colour=False)
    assert "active since  2021-02-20" in shown
    assert "https://security.microsoft.com/intel-profiles/abc" in shown
    assert shown.index("Summary") < shown.index("Tradecraft")
    assert "Description" not in shown
    assert "  one\n  two\n" in shown
    assert profile_text(PROFILES[1], width=60, colour=False) == "LampLoader\n  kind          tool\n"


def test_outside_text_brings_no_escape_sequence() -> None:
    assert "\x1b" not in profiles_text(PROFILES, width=60, colour=False)
    assert "\x1b" not in profile_text(PROFILES[0], width=60, colour=False)
    assert "\x1b[31m" not in profile_text(PROFILES[0], width=60, colour=True)


def test_a_check_that_failed_for_the_same_reason_says_so_and_not_again() -> None:
    checks = (
        Check("store", "ok", "Works."),
        Check("token", "failed", "No token for https://graph.microsoft.com.", "Sign in."),
        Check("permission", "failed", "No token for https://graph.microsoft.com.", "Sign in."),
    )
    assert checks_text(checks, width=90, colour=False).splitlines() == [
        "ok       store               Works.",
        "failed   token               No token for https://graph.microsoft.com.",
        "                             → Sign in.",
        "failed   permission          As `token`.",
    ]
    assert checks_text(checks, width=90, colour=True).startswith("\x1b[32mok       \x1b[0m")


def test_messages_stand_below_each_other_however_long_a_name_is() -> None:
    checks = (Check("store", "ok", "Works."), Check("feed opencti-to-defender", "ok", "Finished."))
    first, second = checks_text(checks, width=90, colour=False).splitlines()
    assert first.index("Works.") == second.index("Finished.")
