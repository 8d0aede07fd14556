// Runs a kernel (on x86-64): blocks one after another, their threads as fibers that switch at barriers only.
// Orders vary, so that a kernel which relies on one computes something else.
#pragma once

#include <numeric>
#include <utility>
#include <vector>

#include "kernel_abi.h"
#include "memory.h"
#include "mma.h"

namespace emulator {

constexpr unsigned max_threads = 1024;
constexpr size_t max_shared = 232448;
constexpr size_t stack_size = 64 << 10;

struct Warp {
    unsigned live, arrived;
    unsigned masks[32];
    WarpOperation operations[32];
    void* exchange[32];
};

inline Runtime runtime;

// machine.h and machine_warp.h: what PTX asks for, and what has to be known of its blocks.
extern const Machine machine;
void watch_launch(size_t shared);
void watch_block();
void watch_barrier();
void watch_end_of_thread();

// The block that runs now; kernel is null between launches.
inline struct {
    const Kernel* kernel;
    const void* args;
    unsigned threads, live, current;
    unsigned waiting[max_threads], waiting_count;
    Warp warps[max_threads / 32];
    bool descending, depth_first;
} block;

// Where a stack stopped.
struct Context {
    void *stack, *frame, *code;
};
inline Context launcher;
inline Context contexts[max_threads];
inline unsigned fibers_made;
inline uint3 indices[max_threads];

// Threads that may run. A thread is in it at most once.
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

[[noreturn]] inline void fail_in_kernel(const char* message) {
    fprintf(stderr, "emulated CUDA: kernel %s, block (%u, %u, %u), thread (%u, %u, %u): %s\n", block.kernel->name,
            runtime.block_index.x, runtime.block_index.y, runtime.block_index.z, runtime.thread_index.x,
            runtime.thread_index.y, runtime.thread_index.z, message);
    abort();
}

[[noreturn]] inline void fail_of_deadlock() {
    for (size_t i = 0; i < max_threads / 32; i++) {
        const Warp& warp = block.warps[i];
        if (warp.arrived)
            fprintf(stderr, "emulated CUDA: warp %zu: lanes %08x wait in a warp operation for the others of %08x\n", i,
                    warp.arrived, warp.masks[__builtin_ctz(warp.arrived)] & warp.live);
    }
    fprintf(stderr, "emulated CUDA: %u of %u running threads wait at __syncthreads\n", block.waiting_count, block.live);
    fail_in_kernel("deadlock, seen when this thread stopped");
}

// The next thread's stack, or the launcher's after the last.
inline const Context& next_context() {
    if (ready.empty()) {
        if (block.live) fail_of_deadlock();
        return launcher;
    }
    block.current = ready.pop();
    runtime.thread_index = indices[block.current];
    return contexts[block.current];
}

// A jump and not a longjmp: a call that never returns spoils the processor's guesses of where all others return to,
// which makes a switch several times as slow.
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

// Wakes threads in alternating order; the one that runs goes on by itself.
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

inline void perform(WarpOperation operation, Warp& warp, unsigned lanes) {
    if (operation == WarpOperation::ptx) {
        auto* steps = reinterpret_cast<WarpStep* const*>(warp.exchange);
        steps[__builtin_ctz(lanes)]->perform(steps, lanes, static_cast<unsigned>(&warp - block.warps));
    } else if (operation == WarpOperation::mma) {
        if (lanes != ~0u) fail_in_kernel("an mma without all 32 lanes");
        mma(warp.exchange);
    } else if (operation == WarpOperation::shuffle) {
        for (unsigned rest = lanes; rest; rest &= rest - 1) {
            auto* shuffle = static_cast<Shuffle*>(warp.exchange[__builtin_ctz(rest)]);
            bool there = shuffle->source < 32 && (lanes >> shuffle->source & 1);
            // From a lane that takes no part, CUDA returns anything.
            shuffle->result = there ? static_cast<Shuffle*>(warp.exchange[shuffle->source])->value : ~0ull;
        }
    } else if (operation == WarpOperation::vote) {
        unsigned ballot = 0;
        for (unsigned rest = lanes; rest; rest &= rest - 1)
            ballot |= static_cast<Vote*>(warp.exchange[__builtin_ctz(rest)])->predicate << __builtin_ctz(rest);
        for (unsigned rest = lanes; rest; rest &= rest - 1)
            static_cast<Vote*>(warp.exchange[__builtin_ctz(rest)])->ballot = ballot;
    }
}

// Does the operation that `lane` waits in, if the last of its lanes is there.
inline bool complete(unsigned warp_number, unsigned lane, unsigned running) {
    Warp& warp = block.warps[warp_number];
    unsigned mask = warp.masks[lane], lanes = mask & warp.live;
    if ((warp.arrived & lanes) != lanes) return false;
    for (unsigned rest = lanes; rest; rest &= rest - 1) {
        unsigned other = __builtin_ctz(rest);
        if (warp.masks[other] != mask || warp.operations[other] != warp.operations[lane])
            fail_in_kernel("lanes of a warp meet in different operations or with different masks");
    }
    perform(warp.operations[lane], warp, lanes);
    warp.arrived &= ~lanes;
    unsigned threads[32], count = 0;
    for (unsigned rest = lanes; rest; rest &= rest - 1) threads[count++] = warp_number * 32 + __builtin_ctz(rest);
    wake(count, running, [&](unsigned i) { return threads[i]; });
    return true;
}

// The last lane to come does the work of all: one switch a lane.
inline void warp_operation(WarpOperation operation, unsigned mask, void* exchange) {
    unsigned thread = block.current, lane = thread % 32;
    if (!(mask >> lane & 1)) fail_in_kernel("a lane gives a mask without itself");
    Warp& warp = block.warps[thread / 32];
    warp.masks[lane] = mask;
    warp.operations[lane] = operation;
    warp.exchange[lane] = exchange;
    warp.arrived |= 1u << lane;
    if (!complete(thread / 32, lane, thread)) sleep_thread();
}

// Barriers do not wait for threads that have ended.
inline void end_thread() {
    unsigned thread = block.current;
    Warp& warp = block.warps[thread / 32];
    if (block.kernel->sites) watch_end_of_thread();
    block.live--;
    warp.live &= ~(1u << thread % 32);
    if (block.live && block.waiting_count == block.live) release_block(thread);
    for (unsigned rest = warp.arrived; rest; rest &= rest - 1) {
        unsigned lane = __builtin_ctz(rest);
        if ((warp.arrived >> lane & 1) && (warp.masks[lane] >> thread % 32 & 1)) complete(thread / 32, lane, thread);
    }
}

// A fiber stays for the process and runs one thread of a block after another.
inline void fiber() {
    for (;;) {
        block.kernel->thread(block.args);
        end_thread();
        switch_to_next(contexts[block.current]);
    }
}

// Begins as if something had called `fiber`: above a return address, with the alignment of a call.
inline void make_fiber() {
    unsigned char* stack = map_guarded(stack_size);
    if (!stack) fail("no memory for the stacks of a block's threads");
    // Stacks at equal offsets in their pages would fight for the same cache sets.
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

// The end of the region lies at a guard page, and a launch gets as much of the end as it asks for.
inline unsigned char* shared_region() {
    static unsigned char* region = map_guarded(round_up(max_shared, page));
    if (!region) fail("no memory for dynamic shared memory");
    return region;
}

inline unsigned random_seed() {
    const char* seed = getenv("TONIC_EMULATED_SEED");
    return seed ? static_cast<unsigned>(strtoul(seed, nullptr, 10)) : 0;
}

inline void run_kernel(const Kernel& kernel, const void* args, uint3 grid, uint3 threads, size_t shared) {
    unsigned count = threads.x * threads.y * threads.z;
    while (fibers_made < count) make_fiber();
    for (unsigned i = 0; i < count; i++)
        indices[i] = {i % threads.x, i / threads.x % threads.y, i / threads.x / threads.y};
    std::vector<size_t> order(size_t{grid.x} * grid.y * grid.z);
    std::iota(order.begin(), order.end(), size_t{0});
    uint64_t state = 0x9e3779b97f4a7c15 * (random_seed() + 1ull);
    auto random = [&] { return (state = state * 6364136223846793005 + 1442695040888963407) >> 33; };
    for (size_t i = order.size(); i > 1; i--) std::swap(order[i - 1], order[random() % i]);

    unsigned char* shared_end = shared_region() + round_up(max_shared, page);
    runtime.shared_memory = shared_end - round_up(shared, 16);
    runtime.block_dim = threads;
    runtime.grid_dim = grid;
    runtime.sync_threads = sync_threads;
    runtime.warp = warp_operation;
    runtime.machine = &machine;
    block.args = args;
    block.kernel = &kernel;
    if (kernel.sites) watch_launch(shared);
    for (size_t i : order) {
        memset(runtime.shared_memory, poison, shared_end - runtime.shared_memory);
        runtime.block_index = {static_cast<unsigned>(i % grid.x), static_cast<unsigned>(i / grid.x % grid.y),
                               static_cast<unsigned>(i / grid.x / grid.y)};
        uint64_t bits = random();
        block.descending = bits & 1;
        block.depth_first = bits & 2;
        if (kernel.sites) watch_block();
        run_block(count);
    }
    block.kernel = nullptr;
}

}  // namespace emulator
