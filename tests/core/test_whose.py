"""B6, B7: whose answer a mail is, from what it says of its writer."""

from __future__ import annotations

import pytest

from crmdrip.core.freemail import free_mail_domains, is_free_mail
from crmdrip.core.inbound import DeliveryReport, InboundMail, ReportKind
from crmdrip.core.model import RecordKind, RecordRef
from crmdrip.core.tokens import REPLY_LOCAL_LIMIT, ReplyTokens
from crmdrip.core.whose import Addressee, Clues, How, Known, find_whose, names_address, read_clues, same_mailbox

TOUCH, OTHER = "a" * 32, "b" * 32
TOKENS = ReplyTokens(("0123456789abcdef-new", "0123456789abcdef-old"))
REP = "rita@vendor.example"


def somebody(address: str, number: int = 1, **changes) -> Addressee:
    """Whom Rita wrote to."""
    ref = RecordRef(kind=RecordKind.CONTACT, id=f"003{number}")
    return Addressee(**({"address": address, "ref": ref, "sender": REP} | changes))


ANN = somebody("ann.lee@acme.example")
BOB = somebody("bob@acme.example", 2)


def mail(sender: str = ANN.address, **changes) -> InboundMail:
    """A mail of that sender."""
    return InboundMail(**({"sender": sender, "message_id": "<1@mail.example>"} | changes))


def found(a_mail: InboundMail, *, touches=None, addresses=(), nearby=()):
    """Whose it is, as How and the addresses of those who answered."""
    known = Known(by_touch=touches or {}, by_address={one.address: one for one in addresses}, nearby=tuple(nearby))
    whose = find_whose(a_mail, read_clues(a_mail, TOKENS.read), known)
    return whose.how, [one.address for one in whose.people]


class TestClues:
    """What to look up."""

    def test_the_token_is_read_in_any_case(self):
        """Mail systems change the case of an address."""
        address = f"reply+{TOKENS.sign(TOUCH)}@in.vendor.example".upper()
        assert read_clues(mail(delivered_to=(address,)), TOKENS.read).tagged == (TOUCH,)

    def test_a_token_of_an_old_key_is_read(self):
        """Keys are replaced; answers to old emails still come."""
        old = ReplyTokens(("0123456789abcdef-old",))
        assert TOKENS.read(old.sign(TOUCH)) == TOUCH

    def test_a_token_cannot_be_made_for_somebody_else(self):
        """B28: the signature is that of one touch."""
        assert TOKENS.read(OTHER + TOKENS.sign(TOUCH)[32:]) is None

    def test_the_reply_address_fits_a_local_part(self):
        """RFC 5321: 64 characters."""
        assert REPLY_LOCAL_LIMIT + 1 + len(TOKENS.sign(TOUCH)) == 64

    def test_the_message_answered_comes_before_the_older_ones(self):
        """A thread names many of our emails; the newest is the one answered."""
        clues = read_clues(
            mail(in_reply_to=(f"<{OTHER}@v.example>",), references=(f"<{TOUCH}@v.example>", "<x@y.example>")),
            TOKENS.read,
        )
        assert clues.threaded == (OTHER, TOUCH)

    def test_a_report_is_looked_up_by_what_it_reports(self):
        """B7: a bounce has no thread, but a copy of our header."""
        report = DeliveryReport(kind=ReportKind.DELIVERY, message_ids=(f"<{TOUCH}@v.example>",))
        assert read_clues(mail("", report=report), TOKENS.read).threaded == (TOUCH,)

    def test_a_report_may_give_our_own_header_back(self):
        """B7: where the server replaced the Message-ID."""
        headers = {"x-crmdrip-touch": (TOUCH.upper(), "no id")}
        report = DeliveryReport(kind=ReportKind.DELIVERY, headers=headers)
        assert read_clues(mail("", report=report), TOKENS.read).threaded == (TOUCH,)

    def test_an_endless_thread_is_bounded(self):
        """B27: ten thousand references are somebody's joke."""
        names = tuple(f"<{number:032x}@v.example>" for number in range(10_000))
        assert len(read_clues(mail(references=names), TOKENS.read).threaded) == 20

    def test_addresses_come_with_and_without_a_tag(self):
        """B6: ann+crm@ is ann@."""
        clues = read_clues(mail("ann+crm@acme.example", reply_to=("al@home.example",)), TOKENS.read)
        assert clues.addresses == ("ann+crm@acme.example", "ann@acme.example", "al@home.example")


class TestOrder:
    """Token, thread, address, alias, company."""

    def test_the_token_comes_first(self):
        """B6: it survives what mail programs do to threads."""
        tagged = mail(
            delivered_to=(f"reply+{TOKENS.sign(TOUCH)}@in.vendor.example",), in_reply_to=(f"<{OTHER}@v.example>",)
        )
        assert found(tagged, touches={TOUCH: ANN, OTHER: BOB}) == (How.TOKEN, [ANN.address])

    def test_then_the_thread(self):
        """B6: an answer from an address nobody knows, to our email."""
        answer = mail("ann@home.example", in_reply_to=(f"<{TOUCH}@v.example>",))
        assert found(answer, touches={TOUCH: ANN}) == (How.THREAD, [ANN.address])

    def test_then_the_address(self):
        """B6: a new mail from the person."""
        assert found(mail(), addresses=[ANN]) == (How.ADDRESS, [ANN.address])

    def test_a_reply_to_of_the_person_counts(self):
        """B6: written from another account, to be answered at the known one."""
        answer = mail("assistant@office.example", reply_to=(ANN.address,))
        assert found(answer, addresses=[ANN]) == (How.ALIAS, [ANN.address])

    def test_a_forwarded_email_answered_by_somebody_known_is_of_both(self):
        """B6: Ann forwarded it to Bob, who answers: neither is mailed again."""
        answer = mail(BOB.address, in_reply_to=(f"<{TOUCH}@v.example>",))
        assert found(answer, touches={TOUCH: ANN}, addresses=[BOB]) == (How.THREAD, [ANN.address, BOB.address])

    def test_a_stranger_of_the_company_is_a_colleague(self):
        """B6: for the sequence's policy."""
        assert found(mail("carl@acme.example"), nearby=[ANN, BOB]) == (How.COMPANY, [])

    def test_free_mail_is_no_company(self):
        """B6: two people at one provider know nothing of one another."""
        assert found(mail("carl@gmail.com"), nearby=[somebody("ann@gmail.com")]) == (How.NOBODY, [])

    def test_a_stranger_is_nobody(self):
        """P3: and is shown as such."""
        assert found(mail("carl@other.example"), nearby=[]) == (How.NOBODY, [])


class TestAliases:
    """Other addresses of the same human."""

    @pytest.mark.parametrize(
        ("one", "other"),
        [
            ("ann+crm@acme.example", "ann@acme.example"),
            ("ann@acme.example", "ann+news@acme.example"),
            ("a.nn.lee@gmail.com", "annlee@googlemail.com"),
            ("ann@mail.acme.example", "ann@acme.example"),
        ],
    )
    def test_one_mailbox(self, one, other):
        """B6: a tag, Gmail's dots, a host of the domain."""
        assert same_mailbox(one, other)
        assert same_mailbox(other, one)

    @pytest.mark.parametrize(
        ("one", "other"),
        [
            ("a.nn@acme.example", "ann@acme.example"),
            ("ann@acme.example", "ann@badacme.example"),
            ("ann@gmail.com", "ann@outlook.com"),
            ("ann@mail.gmx.net", "ann@gmx.net"),
            ("+crm@acme.example", "+news@acme.example"),
        ],
    )
    def test_two_mailboxes(self, one, other):
        """B6: dots matter elsewhere, and an ending is no subdomain."""
        assert not same_mailbox(one, other)

    def test_the_alias_stops_the_person(self):
        """B6: alias of the same person."""
        assert found(mail("ann.lee+x@acme.example"), nearby=[ANN, BOB]) == (How.ALIAS, [ANN.address])

    def test_the_same_name_at_the_same_company_is_the_same_human(self):
        """B6: alee@ who calls herself Ann Lee is ann.lee@."""
        answer = mail("alee@acme.example", sender_name="Ann Lee (Acme Ltd)")
        assert found(answer, nearby=[ANN, BOB]) == (How.ALIAS, [ANN.address])

    def test_a_name_that_fits_two_is_nobodys(self):
        """B6: then the rep decides, by the policy for colleagues."""
        answer = mail("ann@acme.example", sender_name="Ann Lee")
        assert found(answer, nearby=[ANN, somebody("annlee@acme.example", 3)]) == (How.COMPANY, [])

    def test_a_name_at_another_company_is_nobody(self):
        """B6: there are many Ann Lees."""
        assert found(mail("alee@other.example", sender_name="Ann Lee"), nearby=[ANN]) == (How.NOBODY, [])

    @pytest.mark.parametrize(
        ("name", "local"),
        [
            ("Ann Lee", "ann.lee"),
            ("Lee, Ann", "alee"),
            ("Ann Mary Lee", "lee.ann"),
            ("Jürgen Müller", "jmueller"),
            ("Jürgen Müller", "juergen-mueller"),
            ("José García", "josegarcia"),
            ("Søren Ødegård", "s.oedegaard"),
            ("Ann O'Hara", "ann.ohara"),
        ],
    )
    def test_names_spell_local_parts(self, name, local):
        """As companies make addresses of names."""
        assert names_address(name, f"{local}@acme.example")

    @pytest.mark.parametrize(("name", "local"), [("Ann", "ann"), ("Ann Lee", "sales"), ("", "ann"), ("A L", "al")])
    def test_too_little_of_a_name_spells_nothing(self, name, local):
        """A first name is shared by many."""
        assert not names_address(name, f"{local}@acme.example")


class TestOurOwnSide:
    """B7: what we wrote ourselves is never a reply."""

    def test_a_copy_of_our_own_email(self):
        """B7: from the sent folder, or by a Bcc to ourselves."""
        copy = mail(REP, message_id=f"<{TOUCH.upper()}@vendor.example>")
        assert found(copy, touches={TOUCH: ANN}) == (How.OURSELVES, [])

    def test_the_rep_writing_on_in_the_thread(self):
        """B7: Rita answers by hand and the reply address is still in Cc."""
        note = mail(REP, delivered_to=(f"reply+{TOKENS.sign(TOUCH)}@in.vendor.example",))
        assert found(note, touches={TOUCH: ANN}) == (How.OURSELVES, [])

    def test_a_colleague_of_the_rep_in_the_thread(self):
        """B7: our company answers nothing for the person."""
        note = mail("max@vendor.example", in_reply_to=(f"<{TOUCH}@v.example>",))
        assert found(note, touches={TOUCH: ANN}) == (How.OURSELVES, [])

    def test_a_rep_with_free_mail_has_no_colleagues(self):
        """B6, B7: a person at the same provider is a person."""
        ann = somebody("ann@gmail.com", sender="rita@gmail.com")
        answer = mail("ann.other@gmail.com", in_reply_to=(f"<{TOUCH}@v.example>",))
        assert found(answer, touches={TOUCH: ann}) == (How.THREAD, ["ann@gmail.com"])

    def test_a_person_of_our_own_company_is_a_person(self):
        """Whoever tries the daemon on themselves is answered as anybody."""
        own = somebody("max@vendor.example")
        answer = mail("max@vendor.example", in_reply_to=(f"<{TOUCH}@v.example>",))
        assert found(answer, touches={TOUCH: own}) == (How.THREAD, ["max@vendor.example"])


class TestFreeMail:
    """The table."""

    def test_it_knows_the_world(self):
        """B6: at least two hundred domains."""
        assert len(free_mail_domains()) >= 200

    @pytest.mark.parametrize(
        "domain", ["gmail.com", "web.de", "laposte.net", "libero.it", "wp.pl", "mail.ru", "qq.com", "uol.com.br"]
    )
    def test_it_knows_the_great_ones(self, domain):
        """B6."""
        assert is_free_mail(domain)

    def test_hosts_below_them_count(self):
        """B6: some providers give each customer a name."""
        assert is_free_mail("ann.gmx.de")
        assert not is_free_mail("notgmx.de")
        assert not is_free_mail("de")

    def test_every_entry_is_a_domain_as_we_compare_them(self):
        """An entry in another form would never be found."""
        assert all(one == one.lower() and "." in one and one.isascii() for one in free_mail_domains())


def test_clues_of_a_mail_without_anything():
    """B27: a mail may have no sender at all."""
    assert read_clues(InboundMail(), TOKENS.read) == Clues()
    assert found(InboundMail()) == (How.NOBODY, [])
