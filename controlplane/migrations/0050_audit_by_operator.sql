-- What one operator attempted is found without a look at everybody's entries.
CREATE INDEX IF NOT EXISTS audit_by_operator ON audit (operator, number);
