-- Renames, splits, merges and dissolutions; `operation` is JSON.
CREATE TABLE reorganisation (
    number      BIGINT PRIMARY KEY NOT NULL,
    state       TEXT NOT NULL,
    operation   TEXT NOT NULL,
    effective   BIGINT NOT NULL,
    alias_until BIGINT NOT NULL,
    reason      TEXT NOT NULL,
    letter      TEXT NOT NULL,
    author      TEXT NOT NULL,
    made_at     BIGINT NOT NULL,
    revision    BIGINT,
    failure     TEXT
);

CREATE INDEX reorganisation_by_state ON reorganisation (state, effective);

-- From an old code to what came after it; no code after when it was dissolved. Only ever grows.
CREATE TABLE succession (
    reorganisation BIGINT NOT NULL REFERENCES reorganisation (number),
    place          BIGINT NOT NULL,
    code_before    TEXT NOT NULL,
    code_after     TEXT,
    operation      TEXT NOT NULL,
    made_at        BIGINT NOT NULL,
    alias_until    BIGINT NOT NULL,
    PRIMARY KEY (reorganisation, place)
);

CREATE INDEX succession_by_before ON succession (code_before);
CREATE INDEX succession_by_after ON succession (code_after);
