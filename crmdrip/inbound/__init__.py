"""Inbound mail: from bytes that anybody can write to what they mean.

`read_mail` takes any bytes and gives an InboundMail, `classify` says what it is. Pure: no clock, no network, no log, no
file but the phrase tables beside the code; attachments are never opened; time and size are bounded (limits).
"""

from __future__ import annotations

from crmdrip.inbound.classify import classify
from crmdrip.inbound.mail import read_mail

__all__ = ["classify", "read_mail"]
