"""Whose emails an account sends: authenticated domains and verified single senders, and the two lists of them.

Shapes after the vendor's reference, "List all authenticated domains" and "Get All Verified Senders". Which permission
the second wants is not documented; here it wants the first's.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from crmdrip.sandbox.http import Request, Response, json_response

SCOPE = "whitelabel.read"


class Identities:
    """Domains and senders. A domain in `pending` was entered, and its CNAME records are not in DNS yet."""

    def __init__(self, domains: Iterable[str], senders: Iterable[str]) -> None:
        self.domains = {domain.lower() for domain in domains}
        self.senders = {address.lower() for address in senders}
        self.pending: set[str] = set()

    def allow(self, address: str) -> bool:
        """Whether mail may be from the address."""
        address = address.lower()
        return address.rpartition("@")[2] in self.domains or address in self.senders

    def list_domains(self, _: Request) -> Response:
        """Answer GET /v3/whitelabel/domains."""
        domains = sorted(self.domains | self.pending)
        return json_response(200, [self._show_domain(number, domain) for number, domain in enumerate(domains, 1)])

    def list_senders(self, _: Request) -> Response:
        """Answer GET /v3/verified_senders."""
        shown = [
            {"id": number, "nickname": address, "from_email": address, "verified": True, "locked": False}
            for number, address in enumerate(sorted(self.senders), 1)
        ]
        return json_response(200, {"results": shown})

    def _show_domain(self, number: int, domain: str) -> dict[str, Any]:
        valid = domain in self.domains
        host = f"em{1000 + number}.{domain}"
        records = {
            "mail_cname": {"host": host, "data": f"u{number}.wl.sendgrid.net"},
            "dkim1": {"host": f"s1._domainkey.{domain}", "data": f"s1.domainkey.u{number}.wl.sendgrid.net"},
            "dkim2": {"host": f"s2._domainkey.{domain}", "data": f"s2.domainkey.u{number}.wl.sendgrid.net"},
        }
        return {
            "id": number,
            "user_id": 1,
            "subdomain": host.partition(".")[0],
            "domain": domain,
            "username": "sandbox",
            "ips": [],
            "custom_spf": False,
            "default": number == 1,
            "legacy": False,
            "automatic_security": True,
            "valid": valid,
            "dns": {name: {"valid": valid, "type": "cname", **record} for name, record in records.items()},
        }
