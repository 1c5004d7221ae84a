-- The ledger's tables. One statement that changes anything here needs a new version in `ledger`.

CREATE TABLE ledger (
    version INTEGER NOT NULL,   -- of this schema; another one is refused
    id VARCHAR NOT NULL         -- random, chosen at creation: a new file under an old name is another ledger
);

CREATE TABLE entries (
    seq BIGINT PRIMARY KEY,     -- 1, 2, 3, ... without gaps: the only order there is
    kind VARCHAR NOT NULL,
    population VARCHAR,
    reservation BIGINT,         -- seq of the entry that reserved
    key VARCHAR,                -- idempotency key of a reservation, fingerprint of a bound source, name of a contract
    blocks VARCHAR[] NOT NULL,  -- whose standing the entry states
    body VARCHAR NOT NULL,      -- canonical JSON of all of it and of the hash before; the columns above only find it
    hash VARCHAR NOT NULL       -- SHA-256 of body
);

-- DuckDB's triggers run data statements, so refusing takes a table to insert the refusal into. It stays empty.
CREATE TABLE append_only (refusal VARCHAR);

CREATE TRIGGER entries_keep_their_rows AFTER UPDATE ON entries FOR EACH STATEMENT
    INSERT INTO append_only SELECT error('entries are append-only: a correction is a new entry');

CREATE TRIGGER entries_keep_all_rows AFTER DELETE ON entries FOR EACH STATEMENT
    INSERT INTO append_only SELECT error('entries are append-only: nothing is ever deleted');

CREATE TRIGGER ledger_keeps_its_identity AFTER UPDATE ON ledger FOR EACH STATEMENT
    INSERT INTO append_only SELECT error('the identity of a ledger never changes');

CREATE TRIGGER ledger_stays_identified AFTER DELETE ON ledger FOR EACH STATEMENT
    INSERT INTO append_only SELECT error('the identity of a ledger never changes');
