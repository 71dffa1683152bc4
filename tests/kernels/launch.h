// Run all blocks of the kernel `run`; returns 0, or 1 where threads wait for others that never come, or 2 where
// one has written past the end of its shared memory.

namespace host {

template <class... A, size_t... I>
void call(void (*kernel)(A...), void** arguments, std::index_sequence<I...>) {
    kernel(*(A*)arguments[I]...);
}

template <class... A>
void call(void (*kernel)(A...), void** arguments) {
    call(kernel, arguments, std::index_sequence_for<A...>());
}

static void** given;
static const size_t FENCE = 4096;

static void fiber() {
    const unsigned me = threadIdx.x;
    call(run, given);
    fibers[me].done = true;
    moved = true;
}

}  // namespace host

extern "C" int launch(int grid, int block, size_t shared, void** arguments) {
    using namespace host;
    host::block = block;
    given = arguments;
    host::shared.reset(new unsigned char[shared + FENCE]);
    std::memset(host::shared.get() + shared, 0xAB, FENCE);
    fibers.resize(block);
    slots.resize(block);
    for (blockIdx.x = 0; blockIdx.x < (unsigned)grid; ++blockIdx.x) {
        barriers.clear();
        for (auto& f : fibers) {
            if (!f.stack) f.stack.reset(new char[STACK]);
            getcontext(&f.context);
            f.context.uc_stack.ss_sp = f.stack.get();
            f.context.uc_stack.ss_size = STACK;
            f.context.uc_link = &outside;
            f.done = false;
            makecontext(&f.context, fiber, 0);
        }
        for (int left = block; left;) {
            moved = false;
            left = 0;
            for (int i = 0; i < block; ++i) {
                if (fibers[i].done) continue;
                threadIdx.x = i;
                swapcontext(&outside, &fibers[i].context);
                left += !fibers[i].done;
            }
            if (left && !moved) return 1;
        }
    }
    for (size_t i = shared; i < shared + FENCE; ++i)
        if (host::shared[i] != 0xAB) return 2;
    return 0;
}
