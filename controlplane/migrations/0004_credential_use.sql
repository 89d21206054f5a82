-- When each access key was last used on any node, as far as was reported. A memory, not a record: it is overwritten.
CREATE TABLE credential_use (
    access_key TEXT PRIMARY KEY NOT NULL,
    used_at    BIGINT NOT NULL
);
