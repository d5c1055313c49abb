"""How well inbound mail is told apart: `python -m benchmarks.listening`, with a folder of real messages as --corpora.

Precision and recall per kind over the labelled collection in tests/inbound/mails (its held-out third by itself) and,
where the folder is there, over real bounces (`bounces/*.eml`, the right answer in the file name) and the bodies of real
replies (`replies/*.txt`, put into a mail each). Over the sandbox's letters, too, 1,000 of each kind from --seed: as in
the seeded world, a good part of the machines' has no header that says so. Somebody else wrote them, but the reader was
tuned on them since. Prints every mail that was taken for something else.
"""

from __future__ import annotations

import argparse
import platform
import sys
import time
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from random import Random

import orjson

from crmdrip.core.inbound import MailKind
from crmdrip.inbound import classify, read_mail
from crmdrip.sandbox.sendgrid import AcceptedEmail
from crmdrip.sandbox.world.letters import LANGUAGES, Occasion, Truth, Who, write

ROOT = Path(__file__).parents[1]
sys.path.append(str(ROOT / "tests" / "inbound"))

from collection import Labelled, load_collection  # noqa: E402  the collection lives with the tests

AUTOMATIC = frozenset(
    {MailKind.AUTO_REPLY, MailKind.OUT_OF_OFFICE, MailKind.LEFT_COMPANY, MailKind.RECEIPT, MailKind.BOUNCE}
)
"""What a person's answer must not be taken for: none of these stops a run as an answer does."""
HUMAN = frozenset({MailKind.REPLY, MailKind.UNSUBSCRIBE})


@dataclass(frozen=True, kw_only=True, slots=True)
class Outcome:
    """What one mail was taken for."""

    mail: Labelled
    read: MailKind
    why: str
    date_right: bool | None
    """Whether the day of return is right; None where there is none to find."""


def main() -> int:
    """Read everything and print the tables."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.listening", description=__doc__)
    parser.add_argument("--corpora", type=Path, default=ROOT.parent / "shared" / "corpora", help="real messages")
    parser.add_argument("--seed", type=int, default=1, help="of the sandbox's letters")
    given = parser.parse_args()
    folder = given.corpora
    collection = load_collection()
    sets = {
        "collection, tuned on": [one for one in collection if not one.held_out],
        "collection, held out": [one for one in collection if one.held_out],
        "real bounces and reports": list(_bounces(folder / "bounces")),
        "real replies": list(_replies(folder / "replies")),
        "the sandbox's letters": list(_letters(Random(given.seed))),
    }
    for name, mails in sets.items():
        if not mails:
            print(f"\n{name}: not here\n")
            continue
        began = time.perf_counter()
        outcomes = [judge(mail) for mail in mails]
        took = time.perf_counter() - began
        print(f"\n{name}: {len(mails)} mails, {took / len(mails) * 1000:.1f} ms each")
        print(render(outcomes))
    print(f"\nPython {platform.python_version()}")
    return 0


def judge(mail: Labelled) -> Outcome:
    """What a mail is taken for, beside what it is."""
    reading = classify(read_mail(mail.raw), mail.received)
    date_right = None if mail.until is None else reading.until == mail.until
    return Outcome(
        mail=mail, read=reading.kind, why=f"{reading.why} {reading.until or ''}".strip(), date_right=date_right
    )


def render(outcomes: list[Outcome]) -> str:
    """Precision and recall per kind, the two mistakes that matter, and each mistake by name."""
    lines = [f"  {'kind':<15}{'mails':>6}{'precision':>11}{'recall':>9}"]
    truth = Counter(one.mail.kind for one in outcomes)
    taken = Counter(one.read for one in outcomes)
    right = Counter(one.read for one in outcomes if one.read is one.mail.kind)
    for kind in MailKind:
        if truth[kind] or taken[kind]:
            precision = f"{right[kind] / taken[kind]:.3f}" if taken[kind] else "-"
            recall = f"{right[kind] / truth[kind]:.3f}" if truth[kind] else "-"
            lines.append(f"  {kind:<15}{truth[kind]:>6}{precision:>11}{recall:>9}")
    people = [one for one in outcomes if one.mail.kind in HUMAN]
    machines = [one for one in outcomes if one.mail.kind in AUTOMATIC]
    lines.append(f"  a person taken for a machine: {_share(people, AUTOMATIC)} (goal: 1 in 1,000 at most)")
    lines.append(f"  a machine taken for a person: {_share(machines, HUMAN)} (goal: 1 in 100 at most)")
    dated = [one for one in outcomes if one.date_right is not None]
    if dated:
        lines.append(f"  days of return right: {sum(bool(one.date_right) for one in dated)} of {len(dated)}")
    lines += [
        f"    {one.mail.name}: {one.mail.kind} taken for {one.read} ({one.why})"
        for one in outcomes
        if one.read is not one.mail.kind
    ]
    lines += [f"    {one.mail.name}: back {one.mail.until}, read {one.why}" for one in dated if not one.date_right]
    return "\n".join(lines)


def _share(outcomes: list[Outcome], wrong: Iterable[MailKind]) -> str:
    return f"{sum(one.read in wrong for one in outcomes)} of {len(outcomes)}"


def _bounces(folder: Path) -> Iterator[Labelled]:
    answers = {"arf": MailKind.COMPLAINT, "rfc3834": MailKind.AUTO_REPLY}
    for path in sorted(folder.glob("*.eml")):
        raw = path.read_bytes()
        received = read_mail(raw).date or datetime(2026, 1, 1, tzinfo=UTC)
        kind = answers.get(path.stem.partition("-")[0], MailKind.BOUNCE)
        reading = classify(read_mail(raw), received)
        if kind is MailKind.AUTO_REPLY and reading.kind is MailKind.OUT_OF_OFFICE:
            kind = MailKind.OUT_OF_OFFICE  # "automatic reply" is the corpus's one word for both
        yield Labelled(name=path.stem, kind=kind, until=None, text=None, raw=raw, received=received)


def _replies(folder: Path) -> Iterator[Labelled]:
    head = (
        b"From: Dana <dana@customer.example>\r\nTo: sam@us.example\r\nSubject: Re: hello\r\n"
        b"In-Reply-To: <touch-1@us.example>\r\nContent-Type: text/plain; charset=utf-8\r\n\r\n"
    )
    received = datetime(2026, 8, 3, 10, tzinfo=UTC)
    for path in sorted(folder.glob("*.txt")):
        raw = head + path.read_bytes()
        yield Labelled(name=path.stem, kind=MailKind.REPLY, until=None, text=None, raw=raw, received=received)


LETTERS = 100
"""In each language, of each kind."""
_WRITERS = (*((truth, Who.SELF) for truth in Truth), (Truth.REPLY, Who.COLLEAGUE), (Truth.REPLY, Who.ALIAS))
_PEOPLE = (("Kai", "Jäger"), ("Dana", "Field"), ("Łucja", "Nowak"), ("太郎", "山田"), ("Anne-Marie", "Durand"))
_COMPANIES = ("Northwind", "Müller & Söhne GmbH", "Blue Harbor Logistics", "Grupo Andes", "株式会社青空", "ACME Corp.")
_SUBJECTS = ("Follow-ups at Northwind", "15 minutes next week?", "Re: Follow-ups at Northwind", "Kurze Frage zum CRM")


def _letters(random: Random) -> Iterator[Labelled]:
    """What the seeded world's people and their machines write back, and what it really is."""
    for truth, who in _WRITERS:
        for language in LANGUAGES:
            for number in range(LETTERS):
                at = datetime(2026, 3, 3, 9, 30, tzinfo=UTC) + timedelta(hours=random.randrange(24 * 300))
                first, last = random.choice(_PEOPLE)
                occasion = Occasion(
                    email=_our_email(random.choice(_SUBJECTS), at),
                    at=at,
                    first=first,
                    last=last,
                    address="kai@customer.example",
                    company=random.choice(_COMPANIES),
                    language=language,
                    recipient="reply+token@in.us.example",
                )
                letter = write(truth, occasion, random, who)
                name = f"{truth} {who} {language} {number}: {letter.subject}"
                yield Labelled(
                    name=name, kind=MailKind(truth), until=letter.back, text=None, raw=letter.raw, received=at
                )


def _our_email(subject: str, at: datetime) -> AcceptedEmail:
    text = "Hi,\n\nif you are out of the office until Monday, no problem.\n\nSam\n\nTo stop these: unsubscribe"
    body = {
        "from": {"email": "sam@us.example", "name": "Sam Rep"},
        "subject": subject,
        "headers": {"Message-ID": "<touch-1@us.example>"},
        "content": [{"type": "text/plain", "value": text}],
    }
    return AcceptedEmail(
        at=at, message_id="m", touch="t", to="kai@customer.example", recipient=0, key_id="", body=orjson.dumps(body)
    )


if __name__ == "__main__":
    sys.exit(main())
