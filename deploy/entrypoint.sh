#!/bin/sh
# Hands mounted secrets to the programs that want them, and becomes the container's command.
#
#   /run/secrets/pgpass      a password file of PostgreSQL's client library, which ignores one that others may read; the
#                            mode of a mounted secret is not ours to choose, hence the copy
#   /run/secrets/ui-token    the secret of the web interface, which takes it out of its environment at once
set -eu

if [ -r /run/secrets/pgpass ]; then
    install -m 0600 /run/secrets/pgpass "$PGPASSFILE"
fi
if [ -r /run/secrets/ui-token ]; then
    DPSYNTH_UI_TOKEN=$(cat /run/secrets/ui-token)
    export DPSYNTH_UI_TOKEN
fi
exec "$@"
