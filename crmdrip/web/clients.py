"""Who a request comes from, as far as that can be known: the peer, or what a trusted web server before us says.

X-Forwarded-For is a list to which each web server adds whom it was asked by. Only what a trusted one added counts: a
stranger may write any beginning of it.
"""

from __future__ import annotations

from collections.abc import Iterable
from ipaddress import IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network

from starlette.requests import Request

FORWARDED_FOR = "x-forwarded-for"
_HEADER = 2_000
"""Characters of the header that are looked at, from its end."""
_ENTRIES = 20
_SUBNET = 64
"""Bits of an IPv6 address: whoever has one has all addresses of its network."""

Network = IPv4Network | IPv6Network


def read_networks(texts: Iterable[str]) -> tuple[Network, ...]:
    """Addresses and networks ("127.0.0.1", "10.0.0.0/8"). Raises ValueError for what is neither."""
    return tuple(ip_network(text) for text in texts)


class Clients:
    """Tells clients apart."""

    def __init__(self, trusted: Iterable[Network]) -> None:
        """trusted: the web servers before us, whose X-Forwarded-For is believed."""
        self._trusted = tuple(trusted)

    def is_trusted(self, host: str) -> bool:
        """Whether it is one of the web servers before us."""
        try:
            address = ip_address(host)
        except ValueError:
            return False
        if isinstance(address, IPv6Address) and address.ipv4_mapped is not None:
            address = address.ipv4_mapped
        return any(address in network for network in self._trusted)

    def of(self, request: Request) -> str:
        """The client's address, of IPv6 its network; "" where a web server of ours does not say."""
        peer = request.client.host if request.client is not None else ""
        if not self.is_trusted(peer):
            return _shared(peer)
        said = ",".join(request.headers.getlist(FORWARDED_FOR))[-_HEADER:]
        for entry in reversed([one.strip() for one in said.split(",")][-_ENTRIES:]):
            if not self.is_trusted(entry):
                return _shared(entry)
        return ""


def _shared(host: str) -> str:
    """The part of an address that one client has to itself; "" for what is none."""
    try:
        address = ip_address(host.strip("[]"))
    except ValueError:
        return ""
    if isinstance(address, IPv6Address):
        if address.ipv4_mapped is not None:
            return str(address.ipv4_mapped)
        return str(ip_network((int(address), _SUBNET), strict=False))
    return str(address)
