// Names the kernel's thread, and the allocation it missed, when emulated code touches memory that is not its own.
#pragma once

#include <signal.h>
#include <unistd.h>

#include "fibers.h"

namespace emulator {

// What runs when no kernel does, for the message; null while no queue runs.
inline const char* running;
inline struct sigaction previous_action;

inline void on_fault(int signal, siginfo_t* info, void*) {
    if (!running) {
        sigaction(signal, &previous_action, nullptr);
        return;
    }
    char where[200];
    auto address = reinterpret_cast<uintptr_t>(info->si_addr);
    auto shared_end = reinterpret_cast<uintptr_t>(shared_region()) + round_up(max_shared, page);
    if (block.kernel && address - shared_end < page)
        snprintf(where, sizeof where, "byte %zu behind its dynamic shared memory", address - shared_end);
    else
        describe(address, where, sizeof where);
    // Not by fprintf, whose buffer is more than a thread's signal stack may hold.
    static char message[600];
    int length;
    if (block.kernel)
        length = snprintf(message, sizeof message, "emulated CUDA: kernel %s, block (%u, %u, %u), thread (%u, %u, %u)",
                          block.kernel->name, runtime.block_index.x, runtime.block_index.y, runtime.block_index.z,
                          runtime.thread_index.x, runtime.thread_index.y, runtime.thread_index.z);
    else
        length = snprintf(message, sizeof message, "emulated CUDA: %s", running);
    length += snprintf(message + length, sizeof message - length, " touches %p: %s\n", info->si_addr, where);
    if (write(STDERR_FILENO, message, length) < 0) _exit(127);
    abort();
}

// Once for the process, and a signal stack for each thread: the fault may be a full fiber stack.
inline void catch_faults() {
    static bool installed = [] {
        struct sigaction action = {};
        action.sa_sigaction = on_fault;
        action.sa_flags = SA_SIGINFO | SA_ONSTACK;
        return sigaction(SIGSEGV, &action, &previous_action) == 0;
    }();
    static thread_local bool has_stack = [] {
        stack_t stack = {};
        if (sigaltstack(nullptr, &stack) == 0 && !(stack.ss_flags & SS_DISABLE)) return true;
        static thread_local char memory[32 << 10];
        stack = {};
        stack.ss_sp = memory;
        stack.ss_size = sizeof memory;
        return sigaltstack(&stack, nullptr) == 0;
    }();
    if (!installed || !has_stack) fail("cannot catch faults");
}

}  // namespace emulator
