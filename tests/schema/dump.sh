#!/bin/sh
# dump.sh [URL] - the schema of a migrated database as schema/schema.sql holds it: without the monthly
# partitions (they depend on the day) and without what depends on the server or on pg_dump's version.
set -eu
if [ $# -eq 0 ]; then # one is made by the test program that compares it
    exec "${BUILD:-build/release}/tests/schema/test_migrations" --dump
fi
PATH=$PATH:$(ls -d /usr/lib/postgresql/*/bin 2>/dev/null | sort -V | tail -n 1)
echo "-- The schema that schema/migrations make, for reading; regenerate it with \`make schema\`."
pg_dump --schema-only --no-owner --no-privileges --no-comments \
        --exclude-table='(feedback|impression)_(past|other|[0-9]*)' --dbname="$1" |
    sed -e '/^--/d' -e '/^SET /d' -e '/^SELECT pg_catalog.set_config/d' -e '/^\\/d' \
        -e 's/[[:space:]]*$//' |
    cat -s
