"""Definitions survive the ledger field by field; a broken edit leaves the last good one in force (B17)."""

from __future__ import annotations

import string
from datetime import time

from hypothesis import given
from hypothesis import strategies as st
from ledger_values import NOW, sequence

from crmdrip.core.model import (
    DelayUnit,
    OnColleagueReply,
    OnConversion,
    OnOpportunity,
    Reenrollment,
    SenderPolicy,
    Sequence,
    SequenceStatus,
    Step,
    StepKind,
    ZonePolicy,
)
from crmdrip.ledger import definitions

words = st.text(string.ascii_letters + "äß日 {}%", max_size=20)
caps = st.none() | st.integers(1, 10_000)
steps = st.builds(
    Step,
    id=words,
    order=st.floats(-1000, 1000),
    kind=st.sampled_from(StepKind),
    delay=st.integers(0, 100),
    delay_unit=st.sampled_from(DelayUnit),
    subject=words,
    body=words,
    continue_thread=st.booleans(),
    variant=words,
    weight=st.integers(0, 100),
    needs_approval=st.booleans(),
    expires_after_hours=caps,
    active=st.booleans(),
)
sequences = st.builds(
    Sequence,
    id=words,
    name=words,
    status=st.sampled_from(SequenceStatus),
    version=words,
    steps=st.lists(steps, max_size=4).map(tuple),
    send_days=st.frozensets(st.integers(0, 6)),
    send_from=st.times().map(lambda at: time(at.hour, at.minute)),
    send_until=st.times().map(lambda at: time(at.hour, at.minute)),
    time_zone=words,
    zone_policy=st.sampled_from(ZonePolicy),
    holiday_country=words,
    sender_policy=st.sampled_from(SenderPolicy),
    from_address=words,
    reenrollment=st.sampled_from(Reenrollment),
    reenroll_after_days=st.integers(0, 400),
    minimum_gap_hours=st.integers(0, 100),
    daily_cap=caps,
    domain_cap=caps,
    entry_cap=caps,
    domain_entry_cap=caps,
    confirm_above=caps,
    confirmed=st.booleans(),
    on_colleague_reply=st.sampled_from(OnColleagueReply),
    on_opportunity=st.sampled_from(OnOpportunity),
    on_conversion=st.sampled_from(OnConversion),
    stop_field=words,
    stop_values=st.frozensets(words, max_size=3),
    public_name=words,
)


@given(sequences)
def test_every_field_survives(value):
    """What is decoded is what was encoded, derived values included."""
    found = definitions.decode_sequence(definitions.encode_sequence(value))
    assert found == value
    assert (found.slots, found.active_orders) == (value.slots, value.active_orders)


def test_a_definition_of_an_older_release_takes_the_defaults():
    """A field that did not exist then is not missed now."""
    plain = sequence()
    body = definitions.encode_sequence(plain).replace(b'"entry_cap":null,', b"")
    assert b"entry_cap" not in body.replace(b"domain_entry_cap", b"")
    assert definitions.decode_sequence(body) == plain


def test_a_broken_edit_leaves_the_last_good_version_in_force(any_ledger):
    """B17: the error stands beside it, and goes with the next good edit."""
    with any_ledger.write() as connection:
        definitions.save_good(connection, sequence(version="v1"), NOW)
        definitions.save_broken(connection, "seq", "Trial", "Step 2 has no body.", NOW)
        broken = definitions.load_sequences(connection)["seq"]
        definitions.save_good(connection, sequence(version="v2"), NOW)
        mended = definitions.load_sequences(connection)["seq"]
    assert broken.good is not None
    assert (broken.good.version, broken.error) == ("v1", "Step 2 has no body.")
    assert mended.good is not None
    assert (mended.good.version, mended.error) == ("v2", "")


def test_a_sequence_that_never_was_valid_has_no_definition(any_ledger):
    """There is nothing to fall back on, and the error says why."""
    with any_ledger.write() as connection:
        definitions.save_broken(connection, "seq", "Trial", "No name.", NOW)
        found = definitions.load_sequences(connection)["seq"]
    assert (found.good, found.error) == (None, "No name.")


def test_a_suspicion_outlives_edits_until_it_is_cleared(any_ledger):
    """B10: only a confirmation lets the sequence go on."""
    with any_ledger.write() as connection:
        definitions.save_good(connection, sequence(), NOW)
        definitions.suspect(connection, "seq", "too many")
        definitions.save_good(connection, sequence(version="v2"), NOW)
        assert definitions.load_sequences(connection)["seq"].suspicion == "too many"
        definitions.clear_suspicion(connection, "seq", NOW)
        assert definitions.load_sequences(connection)["seq"].suspicion == ""
