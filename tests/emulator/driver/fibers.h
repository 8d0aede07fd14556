// Runs a kernel on one thread of the host: its blocks one after another, the threads of a block as fibers, which switch
// only at barriers and warp operations. The order of blocks and of fibers is shuffled, so that a kernel whose result
// depends on it gives different results. The switch is written for x86-64.
#pragma once

#include <numeric>
#include <utility>
#include <vector>

#include "../kernel_abi.h"
#include "memory.h"
#include "mma.h"

namespace emulator {

constexpr unsigned max_threads = 1024;
constexpr size_t max_shared = 232448;
constexpr size_t stack_size = 64 << 10;

struct Warp {
    unsigned live, arrived;  // a bit for each lane
    WarpFunction operations[32];
    void* exchange[32];
};

inline Runtime runtime;

// Defined in machine.h and machine_warp.h: the instructions of PTX, and hooks that follow kernels run as PTX.
extern const Machine machine;
void watch_launch(size_t shared);
void watch_block();
void watch_barrier();
void watch_end_of_thread();

// The block that runs now; `kernel` is null between launches.
inline struct {
    const Kernel* kernel;
    const void* args;
    unsigned threads, live, current;
    unsigned waiting[max_threads], waiting_count;
    Warp warps[max_threads / 32];
    bool descending, depth_first;
} block;

// Where a fiber continues.
struct Context {
    void *stack, *frame, *code;
};
inline Context launcher;
inline Context contexts[max_threads];
inline unsigned fibers_made;

// A queue of the threads that can run. Each is in it at most once.
inline struct {
    unsigned threads[2 * max_threads];
    unsigned head, tail;
    void push(unsigned thread) {
        if (block.depth_first) threads[--head % (2 * max_threads)] = thread;
        else threads[tail++ % (2 * max_threads)] = thread;
    }
    unsigned pop() { return threads[head++ % (2 * max_threads)]; }
    bool empty() const { return head == tail; }
} ready;

// Writes which thread of which kernel runs now. Returns the length.
inline int describe_thread(char* text, size_t length) {
    return snprintf(text, length, "emulated CUDA: kernel %s, block (%u, %u), thread %u", block.kernel->name,
                    runtime.block_index.x, runtime.block_index.y, runtime.thread_index.x);
}

[[noreturn]] inline void fail_in_kernel(const char* message) {
    char thread[300];
    describe_thread(thread, sizeof thread);
    fprintf(stderr, "%s: %s\n", thread, message);
    abort();
}

[[noreturn]] inline void report_deadlock() {
    for (size_t i = 0; i < max_threads / 32; i++) {
        const Warp& warp = block.warps[i];
        if (warp.arrived)
            fprintf(stderr, "emulated CUDA: warp %zu: lanes %08x of %08x wait in a warp operation\n", i, warp.arrived,
                    warp.live);
    }
    fprintf(stderr, "emulated CUDA: %u of %u running threads wait at __syncthreads\n", block.waiting_count, block.live);
    fail_in_kernel("deadlock, found when this thread began to wait");
}

// The next thread's context, or the launcher's after the last thread.
inline const Context& next_context() {
    if (ready.empty()) {
        if (block.live) report_deadlock();
        return launcher;
    }
    block.current = ready.pop();
    runtime.thread_index.x = block.current;
    return contexts[block.current];
}

// A jump, not a longjmp: a call that never returns makes the processor mispredict all later returns, which makes a
// switch several times as slow.
[[gnu::noinline]] inline void switch_to_next(Context& from) {
    const Context *here = &from, *there = &next_context();
    asm volatile(
        "lea 1f(%%rip), %%rax\n\t"
        "mov %%rsp, 0(%0)\n\t"
        "mov %%rbp, 8(%0)\n\t"
        "mov %%rax, 16(%0)\n\t"
        "mov 0(%1), %%rsp\n\t"
        "mov 8(%1), %%rbp\n\t"
        "jmp *16(%1)\n"
        "1:"
        : "+D"(here), "+S"(there)
        :
        : "rax", "rbx", "rcx", "rdx", "r8", "r9", "r10", "r11", "r12", "r13", "r14", "r15",
          "xmm0", "xmm1", "xmm2", "xmm3", "xmm4", "xmm5", "xmm6", "xmm7", "xmm8", "xmm9", "xmm10", "xmm11",
          "xmm12", "xmm13", "xmm14", "xmm15", "memory", "cc");
}

inline void sleep_thread() { switch_to_next(contexts[block.current]); }

// Makes threads ready, in ascending and descending order by turns. The running thread needs no wake-up.
template <class Thread>
void wake(unsigned count, unsigned running, Thread thread) {
    block.descending = !block.descending;
    for (unsigned i = 0; i < count; i++) {
        unsigned t = thread(block.descending ? count - 1 - i : i);
        if (t != running) ready.push(t);
    }
}

inline void release_block(unsigned running) {
    if (block.kernel->sites) watch_barrier();
    unsigned count = std::exchange(block.waiting_count, 0);
    wake(count, running, [](unsigned i) { return block.waiting[i]; });
}

inline void sync_threads() {
    block.waiting[block.waiting_count++] = block.current;
    if (block.waiting_count == block.live) release_block(block.current);
    else sleep_thread();
}

// Does the operation that all lanes of a warp wait in.
inline void complete(unsigned number, unsigned running) {
    Warp& warp = block.warps[number];
    unsigned lanes = std::exchange(warp.arrived, 0), threads[32], count = 0;
    WarpFunction operation = warp.operations[__builtin_ctz(lanes)];
    for (unsigned rest = lanes; rest; rest &= rest - 1) {
        unsigned lane = __builtin_ctz(rest);
        if (warp.operations[lane] != operation) fail_in_kernel("lanes of a warp meet in different operations");
        threads[count++] = number * 32 + lane;
    }
    operation(warp.exchange, lanes, number);
    wake(count, running, [&](unsigned i) { return threads[i]; });
}

// Waits for the other lanes of the warp. The last to arrive does the operation for all, so that a lane switches once.
inline void warp_operation(WarpFunction operation, void* exchange) {
    unsigned thread = block.current, lane = thread % 32;
    Warp& warp = block.warps[thread / 32];
    warp.operations[lane] = operation;
    warp.exchange[lane] = exchange;
    warp.arrived |= 1u << lane;
    if (warp.arrived == warp.live) complete(thread / 32, thread);
    else sleep_thread();
}

inline void warp_mma(void* const* exchange, unsigned lanes, unsigned) {
    if (lanes != ~0u) fail_in_kernel("an mma without all 32 lanes");
    mma(exchange);
}

// Barriers and warp operations do not wait for threads that have ended.
inline void end_thread() {
    unsigned thread = block.current;
    Warp& warp = block.warps[thread / 32];
    if (block.kernel->sites) watch_end_of_thread();
    block.live--;
    warp.live &= ~(1u << thread % 32);
    if (block.live && block.waiting_count == block.live) release_block(thread);
    if (warp.arrived && warp.arrived == warp.live) complete(thread / 32, thread);
}

// Runs one thread of a block after another, until the process ends.
inline void fiber() {
    for (;;) {
        block.kernel->thread(block.args);
        end_thread();
        switch_to_next(contexts[block.current]);
    }
}

// The stack begins as after a call of `fiber`: with a return address and the alignment of a call.
inline void make_fiber() {
    unsigned char* stack = map_guarded(stack_size);
    if (!stack) fail("no memory for the stacks of a block's threads");
    // Stacks at equal offsets in their pages would compete for the same sets of the cache.
    auto* top = reinterpret_cast<void**>(stack + stack_size - fibers_made % 32 * 128);
    *--top = nullptr;
    contexts[fibers_made++] = {top, nullptr, reinterpret_cast<void*>(fiber)};
}

inline void run_block(unsigned threads) {
    block.threads = block.live = threads;
    for (unsigned i = 0; i < max_threads / 32; i++) {
        unsigned from = i * 32;
        block.warps[i].live = threads >= from + 32 ? ~0u : threads > from ? (1u << (threads - from)) - 1 : 0;
        block.warps[i].arrived = 0;
    }
    ready.head = ready.tail = 0;
    wake(threads, threads, [](unsigned i) { return i; });
    switch_to_next(launcher);
}

// Dynamic shared memory. It ends at a guard page, and a launch gets the last bytes of it.
inline unsigned char* shared_region() {
    static unsigned char* region = map_guarded(round_up(max_shared, page));
    if (!region) fail("no memory for dynamic shared memory");
    return region;
}

inline unsigned random_seed() {
    const char* seed = getenv("TONIC_EMULATED_SEED");
    return seed ? static_cast<unsigned>(strtoul(seed, nullptr, 10)) : 0;
}

inline void run_kernel(const Kernel& kernel, const void* args, Index grid, unsigned threads, size_t shared) {
    while (fibers_made < threads) make_fiber();
    std::vector<size_t> order(size_t{grid.x} * grid.y);
    std::iota(order.begin(), order.end(), size_t{0});
    uint64_t state = 0x9e3779b97f4a7c15 * (random_seed() + 1ull);
    auto random = [&] { return (state = state * 6364136223846793005 + 1442695040888963407) >> 33; };
    for (size_t i = order.size(); i > 1; i--) std::swap(order[i - 1], order[random() % i]);

    unsigned char* shared_end = shared_region() + round_up(max_shared, page);
    unsigned char* shared_memory = shared_end - round_up(shared, 16);
    runtime = {{}, {}, {threads, 1}, grid, shared_memory, sync_threads, warp_operation, warp_mma, &machine};
    block.args = args;
    block.kernel = &kernel;
    if (kernel.sites) watch_launch(shared);
    for (size_t i : order) {
        memset(shared_memory, poison, shared_end - shared_memory);
        runtime.block_index = {static_cast<unsigned>(i % grid.x), static_cast<unsigned>(i / grid.x)};
        uint64_t bits = random();
        block.descending = bits & 1;
        block.depth_first = bits & 2;
        if (kernel.sites) watch_block();
        run_block(threads);
    }
    block.kernel = nullptr;
}

}  // namespace emulator
