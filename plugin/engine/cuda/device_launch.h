/* How kernels are launched: one grid row per entry, enough blocks to fill a card, the rest by stride. A layer's outputs
 * are an int in Darknet, so that within one entry 32 bits count them: divisions by 64 bits cost several times more. */
#ifndef CP_ENGINE_DEVICE_LAUNCH_H
#define CP_ENGINE_DEVICE_LAUNCH_H

enum { CP_BLOCK = 256 }; /* threads */

static inline unsigned cp_blocks_for(size_t count)
{
    const size_t most = 4096;
    size_t blocks = (count + CP_BLOCK - 1) / CP_BLOCK;
    return (unsigned)(blocks < 1 ? 1 : blocks < most ? blocks : most);
}

#define CP_GRID(count, entries) dim3(cp_blocks_for(count), (unsigned)(entries))
#define CP_EACH(i, count)                                                                                              \
    for (unsigned i = blockIdx.x * blockDim.x + threadIdx.x; i < (unsigned)(count); i += gridDim.x * blockDim.x)
/* Of what may be more than 2^31. */
#define CP_EACH_OF_MANY(i, count)                                                                                      \
    for (size_t i = (size_t)blockIdx.x * blockDim.x + threadIdx.x; i < (count); i += (size_t)gridDim.x * blockDim.x)

#ifdef __cplusplus
/* What activations and their derivatives share. tanh(log(1 + e^z)) = n / (n + 2) with n = e^z (e^z + 2); above 20 it is 1 in
 * float. */
__device__ static inline float cp_mish_factor(float z)
{
    float e = expf(z < 20 ? z : 20), n = e * (e + 2);
    return n / (n + 2);
}

/* tanh(u) as Darknet's gelu has it, with its own digits. */
__device__ static inline float cp_gelu_tanh(float z)
{
    return 1 - 2 / (1 + expf(2 * (.797885f * z + .035677f * z * z * z)));
}
#endif

#endif
