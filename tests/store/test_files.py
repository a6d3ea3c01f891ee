"""What only files can do wrong: crashes between two steps, other processes, a bad directory."""

import json
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from mdti.errors import LeaseLost, StoreError
from mdti.store.files import FileStore
from tests.store.backends import Clock

_OPEN = """
import os, sys
from datetime import UTC, datetime
from pathlib import Path
from mdti.errors import WriteConflict
from mdti.store.files import FileStore
store = FileStore(Path(sys.argv[1]), clock=lambda: datetime(2026, 11, 21, tzinfo=UTC))
"""
_CRASHED = 9


def start(root: Path, script: str) -> "subprocess.Popen[bytes]":
    code = _OPEN + textwrap.dedent(script)
    return subprocess.Popen([sys.executable, "-c", code, str(root)], cwd=Path.cwd())


def crash(root: Path, script: str) -> None:
    assert start(root, script).wait() == _CRASHED


@pytest.fixture
def store(tmp_path: Path) -> FileStore:
    return FileStore(tmp_path / "state", clock=Clock())


def root_of(store: FileStore, tmp_path: Path) -> Path:
    store.write("made", b"")
    return tmp_path / "state"


def body_of(store: FileStore, key: str) -> bytes | None:
    stored = store.read(key)
    return stored.body if stored else None


def test_two_processes_that_count_on_the_same_key_lose_no_step(tmp_path: Path) -> None:
    store = FileStore(tmp_path, clock=Clock())
    store.write("counter", b"0")
    count = """
    done = 0
    while done < 60:
        stored = store.read("counter")
        try:
            store.write("counter", b"%d" % (int(stored.body) + 1), if_match=stored.etag)
        except WriteConflict:
            continue
        done += 1
    """

    runs = [start(tmp_path, count) for _ in range(2)]

    assert [run.wait() for run in runs] == [0, 0]
    assert body_of(store, "counter") == b"120"


def test_two_processes_that_append_leave_whole_records(tmp_path: Path) -> None:
    append = """
    for number in range(60):
        store.append("journal", b"%d:%d\\n" % (os.getpid(), number))
    """

    runs = [start(tmp_path, append) for _ in range(2)]

    assert [run.wait() for run in runs] == [0, 0]
    lines = (body_of(FileStore(tmp_path, clock=Clock()), "journal") or b"").decode().splitlines()
    by_process: dict[str, list[int]] = {}
    for line in lines:
        process, number = line.split(":")
        by_process.setdefault(process, []).append(int(number))
    assert list(by_process.values()) == [list(range(60))] * 2


def test_a_crash_between_the_new_file_and_its_renaming_keeps_the_old_body(tmp_path: Path) -> None:
    store = FileStore(tmp_path, clock=Clock())
    store.write("a/state", b"old")

    crash(
        tmp_path,
        f"""
        Path.replace = lambda new, target: os._exit({_CRASHED})
        store.write("a/state", b"new")
        """,
    )

    assert body_of(store, "a/state") == b"old"
    assert list(store.list_("")) == ["a/state"]
    store.write("a/state", b"newer")
    assert body_of(store, "a/state") == b"newer"
    assert sorted(path.name for path in tmp_path.iterdir()) == [".lock", "a"]


@pytest.mark.parametrize("call", [1, 2, 3, 4])
def test_a_crash_anywhere_in_an_append_leaves_all_or_nothing_of_it(
    tmp_path: Path, call: int
) -> None:
    store = FileStore(tmp_path, clock=Clock())
    store.append("journal", b"one\n")

    # An append flushes four times: the note, its folder, the file, the folder without the note.
    crash(
        tmp_path,
        f"""
        left = {call}
        flush = os.fsync
        def fsync(descriptor):
            global left
            left -= 1
            if not left:
                os._exit({_CRASHED})
            flush(descriptor)
        os.fsync = fsync
        store.append("journal", b"two\\n")
        """,
    )

    assert body_of(store, "journal") == (b"one\ntwo\n" if call == 4 else b"one\n")
    store.append("journal", b"three\n")
    assert body_of(store, "journal") == (b"one\ntwo\nthree\n" if call == 4 else b"one\nthree\n")


def test_a_torn_append_is_cut_off_before_anybody_reads_it(store: FileStore, tmp_path: Path) -> None:
    store.append("journal", b"one\n")
    root = root_of(store, tmp_path)
    (root / ".append").write_text(json.dumps({"key": "journal", "length": 4}))
    with (root / "journal").open("ab") as file:
        file.write(b"tw")

    assert body_of(store, "journal") == b"one\n"
    assert not (root / ".append").exists()


def test_a_holder_that_nobody_replaced_may_go_on_after_its_term(tmp_path: Path) -> None:
    clock = Clock()
    store = FileStore(tmp_path, clock=clock)
    lease = store.lease("feed", seconds=15)
    clock.forward(seconds=15)
    with pytest.raises(LeaseLost):
        lease.check()

    lease.renew()

    lease.check()
    with pytest.raises(LeaseLost):
        store.lease("feed")


def test_deleting_a_key_forgets_its_lease_and_empty_folders(tmp_path: Path) -> None:
    clock = Clock()
    store = FileStore(tmp_path, clock=clock)
    store.write("jobs/1/job", b"")
    store.write("jobs/2/job", b"")
    store.lease("jobs/1/job")
    clock.forward(seconds=60)

    store.delete("jobs/1/job")

    assert not (tmp_path / "jobs" / "1").exists()
    assert not (tmp_path / ".leases").exists()
    assert (tmp_path / "jobs" / "2" / "job").exists()


def test_a_holder_from_before_a_delete_is_not_taken_for_the_next_one(tmp_path: Path) -> None:
    clock = Clock()
    store = FileStore(tmp_path, clock=clock)
    stale = store.lease("feed")
    clock.forward(seconds=60)
    store.delete("feed")
    store.lease("feed")

    with pytest.raises(LeaseLost):
        stale.renew()


def test_state_is_readable_by_its_owner_alone(store: FileStore, tmp_path: Path) -> None:
    root = root_of(store, tmp_path)
    store.write("a/b", b"")

    assert root.stat().st_mode & 0o077 == 0
    assert (root / "a" / "b").stat().st_mode & 0o077 == 0


def test_a_directory_that_cannot_be_used_is_a_store_error_that_names_the_setting(
    tmp_path: Path,
) -> None:
    (tmp_path / "file").write_bytes(b"")
    store = FileStore(tmp_path / "file", clock=Clock())

    with pytest.raises(StoreError, match="cannot be used") as caught:
        store.read("a")
    assert "MDTI_STATE_DIR" in (caught.value.hint or "")


def test_a_key_below_another_key_is_a_store_error(store: FileStore) -> None:
    store.write("a", b"1")

    with pytest.raises(StoreError):
        store.write("a/b", b"2")
    assert body_of(store, "a") == b"1"
