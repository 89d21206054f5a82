-- Applications for connection. `request` is what was handed in, as JSON; it never changes.
CREATE TABLE application (
    number       BIGINT PRIMARY KEY NOT NULL,
    state        TEXT NOT NULL,
    agency       TEXT NOT NULL,
    system       TEXT NOT NULL,
    request      TEXT NOT NULL,
    submitted_at BIGINT NOT NULL
);

CREATE INDEX application_by_system ON application (system);
CREATE INDEX application_by_agency ON application (agency);

-- Who did what to an application, when, and in which official letter. Only ever grows.
CREATE TABLE application_step (
    application BIGINT NOT NULL REFERENCES application (number),
    place       BIGINT NOT NULL,
    action      TEXT NOT NULL,
    actor       TEXT NOT NULL,
    made_at     BIGINT NOT NULL,
    reason      TEXT NOT NULL,
    letter      TEXT NOT NULL,
    -- The revision that carried it out, when it changed the configuration.
    revision    BIGINT,
    PRIMARY KEY (application, place)
);

-- Which systems may have keys: without a row here, or with one that was withdrawn, none is made.
CREATE TABLE approval (
    system           TEXT PRIMARY KEY NOT NULL,
    -- Absent when it was approved without an application.
    application      BIGINT,
    actor            TEXT NOT NULL,
    made_at          BIGINT NOT NULL,
    reason           TEXT NOT NULL,
    letter           TEXT NOT NULL,
    withdrawn_at     BIGINT,
    withdrawn_by     TEXT,
    withdrawn_reason TEXT
);

-- Systems that were connected before applications were kept stay connected.
INSERT INTO approval (system, actor, made_at, reason, letter)
SELECT c.name, r.author, r.created_at, 'connected before applications were kept', ''
FROM revision_change c JOIN revision r ON r.number = c.revision
WHERE c.kind = 'System' AND c.content IS NOT NULL
  AND c.revision = (SELECT MAX(d.revision) FROM revision_change d WHERE d.kind = c.kind AND d.name = c.name);
