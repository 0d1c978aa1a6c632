"""What a peer of `make bench` runs with. ISA=avx2 or sse2 limits PyTorch, oneDNN, MKL and OpenBLAS to it; critpath's own loops
are limited by the build (`make ISA=avx2`)."""
import os

LIMITS = {"avx2": {"ONEDNN_MAX_CPU_ISA": "AVX2", "DNNL_MAX_CPU_ISA": "AVX2", "MKL_ENABLE_INSTRUCTIONS": "AVX2",
                   "ATEN_CPU_CAPABILITY": "avx2", "OPENBLAS_CORETYPE": "Haswell"},
          "sse2": {"ONEDNN_MAX_CPU_ISA": "SSE41", "DNNL_MAX_CPU_ISA": "SSE41", "MKL_ENABLE_INSTRUCTIONS": "SSE4_2",
                   "ATEN_CPU_CAPABILITY": "default", "OPENBLAS_CORETYPE": "Nehalem"}}


def environment(threads=1):
    env = dict(os.environ, OMP_NUM_THREADS=str(threads), MKL_NUM_THREADS=str(threads), OPENBLAS_NUM_THREADS="1",
               OMP_WAIT_POLICY="passive")
    for name in LIMITS["avx2"]:
        env.pop(name, None)  # not to be inherited by accident: the table says which kernels run
    env.update(LIMITS[os.environ["ISA"]] if os.environ.get("ISA") else {})
    return env
