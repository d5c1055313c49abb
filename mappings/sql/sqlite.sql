-- A CRM in an SQLite file: every table that mappings/sql.toml names. crmdrip install sql makes the same, and adds what
-- is missing to tables that are there. Times are text in UTC (YYYY-MM-DD HH:MM:SS), boxes 0 or 1.
--     sqlite3 crm.sqlite3 < sqlite.sql

-- People. The first columns are such as any CRM has; those named drip_... are crmdrip's. An address may stand in
-- several rows: an opt-out is written to all of them.
CREATE TABLE contacts (
    id INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT,
    email VARCHAR(254),
    first_name VARCHAR(255),
    last_name VARCHAR(255),
    owner_id INTEGER,
    account_id INTEGER,
    time_zone VARCHAR(255),  -- such as Europe/Berlin
    country VARCHAR(255),
    state VARCHAR(255),
    opted_out BOOLEAN DEFAULT 0,  -- never mailed; crmdrip sets it when somebody unsubscribes
    bounced_reason VARCHAR(255),
    bounced_at DATETIME,
    updated_at DATETIME,  -- set by every change: see the triggers below
    drip_enrolled BOOLEAN DEFAULT 0,  -- the box: ticked by people, unticked by crmdrip on stop and finish
    drip_sequence_id INTEGER,  -- which sequence
    drip_paused_until DATETIME,  -- people: nothing goes out until then
    drip_approved BOOLEAN DEFAULT 0,  -- people: the next step that needs it may go out
    drip_status VARCHAR(255),  -- crmdrip: Queued, Active, Held, Paused, Finished, Stopped, Refused
    drip_reason VARCHAR(255),  -- crmdrip: why, in plain words
    drip_step VARCHAR(255),  -- crmdrip: "2 of 4"
    drip_next_touch DATETIME,
    drip_last_touch DATETIME,
    drip_run INTEGER,
    drip_out_of_office_until DATETIME,
    drip_replied_at DATETIME,
    title VARCHAR(255),
    phone VARCHAR(255),
    company VARCHAR(255)
);

-- Sequences. An empty column takes its default (docs/sql.md). version, error and the counts are written by crmdrip.
CREATE TABLE drip_sequences (
    id INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT,
    name VARCHAR(255),
    status VARCHAR(64),  -- Draft, Live, Paused or Retired
    send_days VARCHAR(64),  -- Mon,Tue,Wed,Thu,Fri
    send_from VARCHAR(64),  -- 09:00
    send_until VARCHAR(64),  -- 17:00
    time_zone VARCHAR(64),  -- such as Europe/Berlin
    time_zone_policy VARCHAR(64),  -- recipient, sender or fixed
    holiday_country VARCHAR(64),
    sender VARCHAR(320),  -- owner, first_sender, owner_or_hold or fixed
    from_address VARCHAR(320),
    re_enrollment VARCHAR(64),
    re_enroll_after_days INTEGER,
    minimum_gap_hours INTEGER,
    daily_cap INTEGER,
    domain_cap INTEGER,
    entry_cap INTEGER,
    domain_entry_cap INTEGER,
    confirm_above INTEGER,
    confirmed BOOLEAN DEFAULT 0,
    on_colleague_reply VARCHAR(64),
    on_opportunity VARCHAR(64),
    on_conversion VARCHAR(64),
    stop_when VARCHAR(255),  -- a column of contacts: status = Lost, Won
    public_name VARCHAR(255),
    version VARCHAR(64),
    error TEXT,
    active_count INTEGER,
    sent_count INTEGER,
    replied_count INTEGER,
    meetings_count INTEGER,
    stopped_count INTEGER,
    held_count INTEGER
);

-- Steps, known by their id: people in flight are followed by it, so never reuse one. Several active steps of one
-- position are variants, told apart by variant and weighed by weight.
CREATE TABLE drip_steps (
    id INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT,
    sequence_id INTEGER,
    position INTEGER,  -- 1, 2, 3: leave room and number by tens
    kind VARCHAR(64),  -- email or task
    delay INTEGER,  -- after the step before, in delay_unit
    delay_unit VARCHAR(64),  -- minutes, hours, days or business_days
    subject VARCHAR(998),
    body TEXT,
    continue_thread BOOLEAN DEFAULT 0,
    variant VARCHAR(64),
    weight INTEGER,
    needs_approval BOOLEAN DEFAULT 0,
    expires_after_hours INTEGER,
    active BOOLEAN DEFAULT 1
);

-- What happened: one row for each email that went out, task for a rep, note and reply. A rep finishes a task by
-- setting done_at.
CREATE TABLE drip_touches (
    id INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT,
    touch_id VARCHAR(64),  -- unique: a repeated write stands once
    contact_id INTEGER,
    kind VARCHAR(64),  -- email, task, note or reply
    owner_id INTEGER,
    sequence_name VARCHAR(255),
    sequence_id VARCHAR(64),
    step VARCHAR(64),
    step_id VARCHAR(64),
    run INTEGER,
    outcome VARCHAR(64),
    message_id VARCHAR(255),
    subject VARCHAR(998),
    body TEXT,
    happened_at DATETIME,
    done_at DATETIME,  -- NULL while a rep still has to do it
    opens INTEGER,
    clicks INTEGER,
    UNIQUE (touch_id)
);

-- One row: which database this is, the emergency brake, and what the daemon is doing.
CREATE TABLE drip_control (
    org_id VARCHAR(64) NOT NULL,
    name VARCHAR(255),
    home VARCHAR(255),  -- written by crmdrip: a copy that answers elsewhere is not mailed from
    brake BOOLEAN DEFAULT 0,  -- the emergency brake: set it, and nothing goes out
    brake_by VARCHAR(64),  -- who set it
    heartbeat DATETIME,
    claim VARCHAR(64),
    state VARCHAR(255),
    calls_used INTEGER,
    calls_limit INTEGER,
    PRIMARY KEY (org_id)
);

-- Who owns contacts, and sends.
CREATE TABLE users (
    id INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT,
    name VARCHAR(255),
    email VARCHAR(254),
    active BOOLEAN DEFAULT 1,
    time_zone VARCHAR(255),
    title VARCHAR(255),
    phone VARCHAR(255),
    signature TEXT
);

-- Name this database. A copy of it, such as one for tests, must have another name.
INSERT INTO drip_control (org_id, brake) VALUES ('acme-crm', 0);

-- Whoever changes a row changes its time. crmdrip's own columns are not listed: what it writes is no news of a person.
CREATE TRIGGER contacts_updated_at AFTER UPDATE OF
    email, first_name, last_name, owner_id, account_id, time_zone, country, state, opted_out, bounced_reason,
    bounced_at, drip_enrolled, drip_sequence_id, drip_paused_until, drip_approved ON contacts
BEGIN
    UPDATE contacts SET updated_at = CURRENT_TIMESTAMP WHERE id = NEW.id;
END;
CREATE TRIGGER contacts_made AFTER INSERT ON contacts WHEN NEW.updated_at IS NULL
BEGIN
    UPDATE contacts SET updated_at = CURRENT_TIMESTAMP WHERE id = NEW.id;
END;

-- Pulls read by these.
CREATE INDEX contacts_updated_at ON contacts (updated_at);
CREATE INDEX contacts_email ON contacts (lower(trim(email)));
CREATE INDEX drip_touches_done_at ON drip_touches (done_at) WHERE kind = 'task';
