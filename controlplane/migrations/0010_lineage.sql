-- The lines of revisions this database has made; what is published names the latest one. A restore begins another, because
-- the revisions it makes repeat numbers that were published with other content. `database_id` is drawn once and kept by
-- every backup; a line of revisions ends where the next one begins.
CREATE TABLE lineage (
    since BIGINT NOT NULL PRIMARY KEY,
    database_id TEXT NOT NULL,
    from_revision BIGINT NOT NULL,
    why TEXT NOT NULL
);
