/* How kernels are launched: one grid row per entry, enough blocks to fill a card, the rest by stride. */
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
    for (size_t i = (size_t)blockIdx.x * blockDim.x + threadIdx.x; i < (count); i += (size_t)gridDim.x * blockDim.x)

#endif
