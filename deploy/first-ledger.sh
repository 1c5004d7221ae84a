#!/bin/sh
# Makes the deployment's ledger, once, as the role that owns it: `dpsynth init` with the password file on standard input.
#
#   first-ledger.sh postgresql://HOST/ledger --owner NAME=KEY.pub --approver NAME=KEY.pub < keeper.pgpass
#
# The containers do not have that role's password. The address names no role, so runs use $PGUSER, which may only add.
set -eu

address=$1
shift
PGPASSFILE=$(mktemp)
trap 'rm -f "$PGPASSFILE"' EXIT INT TERM
cat > "$PGPASSFILE"
PGUSER=keeper PGPASSFILE=$PGPASSFILE dpsynth init --ledger "$address" "$@"
