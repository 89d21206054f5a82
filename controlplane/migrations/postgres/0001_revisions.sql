-- The same tables as SQLite's. Names sort by their bytes, as they do there and in Rust.
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
    hash TEXT COLLATE "C" PRIMARY KEY NOT NULL,
    spec TEXT NOT NULL
);

CREATE TABLE revision_change (
    kind     TEXT COLLATE "C" NOT NULL,
    name     TEXT COLLATE "C" NOT NULL,
    revision BIGINT NOT NULL REFERENCES revision (number),
    -- Absent: removed in this revision.
    content  TEXT COLLATE "C" REFERENCES content (hash),
    PRIMARY KEY (kind, name, revision)
);

CREATE INDEX revision_change_by_revision ON revision_change (revision);

-- Only the SHA-256 of a token is kept.
CREATE TABLE operator_token (
    name       TEXT COLLATE "C" PRIMARY KEY NOT NULL,
    hash       TEXT NOT NULL,
    created_at BIGINT NOT NULL
);

CREATE FUNCTION refuse_change() RETURNS trigger LANGUAGE plpgsql AS
$$ BEGIN RAISE EXCEPTION '% is append-only', TG_TABLE_NAME; END $$;

CREATE TRIGGER revision_never_changes BEFORE UPDATE OR DELETE OR TRUNCATE ON revision
FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();
CREATE TRIGGER revision_change_never_changes BEFORE UPDATE OR DELETE OR TRUNCATE ON revision_change
FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();
CREATE TRIGGER content_never_changes BEFORE UPDATE ON content
FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();
