"""Whether a text is a notice: made of the sentences that answering programs are given, and of no others.

A person's answer has a sentence of its own nearly always: a question, a wish, a reason. So one phrase of a machine's is
little, and a text in which every sentence is one is much. Decides nothing by itself.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

from crmdrip.inbound.languages import Language

LONGEST = 1_500
"""Characters of the longest text that is looked at sentence by sentence."""
SENTENCE = 260
"""Characters of the longest sentence that one phrase can account for."""
SHORT = 24
"""Characters of a sentence that says nothing by itself: a greeting, a name, what an abbreviation's dot cut off."""
REST_WORDS = 9
REST_CLAUSE_WORDS = 4
REST_CHARACTERS = 15
"""What follows "has left" and adds nothing: whom, since when. Fewer where a clause begins; characters in Japanese."""
FAREWELL = 60
"""Characters of the last words, after the last full stop: a closing and a name."""

_SENTENCE = re.compile(r"(?<=[.!?])(?<!\b\d\.)(?<!\b\d\d\.)\s|(?<=[。！？])")
"""Not after the dot of a day: "zum 30. Juni"."""
_CLAUSE = re.compile(
    r"[,;:]|\b(?:and|so|but|which|und|also|aber|et|donc|mais|y|pero|e|mas|entao|ma|quindi|en|dus|maar|i|wiec|ale|och|men)\b"
)
_TABLES = ("away", "left", "left_surely", "gone", "machine", "redirect", "courtesy")


def is_notice(text: str, languages: Iterable[Language]) -> bool:
    """Whether every sentence of a folded text is a notice's in one of the languages, and nothing in it wants more."""
    if not text or len(text) > LONGEST:
        return False
    sentences = [one for one in _SENTENCE.split(text) if one.strip()]
    return any(_is_notice_in(sentences, one) for one in languages)


def _is_notice_in(sentences: list[str], language: Language) -> bool:
    *before, last = sentences
    said = [_is_known(one, language) for one in sentences]
    bare = [len(one) <= SHORT for one in before] + [len(last) <= FAREWELL and last[-1] not in ".!?。！？"]
    return any(said) and all(one or other for one, other in zip(said, bare, strict=True)) and not engages(
        " ".join(sentences), (language,)
    )  # fmt: skip


def _is_known(sentence: str, language: Language) -> bool:
    if len(sentence) > SENTENCE:
        return False
    patterns = (*(language.words[name] for name in _TABLES), *language.acknowledgements, *language.formulas)
    return any(one.search(sentence) for one in patterns)


def tells_who_is_gone(text: str, languages: Iterable[Language]) -> str:
    """The language in which a folded text is a notice that somebody is gone, "" when it is not.

    "She has left, so nothing will be decided" is a person's: the sentence goes on to something else.
    """
    for language in languages:
        found = [found for one in _SENTENCE.split(text) if (found := language.words["gone"].search(one))]
        if found and is_notice(text, (language,)) and not any(_goes_on(one, language) for one in found):
            return language.code
    return ""


def _goes_on(found: re.Match[str], language: Language) -> bool:
    rest = found.string[found.end() :]
    words = REST_CLAUSE_WORDS if _CLAUSE.search(rest) else REST_WORDS
    is_long = len(rest.split()) > words or (not rest.isascii() and len(rest) > REST_CHARACTERS)
    return is_long and not _is_known(rest, language)


def engages(text: str, languages: Iterable[Language]) -> str:
    """The language in which a folded text wants to go on talking, "" when it doesn't.

    "I can" is a person's word, and none inside "I will answer as soon as I can".
    """
    for language in languages:
        for sentence in _SENTENCE.split(text):
            found = [one.span() for one in language.words["engaged"].finditer(sentence)]
            if found and not all(_is_within(one, _formulaic(sentence, language)) for one in found):
                return language.code
    return ""


def _formulaic(sentence: str, language: Language) -> list[tuple[int, int]]:
    return list(_spans(sentence, language))


def _spans(sentence: str, language: Language) -> Iterator[tuple[int, int]]:
    for pattern in language.formulas:
        for found in pattern.finditer(sentence):
            yield found.span()


def _is_within(span: tuple[int, int], spans: Iterable[tuple[int, int]]) -> bool:
    return any(start <= span[0] and span[1] <= end for start, end in spans)
