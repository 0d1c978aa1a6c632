# The CUDA emulator: what it can do, in both orders of threads, and what it must catch.
cd "$(dirname "$0")" || exit 1
command -v g++ >/dev/null || { echo "skipped: no g++"; exit 77; }
dir=$(mktemp -d) || exit 1
trap 'rm -rf "$dir"' EXIT
unset MAKEFLAGS MFLAGS MAKELEVEL # of a `make test SANITIZE=...`: the emulator is tested as it is
make -s TO="$dir" SANITIZE= && "$dir/bin/nvcc" -c selftest.cu -o "$dir/selftest.o" &&
    g++ "$dir/selftest.o" -L"$dir/lib64" -Wl,-rpath,"$dir/lib64" -lcudart -o "$dir/selftest" || exit 1
failed=0

"$dir/selftest" || { echo "selftest fails"; failed=1; }
CUDA_EMULATE_ORDER=reverse "$dir/selftest" || { echo "selftest fails in reverse order"; failed=1; }

# caught NAME MESSAGE: the program ends with this message
caught() {
    if "$dir/selftest" "$1" >"$dir/out" 2>&1; then
        echo "$1: not caught"
        failed=1
    elif ! grep -q "CUDA emulator: .*$2" "$dir/out"; then
        echo "$1: expected '$2', found:"
        cat "$dir/out"
        failed=1
    fi
}

export CUDA_EMULATE_DEVICES=2
ulimit -c 0
caught host-reads 'host.s code reads or writes device memory'
caught host-writes 'host.s code reads or writes device memory'
caught host-pointer 'kernel add_one .* argument 1 is .* host memory'
caught host-in-struct 'kernel add_parts .* argument 1 holds .* host memory'
caught host-matrix 'cublasSgemm, A: .* host memory'
caught large-matrix 'cublasSgemm, C: 48 bytes at 0 of allocation 1, which has 40'
caught direction 'cudaMemcpy, to: .* is device memory'
caught copy-past-end 'cudaMemcpy, from: 40 bytes at 4 of allocation 1, which has 40'
caught freed-twice 'cudaFree: .* freed allocation 1'
caught free-inside 'cudaFree: .* inside of allocation 1'
caught free-host 'cudaFree: .* host memory'
caught use-after-free 'argument 1 is .* freed allocation 1'
caught write-past-end 'allocation 1 of 40 bytes: something has been written 0 bytes past its end'
caught write-before 'allocation 1 of 40 bytes: something has been written 4 bytes before its start'
caught divergence '4 of 32 threads wait at __syncthreads'
caught other-device 'argument 1 is memory of device 0'
CUDA_EMULATE_LEAKS=1 caught leak '1 allocations of 40 bytes are left'
CUDA_EMULATE_DEVICES=0 "$dir/selftest" >"$dir/out"
[ $? = 3 ] && grep -q 'no CUDA-capable device' "$dir/out" || { echo "no device: not said"; failed=1; }
exit $failed
