#!/bin/sh
# In the container `postgres`: medagg's role, which is no superuser, and its password. The image
# runs it when the database is made; docs/deploy.md tells when to run it by hand. Twice is as once.
set -eu

as() {
    role="$1"
    shift
    psql --no-psqlrc --quiet --set=ON_ERROR_STOP=1 --username="$role" "$@"
}

if ! as postgres --dbname=postgres --command='SELECT 1' >/dev/null 2>&1; then
    # Made by an earlier version: its first superuser, which nothing can demote, is called medagg.
    as medagg --dbname=postgres --command='DROP ROLE IF EXISTS medagg_renamer' \
        --command='CREATE ROLE medagg_renamer SUPERUSER LOGIN'
    as medagg_renamer --dbname=postgres --command='ALTER ROLE medagg RENAME TO postgres'
fi
# Also one that an earlier run has left.
as postgres --dbname=postgres --command='DROP ROLE IF EXISTS medagg_renamer'
as postgres --dbname=medagg --single-transaction --output=/dev/null \
    --file="${OWN_DATABASE:-/medagg/own_database.sql}"
# The superuser gets in by this container's socket only, which needs no password.
as postgres --dbname=postgres --set=password="$POSTGRES_PASSWORD" <<'SQL'
ALTER ROLE medagg PASSWORD :'password';
ALTER ROLE postgres PASSWORD NULL;
SQL
