"""The tables.

Uniqueness of a touch and of a received event, and the legal moves of a touch, are held here, by the database
itself, so that no bug above can send twice. Changing anything here needs a migration beside it (ledger/migrations).
"""

from __future__ import annotations

from sqlalchemy import (
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    Date,
    Float,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    Table,
    UniqueConstraint,
    text,
)

from crmdrip.core.model import RunStatus, TouchState
from crmdrip.ledger.columns import Instant, Words

metadata = MetaData()

meta = Table(
    "meta",
    metadata,
    Column("name", Words, primary_key=True),
    Column("value", Words, nullable=False),
)
"""Single facts: org_id, mode, heartbeat."""

cursor = Table(
    "cursor",
    metadata,
    Column("name", Words, primary_key=True),
    Column("value", Words, nullable=False),
    Column("saved_at", Instant, nullable=False),
)
"""How far each feed has been read; saved in the transaction that stores what the page brought."""

sequence = Table(
    "sequence",
    metadata,
    Column("id", Words, primary_key=True),
    Column("name", Words, nullable=False),
    Column("version", Words, nullable=False),
    Column("definition", LargeBinary, nullable=True),
    Column("error", Words, nullable=False),
    Column("suspicion", Words, nullable=False),
    Column("suspicion_cleared_at", Instant, nullable=True),
    Column("removed", Boolean, nullable=False),
    Column("changed_at", Instant, nullable=False),
)
"""The last good definition of each sequence, NULL until there was one; error and suspicion as sentences."""

definition = Table(
    "definition",
    metadata,
    Column("version", Words, primary_key=True),
    Column("sequence_id", Words, nullable=False),
    Column("body", LargeBinary, nullable=False),
    Column("seen_at", Instant, nullable=False),
)
"""Every definition ever used, by version: what a touch was rendered from can always be shown (B17)."""

record = Table(
    "record",
    metadata,
    Column("id", Words, primary_key=True),
    Column("kind", Words, nullable=False),
    Column("address", Words, nullable=False),
    Column("account_id", Words, nullable=True),
    Column("enrolled", Boolean, nullable=False),
    Column("sequence_id", Words, nullable=True),
    Column("box_pending", Words, nullable=False),
    Column("box_set", BigInteger, nullable=False),
    Column("modified_at", Instant, nullable=False),
    Column("deleted", Boolean, nullable=False),
    Index("record_by_address", "address"),
    Index("record_by_account", "account_id"),
)
"""People's records as last pulled: who shares an address, and which box is still to be unticked. `box_set`: the number
of the write that set its box last, 0 before the first, by which a page is known that our own write overtook (B9)."""

_live = ", ".join(f"'{s.value}'" for s in RunStatus if s.live)
IS_LIVE = text("ended_at IS NULL")
IS_HELD = text("reason LIKE 'hold.%'")
IS_UNPROVEN = text("unproven")
IS_OPEN = text("state IN ('intended', 'in_doubt', 'needs_person')")
IS_WAITING = text("state = 'waiting'")
IS_OF_TOUCH = text("record_id IS NULL AND address IS NULL")
"""Conditions of the partial indexes below, for queries to repeat word by word: written in another way, or with
parameters, SQLite does not see that the index serves, and reads the whole table."""

ERASED = ""
"""Stands for the record and the address of a run whose person's data was erased: the run is nobody's any more."""

enrollment = Table(
    "enrollment",
    metadata,
    Column("id", BigInteger().with_variant(Integer, "sqlite"), primary_key=True, autoincrement=True),
    Column("person", Words, nullable=False),
    Column("address", Words, nullable=False),
    Column("record_id", Words, nullable=False),
    Column("kind", Words, nullable=False),
    Column("sequence_id", Words, nullable=False),
    Column("run", Integer, nullable=False),
    Column("status", Words, nullable=False),
    Column("reason", Words, nullable=False),
    Column("reason_detail", Words, nullable=False),
    Column("entered_at", Instant, nullable=False),
    Column("ended_at", Instant, nullable=True),
    Column("due_at", Instant, nullable=True),
    Column("check_at", Instant, nullable=True),
    Column("first", Boolean, nullable=False),
    Column("unproven", Boolean, nullable=False),
    Column("next_step_id", Words, nullable=True),
    Column("position", Float, nullable=True),
    Column("steps_done", Integer, nullable=False),
    Column("last_touch_at", Instant, nullable=True),
    Column("last_touch_zone", Words, nullable=False),
    Column("sender", Words, nullable=False),
    Column("owner_id", Words, nullable=True),
    Column("thread", Words, nullable=False),
    Column("thread_subject", Words, nullable=False),
    Column("revision", Integer, nullable=False),
    UniqueConstraint("person", "sequence_id", "run", name="one_run_of_a_number"),
    CheckConstraint("status IN (" + ", ".join(f"'{s.value}'" for s in RunStatus) + ")", name="status_is_known"),
    CheckConstraint(f"(ended_at IS NULL) = (status IN ({_live}))", name="ended_when_not_live"),
    Index("one_live_run_per_address", "address", unique=True, sqlite_where=IS_LIVE, postgresql_where=IS_LIVE),
    Index(
        "enrollment_due",
        "first",
        "check_at",
        sqlite_where=text("check_at IS NOT NULL"),
        postgresql_where=text("check_at IS NOT NULL"),
    ),
    Index("enrollment_by_record", "record_id"),
    Index("enrollment_by_reason", "sequence_id", "reason", sqlite_where=IS_HELD, postgresql_where=IS_HELD),
    Index("enrollment_unproven", "due_at", sqlite_where=IS_UNPROVEN, postgresql_where=IS_UNPROVEN),
)
"""Runs. `first` is true until a step is done: follow-ups are claimed before first emails.
`one_live_run_per_address` is B13, held by the database."""

touch = Table(
    "touch",
    metadata,
    Column("id", Words, primary_key=True),
    Column("enrollment_id", BigInteger().with_variant(Integer, "sqlite"), ForeignKey("enrollment.id"), nullable=False),
    Column("step_id", Words, nullable=False),
    Column("step_order", Float, nullable=False),
    Column("kind", Words, nullable=False),
    Column("state", Words, nullable=False),
    Column("attempt", Integer, nullable=False),
    Column("at", Instant, nullable=False),
    Column("not_before", Instant, nullable=True),
    Column("address", Words, nullable=False),
    Column("sender", Words, nullable=False),
    Column("message_id", Words, nullable=False),
    Column("subject", Words, nullable=False),
    Column("version", Words, nullable=False),
    Column("zone", Words, nullable=False),
    Column("zone_source", Words, nullable=False),
    Column("provider_id", Words, nullable=False),
    Column("detail", Words, nullable=False),
    UniqueConstraint("enrollment_id", "step_id", name="one_touch_of_a_step"),
    CheckConstraint("state IN (" + ", ".join(f"'{s.value}'" for s in TouchState) + ")", name="state_is_known"),
    Index("touch_open", "state", "not_before", sqlite_where=IS_OPEN, postgresql_where=IS_OPEN),
)
"""Touches, each under its derived id: the row is there before the request leaves, so a second cannot be."""

touch_move = Table(
    "touch_move",
    metadata,
    Column("from_state", Words, primary_key=True),
    Column("to_state", Words, primary_key=True),
)
"""The legal moves of a touch; a trigger refuses all others."""

signal = Table(
    "signal",
    metadata,
    Column("key", Words, primary_key=True),
    Column("kind", Words, nullable=False),
    Column("at", Instant, nullable=False),
    Column("source", Words, nullable=False),
    Column("record_id", Words, nullable=True),
    Column("address", Words, nullable=True),
    Column("touch_id", Words, nullable=True),
    Column("detail", Words, nullable=False),
    Column("until", Date, nullable=True),
    Column("seen_at", Instant, nullable=False),
    Index("signal_by_record", "record_id"),
    Index("signal_by_address", "address"),
    Index("signal_of_touch", "seen_at", sqlite_where=IS_OF_TOUCH, postgresql_where=IS_OF_TOUCH),
)
"""Everything that happened, once each. What tells of one email alone stands under its touch, where no last look reads
it, and is forgotten once nobody repeats it any more."""

received = Table(
    "received",
    metadata,
    Column("id", BigInteger().with_variant(Integer, "sqlite"), primary_key=True, autoincrement=True),
    Column("source", Words, nullable=False),
    Column("key", Words, nullable=False),
    Column("body", LargeBinary, nullable=False),
    Column("content_type", Words, nullable=False),
    Column("envelope_to", Words, nullable=False),
    Column("received_at", Instant, nullable=False),
    Column("state", Words, nullable=False),
    Column("attempt", Integer, nullable=False),
    Column("not_before", Instant, nullable=False),
    Column("error", Words, nullable=False),
    UniqueConstraint("source", "key", name="one_delivery_of_a_key"),
    CheckConstraint("state IN ('waiting', 'done', 'failed')", name="received_state_is_known"),
    Index("received_waiting", "id", sqlite_where=IS_WAITING, postgresql_where=IS_WAITING),
    Index("received_by_time", "received_at"),
)
"""Everything that was handed over by somebody who proved who they are, raw, before it is read. Of what was read and
understood the body is dropped and the key kept, until nobody repeats it any more."""

engagement = Table(
    "engagement",
    metadata,
    Column("touch_id", Words, primary_key=True),
    Column("outcome", Words, nullable=False),
    Column("rank", Integer, nullable=False),
    Column("detail", Words, nullable=False),
    Column("first_at", Instant, nullable=False),
    Column("opens", Integer, nullable=False),
    Column("machine_opens", Integer, nullable=False),
    Column("clicks", Integer, nullable=False),
    Column("told_at", Instant, nullable=True),
)
"""What the provider told of each touch, beside the touch so that sending never waits for it. `rank` only grows: what
comes late or twice moves nothing back (B23). `told_at`: when the CRM is told, or was told last."""

mail = Table(
    "mail",
    metadata,
    Column("key", Words, primary_key=True),
    Column("received_at", Instant, nullable=False),
    Column("source", Words, nullable=False),
    Column("kind", Words, nullable=False),
    Column("why", Words, nullable=False),
    Column("how", Words, nullable=False),
    Column("sender", Words, nullable=False),
    Column("subject", Words, nullable=False),
    Column("address", Words, nullable=False),
    Column("record_id", Words, nullable=False),
    Column("touch_id", Words, nullable=False),
    Column("body", LargeBinary, nullable=False),
    Index("mail_by_time", "received_at"),
)
"""Every mail that was read, once, however many ways it came by: what it was taken for, and whose it is. `body` is kept
of what a person wrote to us and nobody is known by, until it is too old to matter."""

forward = Table(
    "forward",
    metadata,
    Column("id", Words, primary_key=True),
    Column("state", Words, nullable=False),
    Column("attempt", Integer, nullable=False),
    Column("not_before", Instant, nullable=False),
    Column("created_at", Instant, nullable=False),
    Column("owner_id", Words, nullable=False),
    Column("message", LargeBinary, nullable=False),
    Column("detail", Words, nullable=False),
    CheckConstraint(
        "state IN ('waiting', 'intended', 'accepted', 'in_doubt', 'failed')", name="forward_state_is_known"
    ),
    Index("forward_waiting", "not_before", sqlite_where=IS_WAITING, postgresql_where=IS_WAITING),
)
"""Answers to be sent on to the rep, each once: the row says "intended" before the request leaves (B1). What an answer
said is dropped once it was sent on. owner_id: of the rep in the CRM, while nobody here knows their address; else ""."""

suppression = Table(
    "suppression",
    metadata,
    Column("address_key", Words, primary_key=True),
    Column("kind", Words, nullable=False),
    Column("at", Instant, nullable=False),
    Column("source", Words, nullable=False),
)
"""Addresses never to be mailed, as keys.person_key: a person's data can be erased and the suppression kept."""

sequence_suppression = Table(
    "sequence_suppression",
    metadata,
    Column("address_key", Words, primary_key=True),
    Column("sequence_id", Words, primary_key=True),
    Column("at", Instant, nullable=False),
    Column("source", Words, nullable=False),
)
"""Who wants no more email from one sequence, as keys.person_key. Other sequences go on."""

outbox = Table(
    "outbox",
    metadata,
    Column("key", Words, primary_key=True),
    Column("kind", Words, nullable=False),
    Column("priority", Integer, nullable=False),
    Column("payload", LargeBinary, nullable=False),
    Column("revision", Integer, nullable=False),
    Column("attempt", Integer, nullable=False),
    Column("not_before", Instant, nullable=False),
    Column("parked", Boolean, nullable=False),
    Column("code", Words, nullable=False),
    Column("detail", Words, nullable=False),
    Column("created_at", Instant, nullable=False),
    Index("outbox_due", "parked", "priority", "not_before"),
)
"""Write-backs owed to the CRM. A newer status of a record takes the older one's place (revision counts up)."""

worker = Table(
    "worker",
    metadata,
    Column("id", Words, primary_key=True),
    Column("name", Words, nullable=False),
    Column("process", Words, nullable=False),
    Column("version", Words, nullable=False),
    Column("ready", Boolean, nullable=False),
    Column("joined_at", Instant, nullable=False),
    Column("seen_at", Instant, nullable=False),
)
"""The daemons that may write, where the ledger is on a server; times by the server's clock. `process`: the name of its
connections there. `ready`: it knows that the ledger holds what the CRM holds. Empty on SQLite, whose file is locked."""

assignment = Table(
    "assignment",
    metadata,
    Column("run_id", BigInteger().with_variant(Integer, "sqlite"), primary_key=True, autoincrement=False),
    Column("worker_id", Words, nullable=False),
    Index("assignment_of_worker", "worker_id"),
)
"""Runs that one of several daemons looks at and mails just now, each with one of them at most."""

tally = Table(
    "tally",
    metadata,
    Column("scope", Words, primary_key=True),
    Column("key", Words, primary_key=True),
    Column("start", Instant, primary_key=True),
    Column("n", BigInteger, nullable=False),
)
"""Counters: caps by day or hour, and totals (start at 1970) for the sequence's own figures."""
