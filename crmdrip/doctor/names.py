"""The names in DNS: who may send for the senders' domains, where answers go, and where links lead.

Only ever warns: a name server may be wrong or out of reach, and the mail may flow nevertheless.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from typing import Any
from urllib.parse import urlsplit

import dns.exception
import dns.resolver

from crmdrip.core.freemail import is_free_mail
from crmdrip.ports import CheckResult
from crmdrip.ports.finding import ok, warn
from crmdrip.settings import is_loopback

_CANARY = "com."
"""Asked first: a resolver that does not know it knows nothing, and every name would look missing."""
_SECONDS = 5.0
_RESERVED = ("example", "test", "invalid", "localhost", "local", "internal")
"""Top-level names that never stand in public DNS (RFC 2606, RFC 6762, ICANN's private-use name)."""


class Names:
    """Looks names up, in the machine's own resolver unless another is given."""

    def __init__(self, servers: tuple[str, ...] = (), port: int = 53) -> None:
        """Ask the servers, or those of this machine. Raises nothing: a machine without any answers no question."""
        try:
            self._resolver = dns.resolver.Resolver(configure=not servers)
        except dns.resolver.NoResolverConfiguration:
            self._resolver = dns.resolver.Resolver(configure=False)
        if servers:
            self._resolver.nameservers = list(servers)
            self._resolver.port = port
        self._resolver.lifetime = _SECONDS

    def answers(self) -> bool:
        """Whether names can be looked up here at all."""
        try:
            self._resolver.resolve(_CANARY, "SOA")
        except dns.exception.DNSException:
            return False
        return True

    def texts(self, name: str) -> tuple[str, ...]:
        """The TXT records of a name, () when there is none. Raises DNSException when that cannot be told."""
        return tuple(b"".join(record.strings).decode("utf-8", "replace") for record in self._ask(name, "TXT"))

    def mail_servers(self, name: str) -> tuple[str, ...]:
        """The hosts that take a domain's mail, the preferred first. Raises as texts."""
        found = sorted((each.preference, each.exchange.to_text(omit_final_dot=True)) for each in self._ask(name, "MX"))
        return tuple(host for _, host in found if host != ".")  # "." alone takes no mail (RFC 7505)

    def exists(self, host: str) -> bool:
        """Whether a host has an address. Raises as texts."""
        return bool(self._ask(host, "A") or self._ask(host, "AAAA"))

    def _ask(self, name: str, kind: str) -> list[Any]:
        try:
            return list(self._resolver.resolve(name, kind, search=False))
        except (dns.resolver.NXDOMAIN, dns.resolver.NoAnswer):
            return []


def check_names(senders: Collection[str], replies: str, links: str, names: Names) -> Iterator[CheckResult]:
    """Everything of ours that stands in DNS.

    senders: addresses that emails come from. replies: the domain that answers go to, "" for none. links: the URL that
    unsubscribe links begin with.
    """
    domains = sorted({sender.rpartition("@")[2].lower() for sender in senders} - {""})
    private = [domain for domain in domains if is_free_mail(domain)]
    domains = [domain for domain in domains if domain not in private and _is_public(domain)]
    host = urlsplit(links).hostname or ""
    for domain in private:
        yield warn(
            "DNS-DMARC",
            f"emails come from {domain}, which lets nobody else send for it: they land in spam or are refused.",
            "Send from a domain of your own.",
        )
    if not domains and not _is_public(host) and not _is_public(replies):
        yield ok("DNS-REACH", "no public name to look up.")
        return
    if not names.answers():
        yield warn(
            "DNS-REACH",
            "names cannot be looked up from here: SPF, DMARC and where answers go were not checked.",
            "Run crmdrip doctor where DNS can be asked.",
        )
        return
    yield ok("DNS-REACH", "names can be looked up.")
    for domain in domains:
        yield from _try("DNS-SPF", domain, _check_spf(domain, names))
        yield from _try("DNS-DMARC", domain, _check_dmarc(domain, names))
    if _is_public(replies):
        yield from _try("DNS-REPLIES", replies, _check_replies(replies, names))
    if _is_public(host):
        yield from _try("DNS-LINKS", host, _check_links(host, names))


def _is_public(name: str) -> bool:
    return "." in name and name.rpartition(".")[2] not in _RESERVED and not is_loopback(name)


def _try(code: str, name: str, checks: Iterator[CheckResult]) -> Iterator[CheckResult]:
    try:
        yield from checks
    except dns.exception.DNSException as error:
        yield warn(code, f"{name} cannot be looked up ({type(error).__name__}).", "Try again, or ask who runs its DNS.")


def _check_spf(domain: str, names: Names) -> Iterator[CheckResult]:
    found = [text for text in names.texts(domain) if text.lower().split(" ")[0] == "v=spf1"]
    if len(found) == 1:
        yield ok("DNS-SPF", f"{domain} says who may send for it: {found[0]}")
    elif found:
        yield warn(
            "DNS-SPF",
            f"{domain} has {len(found)} SPF records, and receivers take that for an error (RFC 7208, 3.2).",
            "Merge them into a single TXT record.",
        )
    else:
        yield warn(
            "DNS-SPF",
            f"{domain} does not say who may send for it.",
            "Add a TXT record, such as v=spf1 include:<your mail provider> ~all, as the provider tells.",
        )


def _check_dmarc(domain: str, names: Names) -> Iterator[CheckResult]:
    # A parent's record counts for its children (RFC 7489, 6.6.3).
    labels = domain.split(".")
    for start in range(len(labels) - 1):
        parent = ".".join(labels[start:])
        found = [text for text in names.texts(f"_dmarc.{parent}") if text.lower().startswith("v=dmarc1")]
        if len(found) == 1:
            yield ok("DNS-DMARC", f"{domain} has a DMARC policy at _dmarc.{parent}: {found[0]}")
            return
        if found:
            yield warn("DNS-DMARC", f"_dmarc.{parent} has {len(found)} policies: none counts.", "Keep a single one.")
            return
    yield warn(
        "DNS-DMARC",
        f"{domain} has no DMARC policy; Gmail and Yahoo ask for one from whoever sends in bulk.",
        f'Add a TXT record at _dmarc.{domain}, to begin with "v=DMARC1; p=none".',
    )


def _check_replies(domain: str, names: Names) -> Iterator[CheckResult]:
    if hosts := names.mail_servers(domain):
        yield ok("DNS-REPLIES", f"answers to {domain} go to {', '.join(hosts)}.")
    else:
        yield warn(
            "DNS-REPLIES",
            f"nobody takes mail for {domain}: every answer bounces.",
            f"Add an MX record for {domain} as your mail provider tells (docs/door.md).",
        )


def _check_links(host: str, names: Names) -> Iterator[CheckResult]:
    if names.exists(host):
        yield ok("DNS-LINKS", f"{host}, where unsubscribe links lead, has an address.")
    else:
        yield warn(
            "DNS-LINKS",
            f"{host} has no address: unsubscribe links lead nowhere.",
            "Add an A, AAAA or CNAME record for it, or correct [unsubscribe] base_url.",
        )
