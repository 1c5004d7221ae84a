-- What runs need of the privacy ledger, once it is made: they read and add, and change nothing.
\set ON_ERROR_STOP on
GRANT USAGE ON SCHEMA dpsynth_ledger TO spender;
GRANT SELECT, INSERT ON dpsynth_ledger.entries TO spender;
GRANT SELECT ON dpsynth_ledger.ledger TO spender;
