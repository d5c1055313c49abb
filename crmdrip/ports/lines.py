"""Lines that are dead without a word: what nobody acknowledges for a while does not arrive later, either.

A cut line closes no connection. Whoever gives up waiting and closes leaves to the kernel what was not acknowledged,
and Linux sends that again for a quarter of an hour. Once the line is back, a status would be written over a newer one
(P3), or an email be accepted long after its last look (P4).
"""

from __future__ import annotations

import socket

AWAY = 20.0
"""Seconds after which a line that acknowledges nothing counts as cut."""


def give_up(timeout: float) -> list[tuple[int, int, int]]:
    """The options of a socket whose user waits so many seconds for an answer: it gives up first.

    Where the system has no such option (macOS, Windows) there are none. RFC 5482; Linux's tcp(7), TCP_USER_TIMEOUT.
    """
    if not hasattr(socket, "TCP_USER_TIMEOUT"):
        return []
    return [(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, int(1000 * min(AWAY, timeout / 2)))]
