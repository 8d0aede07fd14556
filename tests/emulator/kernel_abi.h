// What a kernel's shared object (cuda_on_host.h) and the fake driver (driver.cpp) agree on.
#pragma once

struct uint3 {
    unsigned x, y, z;
};

namespace emulator {

enum class WarpOperation : unsigned { sync, shuffle, vote, mma, ptx };

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

// An instruction of PTX that touches memory, for messages.
struct Site {
    unsigned line;
    const char* ptx;
    unsigned source_line;
    const char* source;
};

// What a lane brings to an instruction of PTX that its warp executes together, and where it finds the result.
struct WarpStep {
    void (*perform)(WarpStep* const* lanes, unsigned mask, unsigned warp);
    unsigned site, in[10], out[4];
};

enum class StateSpace : unsigned { global, shared, param };
constexpr unsigned shared_begin = 1024;  // the address of dynamic shared memory

// Memory and warps as PTX has them (machine.h). `site` is an index into the kernel's.
struct Machine {
    void (*load)(StateSpace space, unsigned long long from, unsigned bytes, void* to, unsigned site);
    void (*store)(StateSpace space, unsigned long long to, unsigned bytes, const void* from, unsigned site);
    void (*copy)(unsigned to, unsigned long long from, unsigned site);
    void (*commit)();
    void (*wait)(unsigned groups);
    void (*barrier)(unsigned site);
    void (*warp)(WarpStep* step, unsigned mask);
    decltype(WarpStep::perform) sync, shuffle, ldmatrix, mma;
};

struct Runtime {
    uint3 thread_index, block_index, block_dim, grid_dim;
    unsigned char* shared_memory;
    void (*sync_threads)();
    void (*warp)(WarpOperation operation, unsigned mask, void* exchange);
    const Machine* machine;
};

constexpr unsigned long long kernel_magic = 0x6c656e72656b2121;

// The symbol of a kernel's name.
struct Kernel {
    unsigned long long magic;
    const char* name;
    unsigned long long args_size;
    unsigned max_threads;
    void (*thread)(const void* args);
    const Site* sites;  // of a kernel that was translated from PTX
};

// Before the bytes of a compiled program, because cuModuleLoadData is told no length.
struct ImageHeader {
    char magic[8];
    unsigned long long length;
};
constexpr char image_magic[8] = {'E', 'M', 'U', 'C', 'U', 'B', 'I', 'N'};

}  // namespace emulator
