#!/usr/bin/env bash
# What the real image does at its start, as far as we use it: initdb with a password, and /docker-entrypoint-initdb.d.
set -euo pipefail
if [ "$(id -u)" = 0 ]; then
    install --directory --owner postgres --mode 0700 "$PGDATA"
    exec setpriv --reuid postgres --regid postgres --clear-groups "$0" "$@"
fi
if [ "$1" = postgres ] && [ ! -s "$PGDATA/PG_VERSION" ]; then
    method=${POSTGRES_HOST_AUTH_METHOD:-scram-sha-256}
    password=${POSTGRES_PASSWORD:-}
    [ -z "${POSTGRES_PASSWORD_FILE:-}" ] || password=$(cat "$POSTGRES_PASSWORD_FILE")
    [ "$method" = trust ] || [ -n "$password" ] || { echo "no POSTGRES_PASSWORD" >&2; exit 1; }
    initdb --pgdata "$PGDATA" --username "${POSTGRES_USER:-postgres}" --pwfile <(echo "${password:-none}")
    echo "host all all all $method" >>"$PGDATA/pg_hba.conf"
    echo "listen_addresses = '*'" >>"$PGDATA/postgresql.conf"
    pg_ctl --pgdata "$PGDATA" --options "-c listen_addresses='' -c unix_socket_directories=/var/run/postgresql" --wait start
    for file in /docker-entrypoint-initdb.d/*.sql; do
        [ ! -f "$file" ] || psql --host /var/run/postgresql --username "${POSTGRES_USER:-postgres}" --dbname postgres -v ON_ERROR_STOP=1 --file "$file"
    done
    pg_ctl --pgdata "$PGDATA" --mode fast --wait stop
fi
[ "$1" = postgres ] && set -- "$@" -c unix_socket_directories=/var/run/postgresql
exec "$@"
