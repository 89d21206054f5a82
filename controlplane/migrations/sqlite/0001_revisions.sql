-- Numbered, immutable revisions. A revision costs its change: bodies are kept once, under their hash, and the state at
-- revision N is the latest change of every key up to N.
CREATE TABLE revision (
    number     BIGINT PRIMARY KEY NOT NULL,
    base       BIGINT NOT NULL,
    hash       TEXT NOT NULL,
    documents  BIGINT NOT NULL,
    author     TEXT NOT NULL,
    message    TEXT NOT NULL,
    created_at BIGINT NOT NULL
);

CREATE TABLE content (
    hash TEXT PRIMARY KEY NOT NULL,
    spec TEXT NOT NULL
);

CREATE TABLE revision_change (
    kind     TEXT NOT NULL,
    name     TEXT NOT NULL,
    revision BIGINT NOT NULL REFERENCES revision (number),
    -- Absent: removed in this revision.
    content  TEXT REFERENCES content (hash),
    PRIMARY KEY (kind, name, revision)
);

CREATE INDEX revision_change_by_revision ON revision_change (revision);

-- Only the SHA-256 of a token is kept.
CREATE TABLE operator_token (
    name       TEXT PRIMARY KEY NOT NULL,
    hash       TEXT NOT NULL,
    created_at BIGINT NOT NULL
);

CREATE TRIGGER revision_is_immutable BEFORE UPDATE ON revision
BEGIN SELECT RAISE(ABORT, 'a revision never changes'); END;
CREATE TRIGGER revision_is_kept BEFORE DELETE ON revision
BEGIN SELECT RAISE(ABORT, 'a revision is never removed'); END;
CREATE TRIGGER revision_change_is_immutable BEFORE UPDATE ON revision_change
BEGIN SELECT RAISE(ABORT, 'a revision never changes'); END;
CREATE TRIGGER revision_change_is_kept BEFORE DELETE ON revision_change
BEGIN SELECT RAISE(ABORT, 'a revision is never removed'); END;
CREATE TRIGGER content_is_immutable BEFORE UPDATE ON content
BEGIN SELECT RAISE(ABORT, 'content is named by its hash and never changes'); END;
