-- Agencies by identification code, a hundred thousand and more. `folded` is what search looks in: title and code without
-- accents and case. `document` names the agency's document, when it has systems and is published.
CREATE TABLE agency (
    code     TEXT PRIMARY KEY NOT NULL,
    title    TEXT NOT NULL,
    folded   TEXT NOT NULL,
    document TEXT,
    since    BIGINT NOT NULL,
    ended    BIGINT
);

-- Search reads this and nothing else until it has found its page.
CREATE INDEX agency_by_name ON agency (folded, code, ended);
CREATE INDEX agency_by_document ON agency (document);

-- People: personal data, never in a document. The subject is `Agency/<code>`, `System/<name>` or `Service/<name>`.
CREATE TABLE contact (
    subject TEXT NOT NULL,
    place   BIGINT NOT NULL,
    name    TEXT NOT NULL,
    role    TEXT NOT NULL,
    email   TEXT NOT NULL,
    phone   TEXT NOT NULL,
    PRIMARY KEY (subject, place)
);
