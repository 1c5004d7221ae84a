-- The ledger's tables on PostgreSQL, in the schema that comes first on the search path.
-- One statement that changes anything here needs a new version in `ledger`.

CREATE TABLE ledger (
    version INTEGER NOT NULL,
    id TEXT NOT NULL
);

CREATE TABLE entries (
    seq BIGINT PRIMARY KEY,     -- two who append at once ask for the same number, and one of them gets it
    kind TEXT NOT NULL,
    population TEXT,
    reservation BIGINT,
    key TEXT,
    blocks TEXT[] NOT NULL,
    body TEXT NOT NULL,
    hash TEXT NOT NULL
);

CREATE INDEX entries_by_population ON entries (population);
CREATE INDEX entries_by_reservation ON entries (reservation);
CREATE INDEX entries_by_key ON entries (key);
CREATE INDEX entries_by_blocks ON entries USING gin (blocks);
CREATE INDEX entries_by_kind ON entries (kind);

CREATE FUNCTION refuse_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION '% is append-only: a correction is a new entry', TG_TABLE_NAME USING ERRCODE = 'restrict_violation';
END $$;

CREATE TRIGGER entries_keep_their_rows BEFORE UPDATE OR DELETE OR TRUNCATE ON entries
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();

CREATE TRIGGER ledger_keeps_its_identity BEFORE UPDATE OR DELETE OR TRUNCATE ON ledger
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();
