#!/bin/bash
# What only a machine with an NVIDIA GPU can say: the same results as on the CPU, the same bits
# again, no stray access, and how fast. Needs make, gcc, nvcc and cuBLASLt, nothing else; under ten
# minutes. Without a GPU everything that can be built is built, and that is all.
#
#   tests/gpu/check.sh        CUDA_INCLUDE= and CUDA_LIB= as for make
set -u
cd "$(dirname "$0")/../.." || exit 1

CHECK=build/gpu/check
status=0

# part SECONDS NAME COMMAND...: runs one part within its time; a failure is remembered
part()
{
    local seconds=$1 name=$2 started=$SECONDS result
    shift 2
    echo "== $name"
    timeout "$seconds" "$@"
    result=$?
    [ $result != 124 ] || echo "$name took more than $seconds s"
    [ $result = 0 ] || { status=1; echo "FAILED: $name (status $result)"; }
    echo "== $name: $((SECONDS - started)) s"
}

# sanitizer TOOL: the ops in small shapes under compute-sanitizer
sanitizer()
{
    local tool=$SANITIZER
    if [ -z "$tool" ]; then
        echo "== $1: skipped, there is no compute-sanitizer"
        return
    fi
    part 50 "$1" "$tool" --tool "$1" --error-exitcode 9 --print-limit 20 $CHECK --small ops
}

# baseline SECONDS NAME FILE OPTION...: what PyTorch does; without torch it says so, and no failure
baseline()
{
    local seconds=$1 name=$2 file=$3
    shift 3
    command -v python3 >/dev/null || { echo "== $name: skipped, there is no python3"; return; }
    echo "== $name"
    timeout $((seconds + 10)) python3 tests/bench/"$file" --limit-s "$seconds" "$@" 2>&1 |
        tee -a build/gpu/baselines.jsonl | tail -3
}

make --no-print-directory -s cuda-said
build="make --no-print-directory -s -j$(nproc)"
if ! $build build/gpu/check; then
    echo "FAILED: the build"
    exit 1
fi
if [ ! -x $CHECK ]; then # no cuBLASLt, or no nvcc: what there is must compile all the same
    $build cuda-kernels || exit 1
    echo "gpu-check: nothing was run"
    exit 0
fi
said=$($CHECK)
found=$?
if [ $found = 3 ]; then
    echo "$said"
    echo "gpu-check: everything is built; there is no GPU here, so nothing was run"
    exit 0
fi
[ $found = 0 ] || { echo "$said"; exit 1; }
SANITIZER=$(PATH=$PATH:/usr/local/cuda/bin command -v compute-sanitizer)

part 60 "ops against the CPU" $CHECK ops
part 40 "training against the CPU" $CHECK train
sanitizer memcheck
sanitizer racecheck
part 50 "kernels against the clock" $CHECK speed
# (with no more than the build made: what others do on the same lengths, where torch is there)
CASE="--shape qwen2.5-0.5b --lengths hh"
: >build/gpu/baselines.jsonl
baseline 30 "A, TRL's defaults" baseline_hf.py $CASE
baseline 70 "B, tuned" baseline_hf.py --tuned $CASE
baseline 100 "C, packed" baseline_packed.py $CASE
part 90 "training steps" bash -o pipefail -c "$CHECK steps | tee build/gpu/steps.txt"
command -v python3 >/dev/null && python3 tests/bench/gpu_table.py build/gpu
[ $status = 0 ] && echo "gpu-check: all is well" || echo "gpu-check: FAILED"
exit $status
