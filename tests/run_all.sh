#!/bin/bash
# Runs the tests, layer by layer in order of cost, and sums them into one last line
# `N passed, M failed, K skipped`. Status 0 only if nothing failed.
#
#   tests/run_all.sh [--mode MODE] [LAYER...]     layers: see ALL below
#
# A layer is a folder of tests/: C programs (test_*.c, built by `make c-tests`), pytest files
# (test_*.py) and scripts (test_*.sh; 77 means skipped), whichever it has.
set -u
cd "$(dirname "$0")/.." || exit 1

ALL="tidy unit model cuda schema api ui interop schemathesis faults fuzz asan"
PROGRAM_SECONDS=600 # for one C program or script
PYTEST_SECONDS=2400 # for the pytest files of one layer
MODE=release
if [ "${1:-}" = --mode ]; then
    MODE=$2
    shift 2
fi
LAYERS=${*:-$ALL}
PYTHON=build/venv/bin/python
[ -x $PYTHON ] || PYTHON=python3
total_passed=0
total_failed=0
total_skipped=0
mkdir -p build/test-logs

# count N M K: adds to the layer that is running
count()
{
    passed=$((passed + $1))
    failed=$((failed + $2))
    skipped=$((skipped + $3))
}

# number PATTERN FILE: the N of the last "N PATTERN" in a summary, or 0
number()
{
    local n
    n=$(grep -oE "[0-9]+ $1" "$2" | tail -1 | cut -d' ' -f1)
    echo "${n:-0}"
}

# A Check program says "96%: Checks: 25, Failures: 1, Errors: 0"; one that says nothing has crashed.
run_program()
{
    local log=build/test-logs/$MODE-$(basename "$1").log line checks bad
    BUILD=build/$MODE timeout $PROGRAM_SECONDS "$1" >"$log" 2>&1
    line=$(grep -E '^[0-9]+%: Checks: ' "$log" | tail -1)
    if [ -z "$line" ]; then
        count 0 1 0
        echo "$1 ended without a result:"
        tail -20 "$log"
        return
    fi
    checks=$(sed -E 's/.*Checks: ([0-9]+),.*/\1/' <<<"$line")
    bad=$(sed -E 's/.*Failures: ([0-9]+), Errors: ([0-9]+).*/\1 + \2/' <<<"$line")
    bad=$((bad))
    count $((checks - bad)) "$bad" 0
    [ "$bad" = 0 ] || { echo "$1:"; grep -E ':[FE]:' "$log"; }
}

run_script()
{
    local log=build/test-logs/$MODE-$(basename "$1").log
    timeout $PROGRAM_SECONDS "$1" >"$log" 2>&1
    case $? in
    0) count 1 0 0 ;;
    77) count 0 0 1 && echo "$1: $(tail -1 "$log")" ;;
    *) count 0 1 0 && echo "$1:" && tail -20 "$log" ;;
    esac
}

run_pytest()
{
    local log=build/test-logs/$MODE-$1.log status
    # Browsers and clients mostly wait, so two at once, each with a server of its own; on a busy
    # machine a browser now and then misses a moment: one more try, and it is said.
    local more=() python=$PYTHON
    [[ $1 == ui || $1 == api ]] && more=(-n 2 --dist worksteal)
    [ "$1" = ui ] && more+=(--reruns 1)
    # (a test that hangs ends, with every thread's stack)
    more+=(-o faulthandler_timeout=600 -o faulthandler_exit_on_timeout=true)
    [ "$1" = interop ] && python=$(PYTHON=$PYTHON tests/interop/venv.sh)
    timeout $PYTEST_SECONDS $python -m pytest -q -rfEsR "${more[@]}" -p no:cacheprovider \
        "tests/$1" >"$log" 2>&1
    status=$?
    tail -1 "$log" >"$log.last"
    local bad=$(($(number failed "$log.last") + $(number 'errors?' "$log.last")))
    # no summary, or a status that says more than the summary: something broke around the tests
    [ $status -le 1 ] && [ $((status > 0)) = $((bad > 0)) ] || bad=$((bad + 1))
    count "$(number passed "$log.last")" $bad "$(number skipped "$log.last")"
    if [ $bad -gt 0 ]; then
        grep -E '^(FAILED|ERROR)' "$log" | cut -c1-300
        [ $status -le 1 ] || tail -30 "$log"
    fi
    grep -E '^(SKIPPED|RERUN)' "$log" | cut -c1-300
    grep -E '^faults:' "$log"
    rm -f "$log.last"
}

run_folder()
{
    local file
    for file in tests/"$1"/test_*.c; do
        [ -e "$file" ] && run_program "build/$MODE/${file%.c}"
    done
    for file in tests/"$1"/test_*.sh; do
        [ -e "$file" ] && run_script "$file"
    done
    compgen -G "tests/$1/test_*.py" >/dev/null && run_pytest "$1"
    return 0
}

# A script that ends with its own "N passed, M failed" line.
run_counted()
{
    local log=build/test-logs/$1.log
    shift
    "$@" >"$log" 2>&1
    local status=$?
    tail -1 "$log" >"$log.last"
    local good bad
    good=$(number passed "$log.last")
    bad=$(number failed "$log.last")
    [ $status = 0 ] || [ "$bad" -gt 0 ] || bad=1
    count "$good" "$bad" 0
    [ "$bad" = 0 ] || head -200 "$log"
    rm -f "$log.last"
}

# The same unit, model and api tests on programs built with AddressSanitizer and UBSan; whatever they
# report, even after a test has passed, is a failure.
run_asan()
{
    local reports=$PWD/build/asan/report report
    rm -f "$reports".*
    local log=build/test-logs/asan-build.log
    if ! make --no-print-directory -j"$(nproc)" MODE=asan server build/asan/aileron-rm c-tests >$log 2>&1; then
        tail -5 $log
        count 0 1 0
        return
    fi
    # everything is looked for, the first report ends the process, and leaks are counted at its end
    export ASAN_OPTIONS=log_path=$reports:halt_on_error=1:exitcode=99:detect_leaks=1
    # (freed memory is kept back for less than usual: tests of the server's memory must hold too)
    ASAN_OPTIONS+=:check_initialization_order=1:strict_string_checks=1:quarantine_size_mb=16
    export UBSAN_OPTIONS=log_path=$reports:halt_on_error=1:exitcode=99:print_stacktrace=1
    export AILERON_BINARY=$PWD/build/asan/aileron
    export OMP_NUM_THREADS=2 AILERON_RM_BINARY=$PWD/build/asan/aileron-rm CK_TIMEOUT_MULTIPLIER=5
    MODE=asan
    run_folder unit
    run_folder model
    run_folder api
    MODE=release
    unset ASAN_OPTIONS UBSAN_OPTIONS AILERON_BINARY AILERON_RM_BINARY CK_TIMEOUT_MULTIPLIER
    # (a test that asks for more memory than there is leaves warnings, which are no report)
    local found
    found=$(grep -lE 'ERROR: |runtime error: ' "$reports".* 2>/dev/null)
    [ -n "$found" ] || count 1 0 0 # no report at all is a result too
    for report in $found; do
        count 0 1 0
        head -30 "$report"
    done
}

for layer in $LAYERS; do
    passed=0
    failed=0
    skipped=0
    started=$SECONDS
    case $layer in
    tidy) run_counted tidy tests/tidy.sh ;;
    fuzz) [ -x tests/fuzz/run.sh ] && run_counted fuzz tests/fuzz/run.sh ;;
    asan) run_asan ;;
    *) run_folder "$layer" ;;
    esac
    echo "== $layer: $passed passed, $failed failed, $skipped skipped ($((SECONDS - started)) s)"
    total_passed=$((total_passed + passed))
    total_failed=$((total_failed + failed))
    total_skipped=$((total_skipped + skipped))
done
echo "$total_passed passed, $total_failed failed, $total_skipped skipped"
[ $total_failed = 0 ] && [ $total_passed -gt 0 ]
