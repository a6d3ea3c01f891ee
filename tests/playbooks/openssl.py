"""OpenSSL 1.1 for the .NET runtime of the Logic Apps engine, which current systems no longer ship.

The libraries come out of one pinned wheel of `psycopg2-binary`, checked by its hash. The wheel is
downloaded and unpacked, never installed: it exists for Python up to 3.11 only, its libraries do
not depend on Python. `python -m tests.playbooks.openssl` fetches them ahead of the tests.
"""

import shutil
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

_REQUIREMENT = (
    "psycopg2-binary==2.9.5 "
    "--hash=sha256:bcda1c84a1c533c528356da5490d464a139b6e84eb77cc0b432e38c5c6dd7882\n"
)
_DOWNLOAD = (
    *("download", "--quiet", "--no-deps", "--require-hashes", "--only-binary", ":all:"),
    *("--python-version", "3.11", "--platform", "manylinux2014_x86_64"),
)
_NAMES = ("libssl", "libcrypto")


class OpenSslUnavailable(Exception):
    """The libraries are not there and could not be fetched; the message says why."""


def folder() -> Path:
    """The folder that holds the libraries, fetched when it does not exist.

    Raises `OpenSslUnavailable`.
    """
    target = Path(sys.prefix) / "lib" / "openssl-1.1"
    if target.is_dir():
        return target
    with tempfile.TemporaryDirectory() as scratch:
        wheel = _download(Path(scratch))
        staged = Path(tempfile.mkdtemp(dir=target.parent))
        try:
            _unpack(wheel, staged)
            staged.rename(target)
        except OSError as error:
            shutil.rmtree(staged, ignore_errors=True)
            if not target.is_dir():
                raise OpenSslUnavailable(f"cannot write {target}: {error}") from error
    return target


def _download(scratch: Path) -> Path:
    requirements = scratch / "requirements.txt"
    requirements.write_text(_REQUIREMENT, encoding="utf-8")
    done = subprocess.run(
        [sys.executable, "-m", "pip", *_DOWNLOAD, "--dest", str(scratch), "-r", str(requirements)],
        capture_output=True,
        text=True,
        check=False,
    )
    wheels = list(scratch.glob("*.whl"))
    if done.returncode or not wheels:
        raise OpenSslUnavailable(
            f"pip could not download OpenSSL 1.1: {done.stderr.strip()[-300:]}"
        )
    return wheels[0]


def _unpack(wheel: Path, target: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        for member in archive.namelist():
            name = Path(member).name
            stem = name.split("-")[0]
            if stem not in _NAMES:
                continue
            (target / name).write_bytes(archive.read(member))
            (target / f"{stem}.so.1.1").symlink_to(name)


if __name__ == "__main__":
    print(folder())
