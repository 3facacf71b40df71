#!/bin/bash
# What only a machine with an NVIDIA GPU can say: the same results as on the CPU, the same bits
# again, no stray access, and how fast. Needs make, gcc, nvcc and cuBLASLt, nothing else; under ten
# minutes. Without a GPU everything that can be built is built, and that is all.
#
#   tests/gpu/check.sh        CUDA_INCLUDE= and CUDA_LIB= as for make
set -u
cd "$(dirname "$0")/../.." || exit 1

CHECK=build/gpu/check
SECONDS_MAX=590 # of all, the build too
status=0
# A container may show more processors than it may use; threads that spin for one another then crawl.
export OMP_NUM_THREADS=${OMP_NUM_THREADS:-$(($(nproc) < 16 ? $(nproc) : 16))}
export GOMP_SPINCOUNT=${GOMP_SPINCOUNT:-1000}

# limit SECONDS: so many, or what is left of all
limit()
{
    local left=$((SECONDS_MAX - SECONDS))
    echo $(($1 < left ? $1 : left > 1 ? left : 1))
}

# part SECONDS NAME COMMAND...: runs one part within its time; a failure is remembered
part()
{
    local seconds name=$2 started=$SECONDS result
    seconds=$(limit "$1")
    shift 2
    echo "== $name"
    timeout -k 5 "$seconds" "$@"
    result=$?
    [ $result != 124 ] && [ $result != 137 ] || echo "$name took more than $seconds s"
    [ $result = 0 ] || { status=1; echo "FAILED: $name (status $result)"; }
    echo "== $name: $((SECONDS - started)) s"
}

# own_kernels FORM: an option for each kernel that ptxas told of in the build, so that cuBLASLt's,
# which are large and not ours, are left alone.
own_kernels()
{
    awk -v form="$1" -F"'" '/Compiling entry function/ {
        match($2, /^_Z[0-9]+/)
        length_of = substr($2, 3, RLENGTH - 2)
        name = substr($2, 3, RLENGTH - 2 + length_of)
        if (!seen[name]++) print form name
    }' build/ptxas/*.txt
}

# sanitizer TOOL: the ops in small shapes under compute-sanitizer. What it reports is a failure; that
# it is not through in its time is none, for how slow it is depends on its version.
sanitizer()
{
    local tool=$SANITIZER started=$SECONDS seconds result kernels=()
    if [ -z "$tool" ]; then
        echo "== $1: skipped, there is no compute-sanitizer"
        return
    fi
    "$tool" --help 2>/dev/null | grep -q -- '--kernel-name ' &&
        mapfile -t kernels < <(own_kernels --kernel-name=kns=)
    seconds=$(limit 60)
    echo "== $1"
    # (the backend checks every call of CUDA by itself)
    AILERON_CUDA_TUNE=0 timeout -k 5 "$seconds" "$tool" --tool "$1" --error-exitcode 9 \
        --print-limit 20 --report-api-errors no "${kernels[@]}" $CHECK --small ops >build/gpu/"$1".txt 2>&1
    result=$?
    grep -E '=====|DIFFERS|check:' build/gpu/"$1".txt | head -60
    if [ $result = 9 ] || grep -qE 'DIFFERS|^check:' build/gpu/"$1".txt; then
        status=1
        echo "FAILED: $1 (status $result; all of it: build/gpu/$1.txt)"
    elif [ $result != 0 ]; then
        echo "$1 was not through (status $result, of $seconds s; see build/gpu/$1.txt); it had found nothing"
    fi
    echo "== $1: $((SECONDS - started)) s"
}

# baseline SECONDS NAME FILE OPTION...: what PyTorch does; without torch it says so, and no failure
baseline()
{
    local seconds name=$2 file=$3
    seconds=$(limit "$1")
    shift 3
    command -v python3 >/dev/null || { echo "== $name: skipped, there is no python3"; return; }
    [ "$seconds" -ge 20 ] || { echo "== $name: skipped, the time is over"; return; }
    echo "== $name"
    timeout -k 5 $((seconds + 10)) python3 tests/bench/"$file" --limit-s "$seconds" "$@" 2>&1 |
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

part 90 "ops against the CPU" $CHECK ops
part 60 "training against the CPU" $CHECK train
part 60 "kernels against the clock" $CHECK speed
part 120 "training steps and requests" bash -o pipefail -c "$CHECK steps | tee build/gpu/steps.txt"
sanitizer memcheck
sanitizer racecheck
# (with no more than the build made: what others do on the same lengths, where torch is there)
CASE="--shape qwen2.5-0.5b --lengths hh"
: >build/gpu/baselines.jsonl
baseline 30 "A, TRL's defaults" baseline_hf.py $CASE
baseline 100 "C, packed" baseline_packed.py $CASE
baseline 70 "B, tuned" baseline_hf.py --tuned $CASE
command -v python3 >/dev/null && python3 tests/bench/gpu_table.py build/gpu
[ $status = 0 ] && echo "gpu-check: all is well" || echo "gpu-check: FAILED"
exit $status
