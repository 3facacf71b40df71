#!/bin/bash
# The backend "cuda" without a GPU: its sources under the emulator (see emulate.h), with the address
# and undefined-behaviour sanitizers, in two orders of threads, through the tests of every backend.
set -u
cd "$(dirname "$0")/../.." || exit 1

TESTS=build/emulated/tests/model
# no thread of the host's own beside the fibers, and a failed allocation is an answer
export OMP_NUM_THREADS=1 CK_TIMEOUT_MULTIPLIER=5 ASAN_OPTIONS=detect_leaks=1 UBSAN_OPTIONS=print_stacktrace=1

make --no-print-directory -s -j2 emulated-tests build/emulated/check || exit 1
mkdir -p build/test-logs
status=0
# program, seed, setting; two at a time, the longest first
xargs -P 2 -L 1 bash -c '
    log=build/test-logs/emulated-$1-$2-$3.log
    CUDA_EMULATED_SEED=$2 timeout 300 env $3 "$0/$1" >"$log" 2>&1 && tail -1 "$log" && exit 0
    echo "$1, seed $2, $3:"; tail -25 "$log"; exit 1' $TESTS <<'LIST' || status=1
test_model 2
test_recompute 1
test_ops_attention 1
test_ops_attention 2
test_ops 1
test_ops 2 CUDA_EMULATED_EPILOGUES=slow
test_ops 2 AILERON_CUDA_TUNE=0
test_ops_shapes 1
test_ops_turn 1
test_ops_turn 2
LIST
# and the program of `make gpu-check`, in its small shapes
log=build/test-logs/emulated-check.log
build/emulated/check --small ops train >$log 2>&1 || { grep -E 'DIFF|SAME|ERROR' $log; status=1; }
tail -1 $log

# besides TIMES FOLDER: what products with an epilogue there were, where events tell that these take
# such TIMES (fast, slow), and what was chosen is kept in FOLDER
besides()
{
    CUDA_EMULATED_COUNT=1 CUDA_EMULATED_EPILOGUES=$1 AILERON_CHOICES=$2 \
        build/emulated/check --small ops 2>&1 >/dev/null | sed -n 's/.* plain, //p'
}
# the first process times and chooses; a later one goes by that, whatever it would have chosen
fast=$(mktemp -d) slow=$(mktemp -d)
besides fast "$fast" >/dev/null
besides slow "$slow" >/dev/null
together=$(besides slow "$fast") apart=$(besides fast "$slow")
rm -r "$fast" "$slow"
[[ $together =~ ^[1-9][0-9]*\ gelu,\ [1-9][0-9]*\ dgelu,\ [1-9][0-9]*\ sums$ ]] ||
    { echo "epilogues that are faster: $together"; status=1; }
# (one: which form GELU has is checked without choices)
[ "$apart" = "1 gelu, 0 dgelu, 0 sums" ] || { echo "epilogues that are slower: $apart"; status=1; }
exit $status
