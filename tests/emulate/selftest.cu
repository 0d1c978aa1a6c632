// The emulator itself: `selftest` checks what works, `selftest NAME` does one thing that must end it with a message.
#include "cublas_v2.h"
#include "cuda_runtime.h"
#include "curand.h"
#include <cstdio>
#include <cstring>
#include <vector>

static int failures;
#define CHECK(what)                                                       \
    do {                                                                  \
        if (!(what)) {                                                    \
            printf("line %d: %s does not hold\n", __LINE__, #what);       \
            ++failures;                                                   \
        }                                                                 \
    } while (0)

__global__ void add_one(float *x, int n)
{
    int i = (blockIdx.y * gridDim.x + blockIdx.x) * blockDim.x + threadIdx.x;
    if (i < n) x[i] += 1;
}

__global__ void sum_block(const float *x, float *sums, int rounds)
{
    __shared__ float part[128];
    part[threadIdx.x] = x[blockIdx.x * blockDim.x + threadIdx.x];
    __syncthreads();
    for (int r = 0; r < rounds; ++r)
        for (int step = blockDim.x / 2; step; step /= 2) {
            float other = threadIdx.x < step ? part[threadIdx.x + step] : 0;
            __syncthreads();
            if (r == rounds - 1) part[threadIdx.x] += other;
            __syncthreads();
        }
    if (!threadIdx.x) sums[blockIdx.x] = part[0];
}

template <int WIDTH> __global__ void sum_warp(const float *x, float *sums, unsigned *ballots)
{
    float v = x[threadIdx.x];
    for (int by = WIDTH / 2; by; by /= 2) v += __shfl_down_sync(0xffffffffu, v, by, WIDTH);
    if (threadIdx.x % WIDTH == 0) sums[threadIdx.x / WIDTH] = v;
    unsigned odd = __ballot_sync(0xffffffffu, threadIdx.x & 1);
    if (threadIdx.x % 32 == 0) ballots[threadIdx.x / 32] = odd;
    if (__shfl_sync(0xffffffffu, (int)threadIdx.x, 3) != (int)(threadIdx.x / 32 * 32 + 3)) ballots[0] = 0;
    if (__shfl_xor_sync(0xffffffffu, (int)threadIdx.x, 1) != (int)(threadIdx.x ^ 1)) ballots[0] = 0;
}

__global__ void count(unsigned *at, int n)
{
    extern __shared__ unsigned mine[];
    mine[threadIdx.x] = threadIdx.x;
    __syncthreads();
    if (blockIdx.x * blockDim.x + mine[blockDim.x - 1 - threadIdx.x] < n) atomicAdd(at, 1u);
}

__global__ void diverge(float *x)
{
    if (threadIdx.x > 3) return;
    __syncthreads();
    x[threadIdx.x] = 1;
}

struct parts {
    float *x;
    size_t n;
};
__global__ void add_parts(parts p) { p.x[threadIdx.x] += p.n; }

__global__ void overrun(float *x, int at) { x[at] = 1; }

static float *device(size_t n, float value)
{
    float *x;
    std::vector<float> host(n, value);
    if (cudaMalloc(&x, n * sizeof *x)) abort();
    cudaMemcpy(x, host.data(), n * sizeof *x, cudaMemcpyHostToDevice);
    return x;
}

static std::vector<float> pull(const float *x, size_t n)
{
    std::vector<float> host(n);
    cudaMemcpy(host.data(), x, n * sizeof *x, cudaMemcpyDeviceToHost);
    return host;
}

static void kernels()
{
    float *x = device(1000, 2), *sums = device(8, 0);
    add_one<<<dim3(2, 2), 256>>>(x, 1000);
    std::vector<float> host = pull(x, 1000);
    CHECK(host[0] == 3 && host[999] == 3);
    float *y = device(10, 3);
    parts p = {y, 7};
    add_parts<<<1, 10>>>(p);
    CHECK(pull(y, 10)[9] == 10);
    cudaFree(y);
    for (int rounds = 1; rounds < 3; ++rounds) {
        sum_block<<<7, 128>>>(x, sums, rounds);
        host = pull(sums, 8);
        CHECK(host[0] == 384 && host[6] == 384 && host[7] == 0);
    }
    unsigned *counts;
    cudaMalloc(&counts, 2 * sizeof *counts);
    sum_warp<16><<<1, 64>>>(x, sums, counts);
    unsigned ballots[2];
    cudaMemcpy(ballots, counts, sizeof ballots, cudaMemcpyDeviceToHost);
    host = pull(sums, 4);
    CHECK(host[0] == 48 && host[3] == 48);
    CHECK(ballots[0] == 0xaaaaaaaau && ballots[1] == 0xaaaaaaaau);
    cudaMemset(counts, 0, sizeof *counts);
    count<<<4, 32, 32 * sizeof(unsigned)>>>(counts, 100);
    cudaMemcpy(ballots, counts, sizeof *ballots, cudaMemcpyDeviceToHost);
    CHECK(ballots[0] == 100);
    CHECK(cudaGetLastError() == cudaSuccess);
    add_one<<<1, 2000>>>(x, 1000);
    CHECK(cudaPeekAtLastError() == cudaErrorInvalidConfiguration);
    CHECK(cudaGetLastError() == cudaErrorInvalidConfiguration && cudaGetLastError() == cudaSuccess);
    cudaFree(x), cudaFree(sums), cudaFree(counts);
}

static void streams()
{
    cudaStream_t stream, other;
    cudaEvent_t event;
    float *pinned, *x = device(4, 1);
    cudaStreamCreateWithFlags(&stream, cudaStreamNonBlocking);
    cudaStreamCreateWithFlags(&other, cudaStreamNonBlocking);
    cudaEventCreateWithFlags(&event, cudaEventDisableTiming);
    cudaMallocHost(&pinned, 4 * sizeof *pinned);
    pinned[0] = -1;
    add_one<<<1, 4, 0, stream>>>(x, 4);
    CHECK(pull(x, 1)[0] == 1); // the default stream does not wait for a non-blocking one
    cudaEventRecord(event, stream);
    cudaStreamWaitEvent(other, event, 0);
    add_one<<<1, 4, 0, other>>>(x, 4);
    cudaMemcpyAsync(pinned, x, sizeof *pinned, cudaMemcpyDeviceToHost, other);
    CHECK(pinned[0] == -1);
    cudaStreamSynchronize(other);
    CHECK(pinned[0] == 3);

    // cudaMemcpy to the device may end before the device has the bytes
    for (int wait = 0; wait < 2; ++wait) {
        float *y = device(4, 1);
        if (wait) cudaStreamSynchronize(0);
        add_one<<<1, 4, 0, stream>>>(y, 4);
        cudaStreamSynchronize(stream);
        CHECK(pull(y, 1)[0] == 1 + wait);
        cudaFree(y);
    }
    cudaStreamDestroy(stream), cudaStreamDestroy(other), cudaEventDestroy(event), cudaFreeHost(pinned), cudaFree(x);
}

static void libraries()
{
    // [1 3; 2 4] [1 3; 2 4] in column-major order is [7 15; 10 22]
    float *a = device(4, 0), *c = device(4, NAN), one = 1, zero = 0, numbers[] = {1, 2, 3, 4};
    cublasHandle_t handle;
    curandGenerator_t generator;
    cudaMemcpy(a, numbers, sizeof numbers, cudaMemcpyHostToDevice);
    CHECK(!cublasCreate(&handle));
    CHECK(!cublasSgemm(handle, CUBLAS_OP_N, CUBLAS_OP_N, 2, 2, 2, &one, a, 2, a, 2, &zero, c, 2));
    std::vector<float> host = pull(c, 4);
    CHECK(host[0] == 7 && host[1] == 10 && host[2] == 15 && host[3] == 22);
    CHECK(!cublasSgemv(handle, CUBLAS_OP_T, 2, 2, &one, a, 2, a, 1, &zero, c, 1));
    host = pull(c, 2);
    CHECK(host[0] == 5 && host[1] == 11);
    CHECK(cublasSgemm(handle, CUBLAS_OP_N, CUBLAS_OP_N, 2, 2, 2, &one, a, 1, a, 2, &zero, c, 2));
    float *x = device(1000, 0), least = 1, most = 0;
    curandCreateGenerator(&generator, CURAND_RNG_PSEUDO_DEFAULT);
    curandSetPseudoRandomGeneratorSeed(generator, 1);
    CHECK(!curandGenerateUniform(generator, x, 1000));
    for (float v : pull(x, 1000)) least = v < least ? v : least, most = v > most ? v : most;
    CHECK(least > 0 && least < .1f && most > .9f && most <= 1);
    cublasDestroy(handle), curandDestroyGenerator(generator), cudaFree(a), cudaFree(c), cudaFree(x);
}

static void memory()
{
    size_t before, now, total;
    void *huge = &now;
    float *x = NULL;
    cudaMemGetInfo(&before, &total);
    CHECK(cudaMalloc(&huge, total + 1) == cudaErrorMemoryAllocation && !huge);
    CHECK(cudaGetLastError() == cudaErrorMemoryAllocation);
    cudaMalloc(&x, 1000);
    cudaMemGetInfo(&now, &total);
    CHECK(before - now >= 1000);
    CHECK(pull(x, 1)[0] != pull(x, 1)[0]); // NaN: new memory holds nothing
    cudaFree(x);
    cudaMemGetInfo(&now, &total);
    CHECK(before == now);
}

static int fault(const char *name)
{
    float *x = device(10, 1), host[10] = {0}, one = 1;
    cublasHandle_t handle;
    cublasCreate(&handle);
    if (!strcmp(name, "host-reads")) printf("%f\n", *(volatile float *)x);
    if (!strcmp(name, "host-writes")) *(volatile float *)x = 1;
    if (!strcmp(name, "host-pointer")) add_one<<<1, 10>>>(host, 10);
    if (!strcmp(name, "host-in-struct")) {
        parts p = {host, 10};
        add_parts<<<1, 10>>>(p);
    }
    if (!strcmp(name, "host-matrix"))
        cublasSgemm(handle, CUBLAS_OP_N, CUBLAS_OP_N, 1, 1, 1, &one, host, 1, x, 1, &one, x, 1);
    if (!strcmp(name, "large-matrix"))
        cublasSgemm(handle, CUBLAS_OP_N, CUBLAS_OP_N, 2, 6, 1, &one, x, 2, x, 1, &one, x, 2);
    if (!strcmp(name, "direction")) cudaMemcpy(x, host, sizeof host, cudaMemcpyDeviceToHost);
    if (!strcmp(name, "copy-past-end")) cudaMemcpy(host, x + 1, sizeof host, cudaMemcpyDeviceToHost);
    if (!strcmp(name, "freed-twice")) cudaFree(x), cudaFree(x);
    if (!strcmp(name, "free-inside")) cudaFree(x + 1);
    if (!strcmp(name, "free-host")) cudaFree(host);
    if (!strcmp(name, "use-after-free")) cudaFree(x), add_one<<<1, 10>>>(x, 10);
    if (!strcmp(name, "write-past-end")) overrun<<<1, 1>>>(x, 10), cudaDeviceSynchronize();
    if (!strcmp(name, "write-before")) overrun<<<1, 1>>>(x, -1), cudaFree(x);
    if (!strcmp(name, "divergence")) diverge<<<1, 32>>>(x);
    if (!strcmp(name, "other-device")) cudaSetDevice(1), add_one<<<1, 10>>>(x, 10);
    cudaDeviceSynchronize();
    return 0;
}

int main(int argc, char **argv)
{
    int devices;
    if (cudaGetDeviceCount(&devices)) return printf("%s\n", cudaGetErrorString(cudaGetLastError())), 3;
    if (argc > 1) return fault(argv[1]);
    kernels();
    streams();
    libraries();
    memory();
    return failures != 0;
}
