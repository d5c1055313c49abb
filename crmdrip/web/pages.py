"""The unsubscribe page: without scripts, without anything a request brought along, in the language of the footer."""

from __future__ import annotations

import base64
import hashlib
import html
from dataclasses import dataclass
from string import Template

from crmdrip.core.footer import WORDINGS

_DONE = {
    "en": "Done. You will not receive these emails any more.",
    "de": "Erledigt. Sie erhalten diese E-Mails nicht mehr.",
    "fr": "C'est fait. Vous ne recevrez plus ces e-mails.",
    "es": "Listo. Ya no recibirá estos correos.",
    "pt": "Pronto. Não receberá mais estes e-mails.",
    "it": "Fatto. Non riceverà più queste e-mail.",
    "nl": "Gelukt. U ontvangt deze e-mails niet meer.",
    "pl": "Gotowe. Nie otrzymają Państwo więcej tych wiadomości.",
    "sv": "Klart. Du får inte de här mejlen längre.",
    "ja": "配信を停止しました。今後メールは届きません。",
}
_UNKNOWN = {
    "en": "This link is not complete. Please open it from the email again.",
    "de": "Dieser Link ist nicht vollständig. Bitte öffnen Sie ihn noch einmal aus der E-Mail.",
    "fr": "Ce lien est incomplet. Veuillez l'ouvrir à nouveau depuis l'e-mail.",
    "es": "Este enlace no está completo. Ábralo de nuevo desde el correo.",
    "pt": "Este link não está completo. Abra-o novamente a partir do e-mail.",
    "it": "Questo link non è completo. Lo riapra dall'e-mail.",
    "nl": "Deze link is niet volledig. Open hem opnieuw vanuit de e-mail.",
    "pl": "Ten link jest niepełny. Proszę otworzyć go ponownie z wiadomości.",
    "sv": "Länken är inte fullständig. Öppna den igen från mejlet.",
    "ja": "リンクが正しくありません。メールからもう一度開いてください。",
}
_LATER = {
    "en": "This cannot be done right now. Please try again in a few minutes.",
    "de": "Das geht gerade nicht. Bitte versuchen Sie es in einigen Minuten noch einmal.",
    "fr": "Impossible pour le moment. Veuillez réessayer dans quelques minutes.",
    "es": "Ahora no es posible. Inténtelo de nuevo en unos minutos.",
    "pt": "Não é possível agora. Tente novamente dentro de alguns minutos.",
    "it": "Al momento non è possibile. Riprovi tra qualche minuto.",
    "nl": "Dat lukt nu niet. Probeer het over een paar minuten opnieuw.",
    "pl": "Teraz nie jest to możliwe. Proszę spróbować za kilka minut.",
    "sv": "Det går inte just nu. Försök igen om några minuter.",
    "ja": "ただいま処理できません。数分後にもう一度お試しください。",
}

_STYLE = """
:root { color-scheme: light dark; }
body { margin: 0; min-height: 100vh; display: grid; place-items: center; font: 17px/1.5 system-ui, sans-serif; }
main { max-width: 26rem; padding: 2rem; text-align: center; }
button { font: inherit; padding: .6rem 1.4rem; border: 1px solid; border-radius: .5rem; cursor: pointer; }
small { opacity: .7; }
"""
_PAGE = Template(
    '<!doctype html><html lang="$language"><head><meta charset="utf-8">'
    '<meta name="viewport" content="width=device-width, initial-scale=1"><meta name="robots" content="noindex">'
    "<title>$title</title><style>$style</style></head><body><main>$content<p><small>$company</small></p></main>"
    "</body></html>\n"
)

_STYLE_HASH = base64.b64encode(hashlib.sha256(_STYLE.encode()).digest()).decode()
HEADERS = {
    "Content-Security-Policy": (
        f"default-src 'none'; style-src 'sha256-{_STYLE_HASH}'; form-action 'self'; frame-ancestors 'none';"
        " base-uri 'none'"
    ),
    # The address is the token: it goes to no other site and into no cache.
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-store",
    "X-Content-Type-Options": "nosniff",
    "X-Robots-Tag": "noindex",
}


@dataclass(frozen=True, kw_only=True, slots=True)
class Pages:
    """The pages as text, made once."""

    ask: str
    """With the button. The form goes to the page's own address, so it holds no token."""
    done: str
    unknown: str
    """The same for every link that is not ours, whatever is wrong with it."""
    later: str


def build_pages(company: str, language: str) -> Pages:
    """The pages in a language of core.footer. Raises KeyError for any other."""
    words = WORDINGS[language]

    def page(content: str) -> str:
        return _PAGE.substitute(
            language=language,
            title=html.escape(words.link),
            style=_STYLE,
            content=content,
            company=html.escape(company),
        )

    button = f'<form method="post"><button type="submit">{html.escape(words.link)}</button></form>'
    return Pages(
        ask=page(f"<p>{html.escape(words.question)}</p>{button}"),
        done=page(f"<p>{html.escape(_DONE[language])}</p>"),
        unknown=page(f"<p>{html.escape(_UNKNOWN[language])}</p>"),
        later=page(f"<p>{html.escape(_LATER[language])}</p>"),
    )
