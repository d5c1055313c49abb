"""Mail that comes back: what people and machines write in ten languages, with the truth about each."""

from crmdrip.sandbox.world.letters.letter import HUMAN, MACHINE, Letter, Occasion, Truth, Who
from crmdrip.sandbox.world.letters.phrases import LANGUAGES
from crmdrip.sandbox.world.letters.writing import write, write_mailto, write_words

__all__ = [
    "HUMAN",
    "LANGUAGES",
    "MACHINE",
    "Letter",
    "Occasion",
    "Truth",
    "Who",
    "write",
    "write_mailto",
    "write_words",
]
