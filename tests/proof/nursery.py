"""A process that has imported everything and forks each `crmdrip run`, so that its second of importing is spent once.

What it forks is a process of its own all the same, with nothing opened yet: the ledger, the connections and the threads
are its own, and so is its death. Run as a program it takes one order a line from standard input.
"""

from __future__ import annotations

import atexit
import ctypes
import importlib
import json
import os
import pkgutil
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import Any, NoReturn

ROOT = Path(__file__).parents[2]
PACKAGES = ("crmdrip.daemon", "crmdrip.ledger", "crmdrip.commands", "connectors.salesforce", "connectors.hubspot")
PACKAGES += ("connectors.sendgrid",)
_PR_SET_PDEATHSIG = 1
"""Of prctl(2): the signal that a process gets when its parent dies."""


class Born:
    """A forked process, with as much of subprocess.Popen as a play needs."""

    def __init__(self, nursery: Nursery, pid: int) -> None:
        self._nursery = nursery
        self.pid = pid
        self.returncode: int | None = None

    def poll(self) -> int | None:
        """How it ended, None while it has not."""
        if self.returncode is None:
            self.returncode = self._nursery.ask(poll=self.pid)
        return self.returncode

    def wait(self) -> int | None:
        """As poll, once it has ended."""
        if self.returncode is None:
            self.returncode = self._nursery.ask(wait=self.pid)
        return self.returncode

    def kill(self) -> None:
        """SIGKILL, unless it has ended and nobody else may have its number by now."""
        if self.poll() is None:
            os.kill(self.pid, signal.SIGKILL)


class Nursery:
    """The parent of the processes of one worker."""

    def __init__(self) -> None:
        path = f"{ROOT / 'tests' / 'proof' / 'doomed'}{os.pathsep}{ROOT}"
        self._process = subprocess.Popen(
            [sys.executable, __file__],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, "PYTHONPATH": path},
        )
        atexit.register(self._end)

    def _end(self) -> None:
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait()

    def ask(self, **order: Any) -> Any:
        """What it answers to an order."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(f"{json.dumps(order)}\n")
        self._process.stdin.flush()
        return json.loads(self._process.stdout.readline())

    def run(self, arguments: Sequence[str], folder: Path, environment: Mapping[str, str], errors: Path) -> Born:
        """`crmdrip ARGUMENTS` in that folder, with standard error in that file."""
        order = {"arguments": list(arguments), "folder": str(folder), "environment": dict(environment)}
        return Born(self, self.ask(**order, errors=str(errors)))


@cache
def nursery() -> Nursery:
    """One for all plays of the process."""
    return Nursery()


# the program


def _import_all() -> None:
    for name in PACKAGES:
        package = importlib.import_module(name)
        for module in pkgutil.walk_packages(package.__path__, f"{name}."):
            if "migrations" not in module.name:
                with suppress(ImportError):  # of what is optional and not there
                    importlib.import_module(module.name)


def _become(order: Mapping[str, Any]) -> NoReturn:
    """The new process."""
    import sitecustomize  # the one of doomed, which only this program has on its path

    with suppress(OSError, AttributeError):  # on Linux: whoever is left behind dies
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    os.chdir(order["folder"])
    os.environ.update(order["environment"])
    nothing = os.open(os.devnull, os.O_RDWR)
    errors = os.open(order["errors"], os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    for number, file in enumerate((nothing, nothing, errors)):
        os.dup2(file, number)
    sitecustomize.doom(os.environ)
    from crmdrip.cli import main

    sys.argv = ["crmdrip", *order["arguments"]]
    sys.exit(main())


def _answer(value: int | None) -> None:
    sys.stdout.write(f"{json.dumps(value)}\n")
    sys.stdout.flush()


def _obey() -> None:
    for line in sys.stdin:
        order = json.loads(line)
        if "poll" in order or "wait" in order:
            pid = order.get("poll") or order["wait"]
            ended, status = os.waitpid(pid, os.WNOHANG if "poll" in order else 0)
            _answer(os.waitstatus_to_exitcode(status) if ended else None)
            continue
        pid = os.fork()
        if not pid:
            _become(order)
        _answer(pid)


if __name__ == "__main__":
    _import_all()
    _obey()
