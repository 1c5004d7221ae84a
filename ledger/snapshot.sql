-- The tables of a snapshot: what the journal says, flat. A reviewer reads the views over them (views.sql).

CREATE TABLE entries (
    position BIGINT,        -- the line's place in the journal, counted here
    seq BIGINT,             -- the place that the entry itself states: the same in a healthy journal
    reservation BIGINT,
    time VARCHAR,           -- as it was written: what some clock said. It decides nothing
    kind VARCHAR,
    previous VARCHAR,
    population VARCHAR,
    release VARCHAR,
    owner VARCHAR,
    mechanism VARCHAR,      -- the entry's event, in words
    body VARCHAR,           -- exactly the text that was hashed; all else in this row was read out of it
    hash VARCHAR            -- as the journal states it
);
COMMENT ON TABLE entries IS 'The journal, one row an entry. body is the text that was hashed, the other columns were read out of it.';

CREATE TABLE standings (
    seq BIGINT,
    block VARCHAR,
    population VARCHAR,
    charges BIGINT,         -- how many charges stand
    places_used BIGINT,     -- of a closed plan
    closed BOOLEAN,         -- false once something from outside a closed plan was charged
    sums DOUBLE[],          -- Rényi cost at each of the population's orders
    cap DOUBLE,             -- the population's epsilon at that time
    renyi_spent DOUBLE      -- the epsilon that the sums amount to, by the weighted-order filter
);
COMMENT ON TABLE standings IS 'What stood charged to a block after an entry that changed it.';

CREATE TABLE balances (
    block VARCHAR,
    population VARCHAR,
    charges BIGINT,
    places_used BIGINT,
    closed BOOLEAN,
    sums DOUBLE[],
    cap DOUBLE,
    renyi_spent DOUBLE,
    renyi_settled DOUBLE    -- the same if all charges that are merely reserved were voided
);
COMMENT ON TABLE balances IS 'What stands charged to each block at the end of the journal, under the caps of then.';

CREATE TABLE artifacts (
    name VARCHAR,
    digest VARCHAR,         -- of an artifact that is itself a release; empty for what was made from releases
    ledger VARCHAR,         -- the checkpoint in its receipt; empty where it has none
    seq BIGINT,
    hash VARCHAR
);
COMMENT ON TABLE artifacts IS 'Artifacts that were found outside the ledger when this snapshot was written, with the checkpoint in each receipt.';
