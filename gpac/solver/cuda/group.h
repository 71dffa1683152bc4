// The threads that share one trajectory: GROUP of them, a thread alone, a part of a warp, or a whole block.
//
// What they agree on is the same in each of them, bit for bit, and does not depend on other groups.

// The block's shared memory, as much as the launch asks for.
#ifndef SHARED_ARENA
#define SHARED_ARENA(name) extern __shared__ __align__(16) unsigned char name[]
#endif

#if GROUP == 1

INLINE int member() { return 0; }
INLINE void together() {}

template <class T, class Join>
INLINE T joined(T mine, Join) {
    return mine;
}

INLINE long long of_first(long long value) { return value; }

#elif GROUP <= 32

INLINE int member() { return threadIdx.x % GROUP; }

// The group's threads in its warp.
INLINE unsigned members() {
    return (unsigned)(((1ULL << GROUP) - 1) << (threadIdx.x % 32 / GROUP * GROUP));
}

INLINE void together() { __syncwarp(members()); }

template <class T, class Join>
INLINE T joined(T mine, Join join) {
    for (int across = GROUP / 2; across > 0; across /= 2)
        mine = join(mine, __shfl_xor_sync(members(), mine, across));
    return mine;
}

INLINE long long of_first(long long value) { return __shfl_sync(members(), value, 0, GROUP); }

#else

INLINE int member() { return threadIdx.x; }
INLINE void together() { __syncthreads(); }

// Within each warp first, then over the warps in their order.
template <class T, class Join>
INLINE T joined(T mine, Join join) {
    __shared__ T of_warp[GROUP / 32];
    for (int across = 16; across > 0; across /= 2)
        mine = join(mine, __shfl_xor_sync(0xFFFFFFFFu, mine, across));
    if (threadIdx.x % 32 == 0) of_warp[threadIdx.x / 32] = mine;
    __syncthreads();
    mine = of_warp[0];
    for (int i = 1; i < GROUP / 32; ++i) mine = join(mine, of_warp[i]);
    __syncthreads();
    return mine;
}

INLINE long long of_first(long long value) {
    __shared__ long long first;
    if (threadIdx.x == 0) first = value;
    __syncthreads();
    value = first;
    __syncthreads();
    return value;
}

#endif

INLINE long long largest_of_all(long long mine) {
    return joined(mine, [](long long a, long long b) { return a > b ? a : b; });
}

INLINE double least_of_all(double mine) {
    return joined(mine, [](double a, double b) { return least(a, b); });
}

INLINE double sum_of_all(double mine) {
    return joined(mine, [](double a, double b) { return a + b; });
}
