"""What ends every email: who sends it, where they are, and how to stop it (P7). Never left out, never editable away."""

from __future__ import annotations

import html
from dataclasses import dataclass

from crmdrip.core.errors import ConfigurationError


@dataclass(frozen=True, kw_only=True, slots=True)
class Wording:
    """The footer's words in one language."""

    question: str
    link: str


WORDINGS: dict[str, Wording] = {
    "en": Wording(question="Prefer not to receive these emails?", link="Unsubscribe"),
    "de": Wording(question="Sie möchten diese E-Mails nicht mehr erhalten?", link="Abmelden"),
    "fr": Wording(question="Vous ne souhaitez plus recevoir ces e-mails ?", link="Se désabonner"),
    "es": Wording(question="¿Prefiere no recibir estos correos?", link="Darse de baja"),
    "pt": Wording(question="Prefere não receber estes e-mails?", link="Cancelar inscrição"),
    "it": Wording(question="Preferisce non ricevere queste e-mail?", link="Annulla l'iscrizione"),
    "nl": Wording(question="Liever geen e-mails meer ontvangen?", link="Afmelden"),
    "pl": Wording(question="Nie chcą Państwo otrzymywać tych wiadomości?", link="Wypisz się"),
    "sv": Wording(question="Vill du inte längre få de här mejlen?", link="Avregistrera"),
    "ja": Wording(question="今後の配信をご希望でない場合:", link="配信停止"),
}
"""By ISO 639-1 code."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Footer:
    """A footer up to the link and after it, in both forms; the link is the person's own."""

    html_before: str
    html_after: str
    text_before: str

    def html(self, link: str) -> str:
        """The HTML footer. link: an absolute URL, already safe in an attribute."""
        return f"{self.html_before}{link}{self.html_after}"

    def text(self, link: str) -> str:
        """The plain text footer, after the line that mail programs read as the end of the message (RFC 3676 4.3)."""
        return f"{self.text_before}{link}\n"


def build_footer(company: str, postal_address: str, language: str) -> Footer:
    """The footer in a language. Raises ConfigurationError for a language there is no wording for."""
    wording = WORDINGS.get(language)
    if wording is None:
        raise ConfigurationError(
            f"there is no footer in {language!r}.", where="language", do_next=f"Choose one of {', '.join(WORDINGS)}."
        )
    lines = [" ".join(line.split()) for line in (company, *postal_address.splitlines()) if line.strip()]
    who = " · ".join(lines)
    return Footer(
        html_before=(
            '<p style="margin:28px 0 0;font-size:12px;line-height:1.5;color:#5f6672">'
            f'{html.escape(who)}<br>{html.escape(wording.question)} <a style="color:#5f6672" href="'
        ),
        html_after=f'">{html.escape(wording.link)}</a></p>',
        text_before=f"-- \n{who}\n{wording.question} {wording.link}: ",
    )
