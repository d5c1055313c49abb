"""What the container promises, as far as that can be held without one: no rights, and a tree that stays as it is."""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest

from crmdrip.cli import cli

ROOT = Path(__file__).parents[1]
DOCKERFILE = (ROOT / "Dockerfile").read_text(encoding="utf-8")
UID = 10_001
SETPRIV = ("setpriv", f"--reuid={UID}", f"--regid={UID}", "--clear-groups", "--inh-caps=-all", "--bounding-set=-all")


def instructions() -> list[tuple[str, str]]:
    """The Dockerfile's, with continued lines joined."""
    joined = DOCKERFILE.replace("\\\n", " ")
    lines = [line for line in joined.splitlines() if line.strip() and not line.startswith("#")]
    return [(line.split(maxsplit=1)[0], line.split(maxsplit=1)[1]) for line in lines]


def value_of(name: str) -> str:
    """The last instruction of a name."""
    return [rest for word, rest in instructions() if word == name][-1]


def test_the_container_runs_as_a_user_without_rights_by_number() -> None:
    """Kubernetes' runAsNonRoot believes no name; and the user owns nothing but the volume."""
    assert value_of("USER") == f"{UID}:{UID}"
    run = value_of("RUN")
    assert f"--uid {UID}" in run
    assert f"--owner={UID} --group={UID} --mode=0700 {value_of('VOLUME')}" in " ".join(run.split())
    assert value_of("WORKDIR") == value_of("VOLUME")


def test_nothing_is_installed_or_written_by_that_user() -> None:
    """Whatever comes after USER changes no file."""
    words = [word for word, _ in instructions()]
    assert set(words[len(words) - words[::-1].index("USER") :]) <= {
        "WORKDIR", "VOLUME", "ENV", "EXPOSE", "HEALTHCHECK", "ENTRYPOINT", "CMD",
    }  # fmt: skip


def test_what_it_runs_and_asks_are_commands_there_are() -> None:
    """`crmdrip run`, and `crmdrip status --healthy`."""
    for text in (value_of("CMD"), value_of("HEALTHCHECK").partition("CMD ")[2]):
        name, *options = [word for word in shlex.split(text.strip("[]").replace(",", " ")) if word != "crmdrip"]
        command = cli.get_command(None, name)  # type: ignore[attr-defined, arg-type]  # asks nothing of the context
        assert command is not None
        assert set(options) <= {option for each in command.params for option in each.opts}


needs_root = pytest.mark.skipif(
    not hasattr(os, "geteuid") or os.geteuid() != 0 or not Path("/usr/bin/setpriv").exists(),
    reason="needs root and setpriv to become another user in a tree of its own",
)

PLAY = """\
set -e
mount -t tmpfs -o mode=0755 tmpfs /mnt
mkdir /mnt/tree /mnt/volume /mnt/python /mnt/packages
mount --bind "$1" /mnt/tree; mount -o remount,bind,ro /mnt/tree
mount --bind "$2" /mnt/volume
mount --bind "$3" /mnt/python
if [ -n "$5" ]; then mount -t tmpfs -o mode=0755 tmpfs "$5"; mkdir -p "$3"; mount --bind /mnt/python "$3"; fi
mount --bind "$4" /mnt/packages; mount -o remount,bind,ro /mnt/packages
mount -o remount,ro /mnt
cd /mnt/volume
exec {setpriv} --no-new-privs env HOME=/mnt/volume TMPDIR=/mnt/volume PYTHONDONTWRITEBYTECODE=1 \
    PYTHONPATH=/mnt/tree:/mnt/packages "$3/bin/python3" /mnt/tree/play.py
"""
"""In a mount namespace of its own: a tree, a Python and a volume, of which the last alone can be written."""

PROGRAM = f"""\
import os, pathlib, sys
assert os.getuid() == {UID}
caps = [line.split()[1] for line in open("/proc/self/status") if line.startswith(("CapEff", "CapBnd"))]
assert [int(one, 16) for one in caps] == [0, 0], caps
from crmdrip import cli
assert pathlib.Path(cli.__file__).is_relative_to("/mnt/tree"), cli.__file__
try:
    open("/mnt/tree/x", "w")
except OSError:
    sys.exit(cli.run(["demo", "--no-serve", "--people", "20", "--days", "2"]))
"""


@pytest.mark.slow
@needs_root
def test_the_package_works_for_that_user_in_a_tree_that_cannot_be_written(tmp_path: Path) -> None:
    """P1: the demo's daemon, ledger and promises, without a capability, with one folder to write in."""
    tree, volume = tmp_path / "tree", tmp_path / "volume"
    tree.mkdir()
    volume.mkdir(mode=0o700)
    os.chown(volume, UID, UID)
    for name in ("crmdrip", "connectors", "mappings"):
        subprocess.run(["cp", "-r", str(ROOT / name), str(tree)], check=True)
    (tree / "play.py").write_text(PROGRAM, encoding="utf-8")
    above = reversed(Path(sys.base_prefix).parents)
    # Where a Python is in somebody's home, that is another one in there, with nothing but this Python.
    hidden = next((str(one) for one in above if not one.stat().st_mode & 0o001), "")
    packages = sysconfig.get_path("purelib")
    script = PLAY.format(setpriv=" ".join(SETPRIV))
    done = subprocess.run(
        ["unshare", "--mount", "sh", "-c", script, "sh", str(tree), str(volume), sys.base_prefix, packages, hidden],
        capture_output=True, text=True, check=False, timeout=240,
    )  # fmt: skip
    if done.returncode and done.stderr.startswith(("unshare", "mount", "setpriv")):
        pytest.skip(f"no mounts of one's own here: {done.stderr.splitlines()[0]}")
    assert done.returncode == 0, done.stderr[-2_000:]
    assert "All promises held." in done.stderr
