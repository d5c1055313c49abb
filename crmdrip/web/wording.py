"""What the unsubscribe page says, in the ten languages of the footer. `{name}` is a sequence's public name."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True, slots=True)
class PageWords:
    """The page's words in one language; question and button stand in core.footer."""

    choice: str
    """Above two buttons."""
    everything: str
    """The button for all email."""
    only: str
    """The button for one sequence."""
    done: str
    """A heading, as the next two."""
    invalid: str
    later: str
    done_text: str
    left_text: str
    """After leaving one sequence, above the button for all email."""
    invalid_text: str
    """For a link that is cut off, forged, or signed with a key that is gone: there is always another way."""
    later_text: str


WORDS: dict[str, PageWords] = {
    "en": PageWords(
        choice="What would you like to stop?",
        everything="Stop all emails",
        only="Stop only “{name}”",
        done="You are unsubscribed",
        invalid="This link does not work",
        later="Not possible right now",
        done_text="You will not receive these emails any more.",
        left_text="You will not receive “{name}” any more. Other emails may still reach you.",
        invalid_text="Please open it from the email again, or reply to the email and say that you want no more.",
        later_text="Please try again in a few minutes.",
    ),
    "de": PageWords(
        choice="Was möchten Sie abbestellen?",
        everything="Alle E-Mails abbestellen",
        only="Nur „{name}“ abbestellen",
        done="Sie sind abgemeldet",
        invalid="Dieser Link funktioniert nicht",
        later="Im Moment nicht möglich",
        done_text="Sie erhalten diese E-Mails nicht mehr.",
        left_text="Sie erhalten „{name}“ nicht mehr. Andere E-Mails können Sie weiterhin erreichen.",
        invalid_text=(
            "Bitte öffnen Sie ihn noch einmal aus der E-Mail, oder antworten Sie auf die E-Mail, dass Sie keine"
            " weiteren wünschen."
        ),
        later_text="Bitte versuchen Sie es in einigen Minuten noch einmal.",
    ),
    "fr": PageWords(
        choice="Que souhaitez-vous ne plus recevoir ?",
        everything="Arrêter tous les e-mails",
        only="Arrêter seulement « {name} »",
        done="Vous êtes désabonné(e)",
        invalid="Ce lien ne fonctionne pas",
        later="Impossible pour le moment",
        done_text="Vous ne recevrez plus ces e-mails.",
        left_text="Vous ne recevrez plus « {name} ». D'autres e-mails peuvent encore vous parvenir.",
        invalid_text="Ouvrez-le à nouveau depuis l'e-mail, ou répondez à l'e-mail que vous n'en souhaitez plus.",
        later_text="Veuillez réessayer dans quelques minutes.",
    ),
    "es": PageWords(
        choice="¿Qué desea dejar de recibir?",
        everything="Dejar de recibir todos los correos",
        only="Dejar de recibir solo «{name}»",
        done="Se ha dado de baja",
        invalid="Este enlace no funciona",
        later="Ahora no es posible",
        done_text="Ya no recibirá estos correos.",
        left_text="Ya no recibirá «{name}». Es posible que le lleguen otros correos.",
        invalid_text="Ábralo de nuevo desde el correo, o responda al correo que no desea recibir más.",
        later_text="Inténtelo de nuevo en unos minutos.",
    ),
    "pt": PageWords(
        choice="O que deseja deixar de receber?",
        everything="Cancelar todos os e-mails",
        only="Cancelar apenas “{name}”",
        done="A sua inscrição foi cancelada",
        invalid="Este link não funciona",
        later="Não é possível agora",
        done_text="Não receberá mais estes e-mails.",
        left_text="Não receberá mais “{name}”. Outros e-mails ainda poderão chegar.",
        invalid_text="Abra-o novamente a partir do e-mail, ou responda ao e-mail que não deseja receber mais.",
        later_text="Tente novamente dentro de alguns minutos.",
    ),
    "it": PageWords(
        choice="Che cosa non desidera più ricevere?",
        everything="Interrompere tutte le e-mail",
        only="Interrompere solo «{name}»",
        done="L'iscrizione è annullata",
        invalid="Questo link non funziona",
        later="Al momento non è possibile",
        done_text="Non riceverà più queste e-mail.",
        left_text="Non riceverà più «{name}». Potrebbero ancora arrivarle altre e-mail.",
        invalid_text="Lo riapra dall'e-mail, oppure risponda all'e-mail che non desidera riceverne altre.",
        later_text="Riprovi tra qualche minuto.",
    ),
    "nl": PageWords(
        choice="Wat wilt u niet meer ontvangen?",
        everything="Alle e-mails stoppen",
        only="Alleen “{name}” stoppen",
        done="U bent afgemeld",
        invalid="Deze link werkt niet",
        later="Dat lukt nu niet",
        done_text="U ontvangt deze e-mails niet meer.",
        left_text="U ontvangt “{name}” niet meer. Andere e-mails kunnen u nog wel bereiken.",
        invalid_text="Open hem opnieuw vanuit de e-mail, of beantwoord de e-mail met de vraag niets meer te sturen.",
        later_text="Probeer het over een paar minuten opnieuw.",
    ),
    "pl": PageWords(
        choice="Z czego chcą Państwo zrezygnować?",
        everything="Zrezygnuj ze wszystkich wiadomości",
        only="Zrezygnuj tylko z „{name}”",
        done="Subskrypcja została anulowana",
        invalid="Ten link nie działa",
        later="Teraz nie jest to możliwe",
        done_text="Nie otrzymają Państwo więcej tych wiadomości.",
        left_text="Nie otrzymają Państwo więcej „{name}”. Inne wiadomości mogą nadal przychodzić.",
        invalid_text=(
            "Proszę otworzyć go ponownie z wiadomości albo odpowiedzieć na nią, że nie chcą Państwo otrzymywać"
            " kolejnych."
        ),
        later_text="Proszę spróbować za kilka minut.",
    ),
    "sv": PageWords(
        choice="Vad vill du inte längre få?",
        everything="Stoppa alla mejl",
        only="Stoppa bara ”{name}”",
        done="Du är avregistrerad",
        invalid="Länken fungerar inte",
        later="Det går inte just nu",
        done_text="Du får inte de här mejlen längre.",
        left_text="Du får inte ”{name}” längre. Andra mejl kan fortfarande komma.",
        invalid_text="Öppna den igen från mejlet, eller svara på mejlet att du inte vill ha fler.",
        later_text="Försök igen om några minuter.",
    ),
    "ja": PageWords(
        choice="停止する配信をお選びください。",
        everything="すべての配信を停止",
        only="「{name}」のみ停止",
        done="配信を停止しました",
        invalid="このリンクは使用できません",
        later="ただいま処理できません",
        done_text="今後、メールは届きません。",
        left_text="今後「{name}」は届きません。ほかのメールは届くことがあります。",
        invalid_text="メールからもう一度開くか、配信停止をご希望の旨をメールにご返信ください。",
        later_text="数分後にもう一度お試しください。",
    ),
}
"""By ISO 639-1 code; the same languages as core.footer.WORDINGS, which a test holds."""
