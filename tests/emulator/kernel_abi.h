// What a kernel's shared object (cuda_on_host.h) and the fake driver (driver.cpp) agree on.
#pragma once

struct uint3 {
    unsigned x, y, z;
};

namespace emulator {

enum class WarpOperation : unsigned { sync, shuffle, vote, mma };

// What a lane brings to a warp operation, and where it finds the result.
struct Shuffle {
    unsigned long long value, result;
    unsigned source;
};
struct Vote {
    unsigned predicate, ballot;
};
struct Mma {
    float* d;
    const unsigned* a;
    const unsigned* b;
};

struct Runtime {
    uint3 thread_index, block_index, block_dim, grid_dim;
    unsigned char* shared_memory;
    void (*sync_threads)();
    void (*warp)(WarpOperation operation, unsigned mask, void* exchange);
};

constexpr unsigned long long kernel_magic = 0x6c656e72656b2121;

// The symbol of a kernel's name.
struct Kernel {
    unsigned long long magic;
    const char* name;
    unsigned long long args_size;
    unsigned max_threads;
    void (*thread)(const void* args);
};

// Before the bytes of a compiled program, because cuModuleLoadData is told no length.
struct ImageHeader {
    char magic[8];
    unsigned long long length;
};
constexpr char image_magic[8] = {'E', 'M', 'U', 'C', 'U', 'B', 'I', 'N'};

}  // namespace emulator
