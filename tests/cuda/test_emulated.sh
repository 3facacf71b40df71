#!/bin/bash
# The backend "cuda" without a GPU: its sources under the emulator (see emulate.h) through the tests
# of every backend: with the address and undefined-behaviour sanitizers in two orders of threads, and
# with every access followed (build/raced).
set -u
cd "$(dirname "$0")/../.." || exit 1

# no thread of the host's own beside the fibers, and a failed allocation is an answer
export OMP_NUM_THREADS=1 CK_TIMEOUT_MULTIPLIER=5 ASAN_OPTIONS=detect_leaks=1 UBSAN_OPTIONS=print_stacktrace=1

make --no-print-directory -s -j2 emulated-tests build/emulated/check || exit 1
mkdir -p build/test-logs
status=0
# seed, settings, program with arguments; two at a time, the longest first. 99 KiB of shared memory:
# the smaller GPUs of Ampere and Ada
xargs -P 2 -L 1 bash -c '
    said="$*, seed $0"
    log=build/test-logs/$(tr -c "a-zA-Z0-9=\n" - <<<"$said").log
    case $said in # some look into the device themselves
    *test_ops*) export CUDA_EMULATED_EAGER=1 ;;
    esac
    CUDA_EMULATED_SEED=$0 timeout 300 env "$@" >"$log" 2>&1 && tail -1 "$log" && exit 0
    echo "$said:"
    grep -E "DIFF|SAME|ERROR|emulated cu" "$log" | head
    tail -25 "$log"
    exit 1' <<'LIST' || status=1
1 build/raced/tests/model/test_ops_attention
2 build/emulated/tests/model/test_model
1 build/emulated/tests/model/test_recompute
1 CUDA_EMULATED_SHARED_KIB=99 build/emulated/tests/model/test_ops_attention
1 build/emulated/check --small ops train
1 build/raced/tests/model/test_ops
2 CUDA_EMULATED_EPILOGUES=slow build/emulated/tests/model/test_ops
1 AILERON_CUDA_TUNE=0 build/emulated/tests/model/test_ops
1 build/raced/tests/model/test_ops_shapes
1 build/emulated/tests/model/test_ops_shapes
1 build/raced/tests/model/test_ops_turn
2 build/emulated/tests/model/test_ops_turn
2 build/raced/check --small ops
1 build/emulated/tests/cuda/emulated_device
2 build/raced/tests/cuda/emulated_device
LIST

# besides TIMES FOLDER: what products with an epilogue there were, where events tell that these take
# such TIMES (fast, slow), and what was chosen is kept in FOLDER
besides()
{
    CUDA_EMULATED_COUNT=1 CUDA_EMULATED_EPILOGUES=$1 AILERON_CHOICES=$2 \
        build/raced/check --small ops 2>&1 >/dev/null | sed -n 's/.* plain, //p'
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
