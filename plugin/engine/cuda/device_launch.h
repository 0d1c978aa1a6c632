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

#endif
