-- Who may use the API.
CREATE TABLE operator (
    name        TEXT PRIMARY KEY NOT NULL,
    -- Labels with a space between them.
    roles       TEXT NOT NULL,
    -- Nothing is seen or done beyond it.
    agency      TEXT,
    disabled    BIGINT NOT NULL,
    -- What the identity provider calls this operator.
    identity    TEXT UNIQUE,
    -- argon2id in PHC form; without it there is no login with a password.
    password    TEXT,
    must_change BIGINT NOT NULL,
    -- Failed logins in a row, and until when further ones are refused.
    failures    BIGINT NOT NULL,
    wait_until  BIGINT NOT NULL,
    -- The second factor's key, sealed; asked for once it is confirmed. The last step whose code was used.
    totp        TEXT,
    totp_on     BIGINT NOT NULL,
    totp_step   BIGINT NOT NULL,
    created_at  BIGINT NOT NULL
);

-- SHA-256 of each code that can still be used in place of the second factor.
CREATE TABLE recovery_code (
    hash     TEXT PRIMARY KEY NOT NULL,
    operator TEXT NOT NULL REFERENCES operator (name)
);

-- Sessions and tokens: whoever shows the text whose SHA-256 this is acts as the operator.
CREATE TABLE bearer (
    hash       TEXT PRIMARY KEY NOT NULL,
    id         TEXT NOT NULL UNIQUE,
    -- `first`, `token` or `session`.
    kind       TEXT NOT NULL,
    operator   TEXT NOT NULL REFERENCES operator (name),
    title      TEXT NOT NULL,
    -- Fewer roles than the operator's; all of them when absent.
    roles      TEXT,
    agency     TEXT,
    created_at BIGINT NOT NULL,
    expires_at BIGINT,
    -- Ends when it was not used for so long.
    idle_secs  BIGINT,
    -- Brought up to date once a minute.
    used_at    BIGINT NOT NULL
);

CREATE INDEX bearer_by_operator ON bearer (operator);

INSERT INTO operator
    (name, roles, agency, disabled, identity, password, must_change, failures, wait_until, totp, totp_on, totp_step,
     created_at)
SELECT name, 'security-officer system-administrator auditor', NULL, 0, NULL, NULL, 0, 0, 0, NULL, 0, 0, created_at
FROM operator_token;

INSERT INTO bearer
    (hash, id, kind, operator, title, roles, agency, created_at, expires_at, idle_secs, used_at)
SELECT hash, 'first-' || name, 'first', name, '', NULL, NULL, created_at, NULL, NULL, created_at
FROM operator_token;

DROP TABLE operator_token;

-- Logins that an identity provider is asked about. The state is kept as its SHA-256.
CREATE TABLE oidc_login (
    state      TEXT PRIMARY KEY NOT NULL,
    nonce      TEXT NOT NULL,
    verifier   TEXT NOT NULL,
    redirect   TEXT NOT NULL,
    expires_at BIGINT NOT NULL
);
