"""At which domains anybody can have an address. Two people of such a domain know nothing of one another (B6)."""

from __future__ import annotations

from functools import cache
from importlib.resources import files


def is_free_mail(domain: str) -> bool:
    """Whether a normalized domain, or one above it, gives addresses to anybody."""
    known = free_mail_domains()
    while domain:
        if domain in known:
            return True
        domain = domain.partition(".")[2]
    return False


@cache
def free_mail_domains() -> frozenset[str]:
    """The domains, in lower case."""
    lines = files("crmdrip.core").joinpath("free_mail.txt").read_text("utf-8").splitlines()
    return frozenset(domain for line in lines for domain in line.partition("#")[0].split())
