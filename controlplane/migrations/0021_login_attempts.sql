-- Attempts at login by name and source. Names that no operator has are counted too, so that they cost the same.
CREATE TABLE login_attempt (
    name       TEXT NOT NULL,
    -- A network address, `session <id>` or `factor <id>`.
    source     TEXT NOT NULL,
    failures   BIGINT NOT NULL,
    wait_until BIGINT NOT NULL,
    made_at    BIGINT NOT NULL,
    PRIMARY KEY (name, source)
);

CREATE INDEX login_attempt_by_time ON login_attempt (made_at);
