#!/usr/bin/env bash
# The same result elsewhere: tests/elsewhere.py with the oldest and the newest dependencies, and
# with several hash seeds, numbers of BLAS threads and kernels, which round in different ways.
#
#     tests/matrix.sh [--encoder]
#
# Takes python3.10, python3.11 and the newest Python on the PATH. Exit 1 where a result differs
# (with --encoder: an encoded stream as well), 2 where all agree but an environment was left out.
set -uo pipefail
cd "$(dirname "$0")/.."
root=.venv-matrix
reference=$root/reference.npz
mkdir -p $root && rm -f $reference
failed=0 missing=0

# without the vector instructions that numpy picks by itself; names differ between its releases
plain="NPY_DISABLE_CPU_FEATURES=AVX2,FMA3,AVX512F,AVX512CD,AVX512_SKX,AVX512_CLX,AVX512_CNL"
plain+=",AVX512_ICL,AVX512_SPR,X86_V3,X86_V4 PYTHONWARNINGS=ignore::RuntimeWarning"
kernels=("OPENBLAS_CORETYPE=Haswell" "OPENBLAS_CORETYPE=Nehalem $plain" "OPENBLAS_CORETYPE=SkylakeX")
threads=(1 2 8)
seeds=(0 1 random)
if [ "$(uname -sm)" = "Linux x86_64" ] && ! grep -q avx512f /proc/cpuinfo; then
    echo "left out: OPENBLAS_CORETYPE=SkylakeX, as this machine has no AVX-512"
    unset "kernels[2]"
    missing=1
fi

run() { # NAME PYTHON REQUIREMENT...
    local name=$1 python=$2 k t
    shift 2
    if ! command -v "$python" >/dev/null; then
        echo "left out: $name, as there is no $python"
        missing=1
        return
    fi
    local own=$root/$name
    if ! { "$python" -m venv --clear "$own" && "$own/bin/python" -m pip install -q "$@" &&
        "$own/bin/python" -m pip install -q --no-deps .; }; then
        echo "cannot be installed: $name"
        failed=1
        return
    fi
    # a Latin square: every pair of kernel and threads, of kernel and seed, of threads and seed
    for k in "${!kernels[@]}"; do
        for t in 0 1 2; do
            # shellcheck disable=SC2086  # several variables in one word
            env ${kernels[k]} OPENBLAS_NUM_THREADS="${threads[t]}" \
                PYTHONHASHSEED="${seeds[(k + t) % 3]}" \
                "$own/bin/python" tests/elsewhere.py $reference "${options[@]}" || failed=1
        done
    done
}

options=("$@")
newest=$(for minor in 20 19 18 17 16 15 14 13 12; do
    command -v python3.$minor >/dev/null && echo python3.$minor && break
done)
run oldest python3.10 numpy==1.24.0 constriction==0.4.0 safetensors==0.4.3
run default python3.11 numpy "constriction<0.6" safetensors
# the loops that numba compiles, for this processor and for any
for cpu in host generic; do
    NUMBA_CPU_NAME=$cpu CLIPCODEC_COMPILED=always \
        run "compiled-$cpu" python3.11 numpy "constriction<0.6" safetensors "numba>=0.60"
done
run newest "${newest:-python3.12}" numpy "constriction<0.6" safetensors
test $failed = 0 || { echo "some results differ" && exit 1; }
test $missing = 0 || { echo "all results agree, but not everything was tried" && exit 2; }
echo "all results agree"
