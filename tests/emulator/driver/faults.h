// Reports invalid accesses of kernels compiled as C++ and of copies: on SIGSEGV it prints which thread of which kernel
// accessed which address, and the allocation nearest to it.
#pragma once

#include <signal.h>
#include <unistd.h>

#include "fibers.h"

namespace emulator {

// What runs when no kernel runs, for the message; null while nothing does.
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
        snprintf(where, sizeof where, "byte %zu after the end of its dynamic shared memory", address - shared_end);
    else
        describe(address, where, sizeof where);
    // Not fprintf: its buffer may not fit on the signal stack.
    static char message[600];
    int length;
    if (block.kernel)
        length = describe_thread(message, sizeof message);
    else
        length = snprintf(message, sizeof message, "emulated CUDA: %s", running);
    length += snprintf(message + length, sizeof message - length, " accesses %p: %s\n", info->si_addr, where);
    if (write(STDERR_FILENO, message, length) < 0) _exit(127);
    abort();
}

// Installs the handler once per process, and once per thread a stack for it: the fault may be an overflow of a fiber's.
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
