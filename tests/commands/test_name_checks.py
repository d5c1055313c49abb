"""What the doctor says of the names in DNS, asked at a name server on loopback."""

from __future__ import annotations

import pytest
from name_server import NameServer

from crmdrip.doctor.names import Names, check_names
from crmdrip.ports import CheckLevel

CANARY = {("com", "SOA"): ["a.ns. b.ns. 1 1 1 1 1"]}
SPF = ("acme.org", "TXT")
DMARC = ("_dmarc.acme.org", "TXT")


def _found(zone, senders=("rep@acme.org",), *, replies="", links="http://127.0.0.1:8025", broken=()):
    with NameServer(CANARY | zone) as server:
        server.broken.update(broken)
        names = Names(("127.0.0.1",), server.port)
        return {
            result.code: (result.level, f"{result.what} {result.do_next}")
            for result in check_names(senders, replies, links, names)
        }


@pytest.mark.parametrize(
    ("records", "level", "says"),
    [
        (['"v=spf1 include:sendgrid.net ~all"'], CheckLevel.OK, "v=spf1 include:sendgrid.net ~all"),
        (['"v=spf1 " "include:sendgrid.net ~all"'], CheckLevel.OK, "v=spf1 include:sendgrid.net ~all"),
        (['"google-site-verification=x"'], CheckLevel.WARN, "does not say who may send for it"),
        (['"v=spf1 -all"', '"v=spf1 ~all"'], CheckLevel.WARN, "Merge them"),
    ],
)
def test_one_spf_record_says_who_may_send(records, level, says):
    """Two are an error by RFC 7208, and none lets everybody guess."""
    found = _found({SPF: records})["DNS-SPF"]
    assert (found[0], says in found[1]) == (level, True)


def test_a_dmarc_policy_is_found_and_shown():
    """What receivers will do is shown word by word."""
    assert _found({SPF: ['"x"'], DMARC: ['"v=DMARC1; p=none"']})["DNS-DMARC"][0] is CheckLevel.OK


def test_a_parents_dmarc_policy_counts_for_its_children():
    """RFC 7489: mail.acme.org needs none of its own."""
    found = _found({DMARC: ['"v=DMARC1; p=reject"']}, senders=["rep@mail.acme.org"])["DNS-DMARC"]
    assert (found[0], "_dmarc.acme.org" in found[1]) == (CheckLevel.OK, True)


def test_a_missing_dmarc_policy_is_answered_with_what_to_add():
    """Gmail and Yahoo ask for one."""
    level, text = _found({SPF: ['"v=spf1 -all"']})["DNS-DMARC"]
    assert (level, 'TXT record at _dmarc.acme.org, to begin with "v=DMARC1; p=none"' in text) == (CheckLevel.WARN, True)


def test_a_free_mailbox_as_sender_is_pointed_out():
    """gmail.com lets nobody else send for it."""
    assert _found({}, senders=["rep@gmail.com"])["DNS-DMARC"][0] is CheckLevel.WARN


@pytest.mark.parametrize(
    ("zone", "level", "says"),
    [
        ({("reply.acme.org", "MX"): ["10 mx.sendgrid.net."]}, CheckLevel.OK, "go to mx.sendgrid.net."),
        ({("reply.acme.org", "MX"): ["0 ."]}, CheckLevel.WARN, "every answer bounces"),
        ({}, CheckLevel.WARN, "every answer bounces"),
    ],
)
def test_answers_need_a_mail_server(zone, level, says):
    """A reply domain without one loses every reply, and with it every stop."""
    found = _found(zone, (), replies="reply.acme.org")["DNS-REPLIES"]
    assert (found[0], says in found[1]) == (level, True)


@pytest.mark.parametrize(
    ("zone", "level"), [({("go.acme.org", "A"): ["203.0.113.7"]}, CheckLevel.OK), ({}, CheckLevel.WARN)]
)
def test_links_need_an_address(zone, level):
    """P7: an unsubscribe link that leads nowhere is unlawful."""
    assert _found(zone, (), links="https://go.acme.org")["DNS-LINKS"][0] is level


def test_nothing_is_concluded_where_no_name_can_be_looked_up():
    """A resolver that does not even know com. would make every name look missing."""
    found = _found({SPF: ['"v=spf1 -all"']}, broken={"com"})
    assert list(found) == ["DNS-REACH"]
    assert found["DNS-REACH"][0] is CheckLevel.WARN


def test_a_name_that_cannot_be_told_is_not_called_missing():
    """SERVFAIL is no answer."""
    level, text = _found({DMARC: ['"v=DMARC1; p=none"']}, broken={"acme.org"})["DNS-SPF"]
    assert (level, "cannot be looked up" in text) == (CheckLevel.WARN, True)


def test_the_sandboxs_names_are_not_looked_up():
    """Reserved names stand in no public DNS: the demo's doctor asks nobody."""
    names = Names(("127.0.0.1",), 9)
    (found,) = check_names(["rep@acme.example"], "reply.acme.example", "http://127.0.0.1:8025", names)
    assert (found.code, found.level) == ("DNS-REACH", CheckLevel.OK)
