#!/bin/bash
# Runs every fuzz target for FUZZ_SECONDS (default 10) on its corpus, two at a time; new inputs go
# to build/fuzz. Ends with "N passed, M failed"; a crash is printed with the command that repeats it.
set -u
cd "$(dirname "$0")/../.." || exit 1
export SECONDS_EACH=${FUZZ_SECONDS:-10} MEMORY_MIB=1024
make --no-print-directory -j"$(nproc)" fuzzers >build/fuzz-build.log 2>&1 ||
    { tail -20 build/fuzz-build.log; echo "0 passed, 1 failed"; exit 1; }

# run_target NAME: one line when all is well, else what was found
run_target()
{
    local found=build/fuzz/corpus/$1 log=build/fuzz/$1.log
    mkdir -p "$found"
    if build/fuzz/"$1" -max_total_time="$SECONDS_EACH" -rss_limit_mb="$MEMORY_MIB" -timeout=10 \
        -print_final_stats=1 -artifact_prefix="build/fuzz/$1-" "$found" \
        $(ls -d tests/fuzz/corpus/"$1" 2>/dev/null) >"$log" 2>&1; then
        echo "$1: $(grep -oE 'number_of_executed_units: [0-9]+' "$log" | cut -d' ' -f2) runs"
    else
        echo "$1: FAILED; repeat with: build/fuzz/$1 $(ls -t build/fuzz/"$1"-* | head -1)" \
            "$(grep -E 'ERROR|SUMMARY' "$log" | tr '\n' ' ')"
    fi
}
export -f run_target

results=$(basename -s .c tests/fuzz/fuzz_*.c | xargs -P 2 -I{} bash -c 'run_target {}')
echo "$results"
failed=$(grep -c ': FAILED; ' <<<"$results")
passed=$(grep -cE ': [0-9]+ runs$' <<<"$results")
targets=$(ls tests/fuzz/fuzz_*.c | wc -l)
[ $((passed + failed)) = "$targets" ] || failed=$((targets - passed))
echo "$passed passed, $failed failed"
[ "$failed" = 0 ]
