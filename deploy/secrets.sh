#!/bin/sh
# Writes new passwords into the folder `secrets` beside this script; refuses to where there are some.
#
#   secrets.sh [HOST]        HOST is where PostgreSQL is reached; `postgres` unless given
#
# The folder is its owner's alone. The files in it can be read by any account that gets that far: Compose mounts them as
# they are, and the containers' accounts are not this one.
set -eu

host=${1:-postgres}
folder=$(dirname "$0")/secrets
if [ -e "$folder" ]; then
    echo "error: $folder is there already; move it away if new passwords are wanted" >&2
    exit 2
fi
new() { od -An -N24 -tx1 /dev/urandom | tr -d ' \n'; }

umask 077
mkdir "$folder"
printf '%s:*:%s:%s:%s\n' "$host" dagster dagster "$(new)" > "$folder/interface.pgpass"
{ cat "$folder/interface.pgpass"; printf '%s:*:%s:%s:%s\n' "$host" ledger spender "$(new)"; } > "$folder/runs.pgpass"
printf '%s:*:%s:%s:%s\n' "$host" ledger keeper "$(new)" > "$folder/keeper.pgpass"
new > "$folder/postgres-password"
new > "$folder/ui-token"
chmod 0444 "$folder"/*
