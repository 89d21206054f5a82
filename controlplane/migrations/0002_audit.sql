-- Every attempt, successful or refused. Each entry holds the hash of the one before; nothing is ever changed or removed.
CREATE TABLE audit (
    number   BIGINT PRIMARY KEY NOT NULL,
    made_at  BIGINT NOT NULL,
    operator TEXT NOT NULL,
    bearer   TEXT NOT NULL,
    source   TEXT NOT NULL,
    action   TEXT NOT NULL,
    target   TEXT NOT NULL,
    was      TEXT NOT NULL,
    became   TEXT NOT NULL,
    outcome  TEXT NOT NULL,
    revision BIGINT,
    previous TEXT NOT NULL,
    hash     TEXT NOT NULL
);

-- The last entry: tells when the end of the table above was cut off.
CREATE TABLE audit_head (
    id     BIGINT PRIMARY KEY NOT NULL,
    number BIGINT NOT NULL,
    hash   TEXT NOT NULL
);

INSERT INTO audit_head (id, number, hash)
VALUES (1, 0, '0000000000000000000000000000000000000000000000000000000000000000');
