"""Makes one complete email, or says in a reason why it has to wait.

Everything a mailer needs is decided here: subject, both bodies, the sender's signature, the footer that the law asks
for, and the headers for threads and for one-click unsubscribe (RFC 8058). Never reads a clock, never sends.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache

from crmdrip.core.body import read_body
from crmdrip.core.compose_settings import ComposeSettings, ReplyTo, check_settings
from crmdrip.core.errors import ConfigurationError
from crmdrip.core.footer import build_footer
from crmdrip.core.keys import domain_of, message_id, normalize_address
from crmdrip.core.message import EmailMessage
from crmdrip.core.model import Enrollment, Owner, Record, Sequence, Step, StepKind
from crmdrip.core.reasons import HoldReason, MissingFields, Reason
from crmdrip.core.render import Broken, Format, Missing, Rendered, Template, compile_template
from crmdrip.core.sender import Sender, SignOff, clean_name, is_address, resolve_sender, sign_off
from crmdrip.core.struct import Struct
from crmdrip.core.tokens import ReplyTokens, UnsubscribeTags, UnsubscribeTokens
from crmdrip.core.unsubscribing import unsubscribe_address
from crmdrip.core.values import Context, fold, join_labels

SUBJECT_LIMIT = 255
"""Characters; a Salesforce activity's subject holds no more."""

SUBJECT_SOURCE_LIMIT = 4_096
"""Characters of a subject's template."""

REFERENCES_LIMIT = 10
"""Message-IDs in References: the root and the nine newest."""

NAME_PATHS = frozenset({"first_name", "last_name"})
"""Asked for with every last look, for the name beside the address."""

_NAME_KEYS = (fold("first_name"), fold("last_name"))
_EMPTY_PARAGRAPH = re.compile(r"<p>\s*</p>\n?")


class TaskText(Struct, frozen=True, kw_only=True):
    """What a task for the rep says."""

    subject: str
    body: str


@dataclass(frozen=True, kw_only=True, slots=True)
class _Prepared:
    """The compiled templates of one step."""

    subject: Template
    html: Template
    text: Template


class _Filled(Struct, frozen=True, kw_only=True):
    """The same for one person."""

    subject: str
    html: str
    text: str


class Composer:
    """Composes emails with one set of settings. Immutable; shared between threads."""

    def __init__(self, settings: ComposeSettings) -> None:
        """Raises ConfigurationError naming everything without which no email may go out (P7)."""
        check_settings(settings)
        self._settings = settings
        self._tokens = UnsubscribeTokens(settings.signing_keys)
        self._tags = UnsubscribeTags(settings.signing_keys)
        self._replies = ReplyTokens(settings.signing_keys)
        self._footers = {
            language: build_footer(settings.company, settings.postal_address, language)
            for language in {settings.language, *settings.languages.values()}
        }
        self._unsubscribe_url = settings.unsubscribe_url.rstrip("/")

    def compose(
        self,
        *,
        step: Step,
        sequence: Sequence,
        enrollment: Enrollment,
        record: Record,
        owner: Owner | None,
        touch_id: str,
    ) -> EmailMessage | Reason:
        """The email of one touch. record: as the last look saw it. owner: the user whose email it is.

        A Reason holds the touch: a missing field, a broken step or sender, an address that is not the run's any more
        (B15: the old address is never mailed again). Raises nothing.
        """
        if (address := normalize_address(record.email)) != enrollment.address:
            return Reason(code=HoldReason.ADDRESS_CHANGED, detail=domain_of(address) or "no address")
        if not is_address(address):
            return _broken("the email address is not valid")
        sender = resolve_sender(sequence, owner)
        if isinstance(sender, Reason):
            return sender
        voice = _voice(sender, owner)
        if isinstance(voice, Reason):
            return voice
        # Another sender cannot go on in the first one's thread (B16).
        continues = step.continue_thread and normalize_address(enrollment.sender) == voice.address
        thread = enrollment.thread if continues else ()
        prepared = _prepare(_subject_source(step, sequence), step.body)
        if isinstance(prepared, Reason):
            return prepared
        context = Context(record.fields, voice.context)
        filled = _fill(prepared, context)
        if isinstance(filled, Reason):
            return filled
        subject = filled.subject
        if thread and not step.subject.strip():
            subject = _reply_subject(enrollment.thread_subject or subject)

        language = self._settings.languages.get(sequence.id, self._settings.language)
        footer = self._footers[language]
        token = self._tokens.sign(enrollment.person, self._settings.org_id, sequence.id)
        link = f"{self._unsubscribe_url}/{token}"
        signed = f"{filled.text}\n\n{voice.signature.text}" if voice.signature.text else filled.text
        page = _page(language, f"{filled.html}\n{voice.signature.html}\n{footer.html(link)}")
        text = f"{signed}\n\n{footer.text(link)}"
        # Nothing above lets a brace through; this is the promise itself (B24), checked on what leaves.
        if "{" in subject or "{" in page or "{" in text:
            return _broken("a brace would show in the email")
        return EmailMessage(
            touch_id=touch_id,
            to_address=enrollment.address,
            to_name=_name_of(context),
            from_address=sender.address,
            from_name=sender.name,
            reply_to=self._reply_to(sender, owner, touch_id),
            subject=subject,
            html=page,
            text=text,
            headers=self._headers(
                touch_id, voice.domain, thread, f"<{link}>{self._unsubscribe_mailto(enrollment.person, token)}"
            ),
            category=sequence.id,
        )

    def _headers(self, touch_id: str, domain: str, thread: tuple[str, ...], unsubscribe: str) -> dict[str, str]:
        headers = {"Message-ID": message_id(touch_id, domain)}
        if thread:
            headers["In-Reply-To"] = thread[-1]
            headers["References"] = " ".join((*thread[:1], *thread[1:][-(REFERENCES_LIMIT - 1) :]))
        headers["List-Unsubscribe"] = unsubscribe
        headers["List-Unsubscribe-Post"] = "List-Unsubscribe=One-Click"
        return headers

    def _unsubscribe_mailto(self, person: str, token: str) -> str:
        """After the HTTPS address that takes a POST (RFC 8058 section 3.1), the mail address for older clients."""
        settings = self._settings
        if settings.unsubscribe_mailto:
            return f", <mailto:{settings.unsubscribe_mailto}?subject={token}>"
        if settings.unsubscribe_domain:
            address = unsubscribe_address(self._tags.sign(person, settings.org_id), settings.unsubscribe_domain)
            return f", <mailto:{address}?subject=unsubscribe>"
        return ""

    def _reply_to(self, sender: Sender, owner: Owner | None, touch_id: str) -> str:
        policy = self._settings.reply_to
        if policy is ReplyTo.TOKEN:
            local, _, domain = self._settings.reply_address.rpartition("@")
            return f"{local}+{self._replies.sign(touch_id)}@{domain}"
        if policy is ReplyTo.ADDRESS:
            return self._settings.reply_address
        if policy is ReplyTo.OWNER and owner is not None and owner.active and is_address(owner.email):
            return "" if owner.email == sender.address else owner.email
        return ""


def compose_task(*, step: Step, sequence: Sequence, record: Record, owner: Owner | None) -> TaskText | Reason:
    """What a task step says to the rep; held for the same causes as an email. Raises nothing."""
    prepared = _prepare(step.subject if step.subject.strip() else sequence.name, step.body)
    if isinstance(prepared, Reason):
        return prepared
    sender = resolve_sender(sequence, owner)
    context = make_context(record, None if isinstance(sender, Reason) else sender, owner)
    subject, body = prepared.subject.render(context), prepared.text.render(context)
    if isinstance(subject, Rendered) and isinstance(body, Rendered):
        return TaskText(subject=" ".join(subject.text.split())[:SUBJECT_LIMIT], body=_tidy_text(body.text))
    return _held((subject, body))


def merge_paths(steps: Iterable[Step]) -> frozenset[str]:
    """Every merge path some steps use, for the last look to fetch; the sender's fields are known without asking."""
    paths: dict[str, str] = {fold(path): path for path in NAME_PATHS}
    for step in steps:
        prepared = _prepare(step.subject, step.body)
        if isinstance(prepared, Reason):
            continue  # The definition is refused elsewhere, with the problem in words.
        for template in (prepared.subject, prepared.html, prepared.text):
            for path in sorted(template.paths):
                paths.setdefault(fold(path), path)
    return frozenset(path for path in paths.values() if not path.startswith("sender."))


def make_context(record: Record, sender: Sender | None, owner: Owner | None) -> Context:
    """The values of one email: the record's fields, then what is known of owner and sender."""
    return Context(record.fields, _people(sender, owner))


@lru_cache(maxsize=1_024)
def _prepare(subject: str, body: str) -> _Prepared | Reason:
    if len(subject) > SUBJECT_SOURCE_LIMIT:
        return _broken("the subject's template is too long")
    read = read_body(body)
    if read.problems:
        return _broken(read.problems[0])
    try:
        return _Prepared(
            subject=compile_template(" ".join(subject.split()), Format.TEXT),
            html=compile_template(read.html, Format.HTML),
            text=compile_template(read.text, Format.TEXT),
        )
    except ConfigurationError as error:
        return _broken(error.what.rstrip("."))


def _subject_source(step: Step, sequence: Sequence) -> str:
    """The step's subject; for one that goes on in a thread without its own, that of the nearest email before it.

    It is needed when the thread cannot go on after all (another sender, another address).
    """
    if step.subject.strip() or not step.continue_thread:
        return step.subject
    before = (one for one in reversed(sequence.steps) if one.order < step.order and one.kind is StepKind.EMAIL)
    return next((one.subject for one in before if one.subject.strip()), "")


def _fill(prepared: _Prepared, context: Context) -> _Filled | Reason:
    subject, page, text = (one.render(context) for one in (prepared.subject, prepared.html, prepared.text))
    if not (isinstance(subject, Rendered) and isinstance(page, Rendered) and isinstance(text, Rendered)):
        return _held((subject, page, text))
    heading = " ".join(subject.text.split())
    if not heading:
        return _broken("the subject is empty")
    if len(heading) > SUBJECT_LIMIT:
        return _broken(f"the subject is longer than {SUBJECT_LIMIT} characters")
    if not prepared.text.branches:
        filled = _Filled(subject=heading, html=page.text, text=text.text)
    else:
        filled = _Filled(subject=heading, html=_EMPTY_PARAGRAPH.sub("", page.text), text=_tidy_text(text.text))
    if not filled.text.strip() and "<img" not in filled.html:
        return _broken("the body is empty")
    return filled


def _tidy_text(text: str) -> str:
    """Without the gaps that branches not taken leave."""
    return re.sub(r"\n{3,}", "\n\n", re.sub(r"[ \t]+\n", "\n", text)).strip()


def _held(results: Iterable[Rendered | Missing | Broken]) -> Reason:
    """Why templates could not be filled: all missing fields at once, else the first thing broken."""
    missing = [path for result in results if isinstance(result, Missing) for path in result.paths]
    if missing:
        return MissingFields(detail=join_labels(missing), paths=tuple(dict.fromkeys(missing)))
    return _broken(next(result.problem for result in results if isinstance(result, Broken)))


def _broken(problem: str) -> Reason:
    return Reason(code=HoldReason.TEMPLATE_BROKEN, detail=problem)


def _reply_subject(subject: str) -> str:
    return subject if subject[:3].lower() == "re:" else f"Re: {subject}"


def _name_of(context: Context) -> str:
    parts = (context.values.get(key) for key in _NAME_KEYS)
    name = " ".join(part for part in parts if isinstance(part, str))
    # A name that came broken out of an import is left out; the address alone is a good To header.
    return "" if "{" in name else clean_name(name)


@dataclass(frozen=True, kw_only=True, slots=True)
class _Voice:
    """What is the same in every email of one sender and owner."""

    address: str
    """The sender's, normalized."""
    domain: str
    signature: SignOff
    context: Context


@lru_cache(maxsize=1_024)
def _voice(sender: Sender, owner: Owner | None) -> _Voice | Reason:
    signature = sign_off(sender)
    if isinstance(signature, Reason):
        return signature
    address = normalize_address(sender.address)
    return _Voice(address=address, domain=domain_of(address), signature=signature, context=_people(sender, owner))


@lru_cache(maxsize=1_024)
def _people(sender: Sender | None, owner: Owner | None) -> Context:
    values: dict[str, object] = {}
    for prefix, person in (("owner", owner), ("sender", sender)):
        if person is None:
            continue
        first, _, last = person.name.strip().partition(" ")
        values |= {
            f"{prefix}.name": person.name,
            f"{prefix}.first_name": first,
            f"{prefix}.last_name": last,
            f"{prefix}.email": person.email if isinstance(person, Owner) else person.address,
            f"{prefix}.title": person.title,
            f"{prefix}.phone": person.phone,
        }
    return Context(values)


_HEAD = (
    '<head><meta charset="utf-8"><meta name="viewport" content="width=device-width"></head>\n'
    '<body style="margin:0;padding:12px"><div dir="auto" '
    'style="font-family:Arial,Helvetica,sans-serif;font-size:14px;line-height:1.5;color:#1f2328">\n'
)


def _page(language: str, content: str) -> str:
    """A whole HTML document; language: for screen readers. `dir="auto"` serves names and bodies in Hebrew or Arabic."""
    return f'<!DOCTYPE html>\n<html lang="{language}">{_HEAD}{content}\n</div></body></html>\n'
