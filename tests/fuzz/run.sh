#!/bin/bash
# Runs every fuzz target for FUZZ_SECONDS (default 10) on its corpus; new inputs go to build/fuzz.
# Ends with "N passed, M failed"; a crash is printed with the command that repeats it.
set -u
cd "$(dirname "$0")/../.." || exit 1
SECONDS_EACH=${FUZZ_SECONDS:-10}
MEMORY_MIB=1024
passed=0
failed=0
make --no-print-directory fuzzers >build/fuzz-build.log 2>&1 ||
    { tail -20 build/fuzz-build.log; echo "0 passed, 1 failed"; exit 1; }
for source in tests/fuzz/fuzz_*.c; do
    name=$(basename "$source" .c)
    found=build/fuzz/corpus/$name
    log=build/fuzz/$name.log
    mkdir -p "$found"
    if build/fuzz/"$name" -max_total_time="$SECONDS_EACH" -rss_limit_mb=$MEMORY_MIB -timeout=10 \
        -print_final_stats=1 -artifact_prefix="build/fuzz/$name-" "$found" \
        $(ls -d tests/fuzz/corpus/"$name" 2>/dev/null) >"$log" 2>&1; then
        passed=$((passed + 1))
        echo "$name: $(grep -oE 'number_of_executed_units: [0-9]+' "$log" | cut -d' ' -f2) runs"
    else
        failed=$((failed + 1))
        grep -E 'ERROR|SUMMARY|Test unit written' "$log"
        echo "repeat with: build/fuzz/$name $(ls -t build/fuzz/"$name"-* | head -1)"
    fi
done
echo "$passed passed, $failed failed"
[ $failed = 0 ]
