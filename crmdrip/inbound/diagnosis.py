"""Whether a failed delivery says that the address is gone, from the status and the receiving server's words.

An address is given up only for what is the address's own and lasting (RFC 3463: subject 1, 5.2.1). A full mailbox, a
message that is too large, content or sender refused, a server out of reach: all of these are "5.x" at times and say
nothing about the person. The words outrank the number, which many servers choose carelessly ("550 5.7.1 User unknown").
"""

from __future__ import annotations

import re

from crmdrip.inbound.mime import tidy_line

ENHANCED = re.compile(r"(?<![\d.])([245])\.(\d{1,3})\.(\d{1,3})(?![\d.])")
REPLY_CODE = re.compile(r"(?<![\d.\w-])([45]\d\d)(?=[ :-]|$)(?![ -]?\d)")

GONE = re.compile(
    r"(?:user|recipient|mailbox|address|account|addressee|alias|local ?part|customer)s?(?: name| address)?"
    r"(?: (?:is|was|has been|you(?:'re| are) trying to reach|that you tried to reach|<[^>]{0,200}>"
    r"|of [^ ]{1,80}))?[ :,]{1,3}"
    r"(?:is )?(?:unknown|not (?:found|known|exist|recognized|listed|a valid|valid|present|local)"
    r"|does ?n[o']t exist|does not exist"
    r"|no longer|disabled|deactivated|inactive|invalid|closed|expired|terminated|unavailable|discontinued"
    r"|suspended|nonexist|non-exist|doesn'?t exist)"
    r"|(?:unknown|invalid|no such|non-?exist(?:ent|ing)|bad destination|unrouteable|undeliverable|illegal"
    r"|disabled|inactive)"
    r" (?:local )?(?:user|recipient|mailbox|address|account|alias|person|mail drop|domain|host)"
    r"|(?:no|not a) (?:mailbox|valid (?:mailbox|recipient|user|address)|such (?:user|mailbox|recipient|address"
    r"|person|domain))"
    r"|not our customer|user ?unknown|unknown ?user|no one (?:by|here)|sorry, no mailbox|recipientnotfound"
    r"|resolver\.adr"
    r"|host (?:or domain name )?(?:unknown|not found)|domain (?:name )?(?:does not exist|not found|unknown)"
    r"|nxdomain|hostunknown"
    r"|(?:couldn'?t|cannot|could not) (?:be found|find (?:any|a) (?:host|mx)|be located)|name or service not known"
    r"|no longer (?:valid|active|exists?|accept|available|in use|with|employed|works?)|no matches to name"
    r"|access denied|account that you tried to reach (?:does|is)|wasn'?t found|nosuchuser"
    r"|existiert nicht|unbekannt|inconnue?|n'existe pas|no existe|desconocid|não existe|desconhecid|non esiste"
    r"|sconosciut"
    r"|bestaat niet|onbekend|nie istnieje|nieznan|finns inte|okänd|存在しません|見つかりません|宛先不明"
    r"|user not found",
    re.IGNORECASE,
)
PASSING = re.compile(
    r"over ?quota|quota (?:exceeded|has been|is full)|exceed[a-z]{0,4} (?:the |his |her |its |their "
    r"|your )?(?:storage|quota|limit|maximum|max)"
    r"|mailbox (?:is )?full|mailbox for .{0,60} is full|(?:user|folder|account|inbox)(?:'s)? (?:is "
    r"|mailbox is )?full|out of (?:disk )?space"
    r"|insufficient (?:disk |system )?(?:space|storage|resource)|too (?:large|big|many|long)|size limit"
    r"|(?:message|size) exceeds|max(?:imum)? (?:message )?size"
    r"|spam|junk|unsolicited|block(?:ed|list)|black ?list|denylist|reputation|policy|greylist|grey-list"
    r"|try again|temporar"
    r"|timed? ?out|rate limit|throttl|virus|malware|dmarc|\bspf\b|\bdkim\b|content (?:reject|filter)"
    r"|message (?:content )?rejected"
    r"|mail loop|too many hops|hop count|loops? back|sender (?:address )?(?:rejected|verify|not|denied|unknown)"
    r"|relay(?:ing)? (?:denied|not|access)"
    r"|not (?:permitted|allowed|authorized|accepted) to (?:send|relay)|connection (?:refused|timed|dropped|lost"
    r"|reset)|no route|unreachable"
    r"|network|certificate|tls|authentication|delivery time expired|retry timeout|message expired"
    r"|could not be delivered for"
    r"|voll\b|quota überschritten|pleine?\b|llen[ao]\b|chei[ao]\b|pien[ao]\b|\bvol\b|容量|一杯|いっぱい",
    re.IGNORECASE,
)
_LASTING_STATUS = re.compile(r"5\.(?:1\.(?![78]$)\d+|2\.1|4\.4|4\.310)")
"""Numbers that say by themselves that the address is gone: no such mailbox or domain, mailbox disabled. 5.4.310 is
Exchange Online's "DNS domain does not exist"."""
_NO_DOMAIN = re.compile(r"nxdomain|domain name not found|host or domain name not found", re.IGNORECASE)


def find_status(text: str) -> str:
    """The status in a diagnostic: the enhanced one, else the class of the reply code ("550" is "5.0.0"); "" if none."""
    found = [one for one in ENHANCED.finditer(text) if one.group(1) != "2"]
    if found:
        # "5.0.0" is what a server says that has nothing to say.
        telling = [one for one in found if one.group(2) != "0"]
        return (telling or found)[0].group()
    code = REPLY_CODE.search(text)
    return f"{code.group(1)[0]}.0.0" if code else ""


def is_permanent(action: str, status: str, diagnostic: str) -> bool:
    """Whether the address itself failed for good."""
    if action not in ("failed", ""):
        return False
    diagnostic = tidy_line(diagnostic)
    gone, passing = GONE.search(diagnostic) is not None, PASSING.search(diagnostic) is not None
    status = status or find_status(diagnostic)
    if status.startswith("2"):
        return False
    if status.startswith("4"):
        # Given up for good, although each attempt failed for the time being: Gmail says so of domains that are not.
        return action == "failed" and _NO_DOMAIN.search(diagnostic) is not None
    if gone != passing:
        return gone
    return not passing and _LASTING_STATUS.fullmatch(status) is not None
