-- Maintenance announced to agencies. A notice is called off, never removed.
CREATE TABLE notice (
    number       BIGINT PRIMARY KEY NOT NULL,
    -- The document of the agency it is for; for all of them when absent.
    agency       TEXT,
    starts       BIGINT NOT NULL,
    ends         BIGINT NOT NULL,
    text_vi      TEXT NOT NULL,
    text_en      TEXT NOT NULL,
    author       TEXT NOT NULL,
    published_at BIGINT NOT NULL,
    cancelled_at BIGINT,
    cancelled_by TEXT
);

CREATE INDEX notice_by_end ON notice (ends);
