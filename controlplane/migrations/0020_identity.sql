-- The last number given to an agency. A number is given once: it says who an agency is, whatever its code and its
-- document are called.
CREATE TABLE identity_last (
    id      BIGINT PRIMARY KEY NOT NULL,
    last    BIGINT NOT NULL,
    -- 1 once the names, papers and revisions of the time before identities were given theirs.
    adopted BIGINT NOT NULL
);

-- Who has this code, or had it last.
ALTER TABLE agency ADD COLUMN identity BIGINT;

UPDATE agency SET identity = numbered.place
FROM (SELECT code, ROW_NUMBER() OVER (ORDER BY code) AS place FROM agency) AS numbered
WHERE numbered.code = agency.code;

INSERT INTO identity_last (id, last, adopted) SELECT 1, COUNT(*), 0 FROM agency;

CREATE INDEX agency_by_identity ON agency (identity);

-- Whose the name of an `Agency`, a `System` or a `Service` is. An agency's name stays its own for ever; a system or service
-- that was removed leaves its name to its agency.
CREATE TABLE document_name (
    kind   TEXT NOT NULL,
    name   TEXT NOT NULL,
    -- The identity of the agency; 0 where the parent says it.
    agency BIGINT NOT NULL,
    -- The system of a service.
    parent TEXT,
    -- When the document was removed.
    ended  BIGINT,
    PRIMARY KEY (kind, name)
);

CREATE INDEX document_name_by_agency ON document_name (agency);

-- Which agencies a revision concerned when it was made, and how many of its changes did.
CREATE TABLE revision_concern (
    agency   BIGINT NOT NULL,
    revision BIGINT NOT NULL REFERENCES revision (number),
    changes  BIGINT NOT NULL,
    PRIMARY KEY (agency, revision)
);

-- Whose application it is now; absent where its code is in no directory.
ALTER TABLE application ADD COLUMN identity BIGINT;

CREATE INDEX application_by_identity ON application (identity);
