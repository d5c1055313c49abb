"""A seeded world of people who get email and react to it, and the oracle that watches."""

from crmdrip.sandbox.world.actions import Actions, ClickWay, MeetingForm, OneClick
from crmdrip.sandbox.world.answers import Answer, Way
from crmdrip.sandbox.world.habits import NOBODY_REACTS, Deed, Habits
from crmdrip.sandbox.world.letters import HUMAN, LANGUAGES, MACHINE, Truth, Who
from crmdrip.sandbox.world.people import SENDING_DOMAIN, Trait
from crmdrip.sandbox.world.stops import Stop, StopKind, Stops, Violation
from crmdrip.sandbox.world.world import Happened, Person, World

__all__ = [
    "HUMAN",
    "LANGUAGES",
    "MACHINE",
    "NOBODY_REACTS",
    "SENDING_DOMAIN",
    "Actions",
    "Answer",
    "ClickWay",
    "Deed",
    "Habits",
    "Happened",
    "MeetingForm",
    "OneClick",
    "Person",
    "Stop",
    "StopKind",
    "Stops",
    "Trait",
    "Truth",
    "Violation",
    "Way",
    "Who",
    "World",
]
