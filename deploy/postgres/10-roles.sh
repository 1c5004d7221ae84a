#!/bin/sh
# Two databases, and who may do what in them. The server's image runs this once, on an empty volume.
#
#   dagster   the role of that name: runs and events
#   ledger    keeper makes the privacy ledger; spender, which runs use, gets its rights by grants.sql afterwards
#
# Passwords are read by psql itself, so that none stands in a list of processes.
set -eu

psql -v ON_ERROR_STOP=1 --no-psqlrc --username postgres --dbname postgres <<'SQL'
\set dagster `awk -F: '$4 == "dagster" { printf "%s", $5 }' /run/secrets/postgres/runs.pgpass`
\set spender `awk -F: '$4 == "spender" { printf "%s", $5 }' /run/secrets/postgres/runs.pgpass`
\set keeper `awk -F: '$4 == "keeper" { printf "%s", $5 }' /run/secrets/postgres/keeper.pgpass`
CREATE ROLE dagster LOGIN PASSWORD :'dagster';
CREATE ROLE keeper LOGIN PASSWORD :'keeper';
CREATE ROLE spender LOGIN PASSWORD :'spender';
CREATE DATABASE dagster OWNER dagster;
CREATE DATABASE ledger;
REVOKE ALL ON DATABASE dagster, ledger FROM PUBLIC;
GRANT CONNECT, CREATE ON DATABASE ledger TO keeper;
GRANT CONNECT ON DATABASE ledger TO spender;
SQL
