#!/bin/bash
# The CUDA kernels through nvcc, for every GPU we name, without a warning and without a register
# spilled to memory; and attention is on the tensor cores. Needs no GPU.
set -u
cd "$(dirname "$0")/../.." || exit 1

command -v nvcc >/dev/null || PATH=$PATH:/usr/local/cuda/bin
command -v nvcc >/dev/null || { echo "skipped: there is no nvcc"; exit 77; }

make --no-print-directory -s -j2 CI=1 MODE=release cuda-kernels || exit 1
# (rows that mix dtypes or lie oddly, `Any`, are rare, and may keep a few registers in memory)
spilled=$(awk '/Compiling entry function/ {name = $0; sub(/.*function ./, "", name)}
    /spill/ && name !~ /3Any/ && !/ 0 bytes spill stores, 0 bytes spill loads/ {print FILENAME ": " name ": " $0}' \
    build/ptxas/*.txt)
[ -z "$spilled" ] || { echo "registers are spilled:"; echo "$spilled"; exit 1; }
echo "$(grep -c 'Compiling entry function' build/ptxas/*.txt | awk -F: '{n += $2} END {print n}')" \
    "kernels, none spills"

for tool in cuobjdump nvdisasm; do
    command -v $tool >/dev/null || { echo "no HMMA looked for: there is no $tool"; exit 0; }
done
for file in forward keys backward; do
    object=build/cuda/attention_$file.o
    [ -e $object ] || continue
    count=$(cuobjdump -sass $object | grep -c HMMA)
    [ "$count" -gt 0 ] || { echo "$object has no HMMA"; exit 1; }
    echo "$object: $count HMMA"
done
