// What a kernel needs of CUDA, on the processor: the threads of a block are fibers that take turns at barriers.
// One block runs after the other. Deterministic, and a barrier that not all of a group reach is found.

#include <atomic>
#include <cmath>
#include <cstdio>
#include <cstring>
#include <map>
#include <memory>
#include <tuple>
#include <ucontext.h>
#include <utility>
#include <vector>

#define __device__
#define __global__
#define __shared__ static
#define __forceinline__ inline
#define __launch_bounds__(threads, blocks)
#define SHARED_ARENA(name) unsigned char* name = host::shared.get()

struct Place {
    unsigned x;
};
static Place threadIdx, blockIdx;

namespace host {

struct Barrier {
    unsigned arrived = 0, generation = 0;
};

struct Fiber {
    ucontext_t context;
    std::unique_ptr<char[]> stack;
    bool done;
};

static const size_t STACK = 512 * 1024;
static std::unique_ptr<unsigned char[]> shared;
static std::vector<Fiber> fibers;
static std::map<std::pair<unsigned, unsigned>, Barrier> barriers;
static std::vector<unsigned long long> slots;
static ucontext_t outside;
static unsigned block;
static bool moved;

inline void wait_for(unsigned warp, unsigned mask, unsigned count) {
    Barrier& barrier = barriers[{warp, mask}];
    moved = true;
    if (++barrier.arrived == count) {
        barrier.arrived = 0;
        ++barrier.generation;
        return;
    }
    const unsigned me = threadIdx.x, generation = barrier.generation;
    while (barrier.generation == generation) swapcontext(&fibers[me].context, &outside);
    moved = true;
}

template <class T>
inline T exchanged(unsigned mask, T value, unsigned from) {
    const unsigned warp = threadIdx.x / 32, count = __builtin_popcount(mask);
    std::memcpy(&slots[threadIdx.x], &value, sizeof value);
    wait_for(warp, mask, count);
    std::memcpy(&value, &slots[from], sizeof value);
    wait_for(warp, mask, count);
    return value;
}

}  // namespace host

inline void __syncwarp(unsigned mask) { host::wait_for(threadIdx.x / 32, mask, __builtin_popcount(mask)); }
inline void __syncthreads() { host::wait_for(~0u, 0, host::block); }

template <class T>
inline T __shfl_xor_sync(unsigned mask, T value, int across) {
    return host::exchanged(mask, value, threadIdx.x ^ across);
}

template <class T>
inline T __shfl_sync(unsigned mask, T value, int from, int width) {
    return host::exchanged(mask, value, threadIdx.x / width * width + from);
}

inline unsigned long long atomicAdd(unsigned long long* at, unsigned long long more) {
    const unsigned long long old = *at;
    *at += more;
    return old;
}

inline long long __double_as_longlong(double a) {
    long long b;
    std::memcpy(&b, &a, 8);
    return b;
}

inline double __longlong_as_double(long long a) {
    double b;
    std::memcpy(&b, &a, 8);
    return b;
}
