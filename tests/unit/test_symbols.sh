#!/bin/sh
# No function or table of the reward model has the name of one of the server's: both archives are
# linked into aileron-rm, where the linker would silently take whichever it met first.
cd "$(dirname "$0")/../.." || exit 1
build=${BUILD:-build/release}
for archive in "$build/libaileron_rm.a" "$build/libaileron.a"; do
    [ -e "$archive" ] || { echo "$archive has not been built"; exit 77; }
done

# names ARCHIVE: what it defines for others, each once
names() { nm -g --defined-only "$1" | awk 'NF == 3 && $2 ~ /[A-Z]/ {print $3}' | sort -u; }

# Each program has a table of routes of its own under the names that server/http asks for.
twice=$({ names "$build/libaileron_rm.a"; names "$build/libaileron.a"; } | sort | uniq -d |
    grep -vxE 'routes|routes_count')
[ -z "$twice" ] && exit 0
echo "defined in both archives:" "$twice"
exit 1
