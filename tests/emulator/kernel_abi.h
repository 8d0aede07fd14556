// The interface between a kernel's shared object, which nvrtc/nvrtc.cpp compiles, and the driver that runs it.
#pragma once

namespace emulator {

// The position of a thread in its block or of a block in its grid, or the size of either. The kernels' blocks have one
// dimension and their grids at most two.
struct Index {
    unsigned x, y;
};

// An operation that the lanes of a warp do together. `exchange` has what each lane passed to Runtime::warp, and `lanes`
// has a bit for each lane that takes part, which are those that have not ended.
using WarpFunction = void (*)(void* const* exchange, unsigned lanes, unsigned warp);

// A lane's operands of mma.m16n8k16: d += a b.
struct Mma {
    float* d;
    const unsigned* a;
    const unsigned* b;
};

// A PTX instruction that accesses memory or synchronises, for messages.
struct Site {
    unsigned line;
    const char* ptx;
    unsigned source_line;
    const char* source;
};

// A lane's operands and results of a PTX instruction that its warp executes together.
struct WarpStep {
    unsigned site, in[10], out[4];
};

enum class StateSpace : unsigned { global, shared, param };
constexpr unsigned shared_begin = 1024;  // the address of dynamic shared memory in PTX

// Instructions of PTX that are executed by the driver (driver/machine.h, driver/machine_warp.h). `site` is an index
// into Kernel::sites.
struct Machine {
    void (*load)(StateSpace space, unsigned long long from, unsigned bytes, void* to, unsigned site);
    void (*store)(StateSpace space, unsigned long long to, unsigned bytes, const void* from, unsigned site);
    void (*copy)(unsigned to, unsigned long long from, unsigned site);
    void (*commit)();
    void (*wait)(unsigned groups);
    void (*barrier)(unsigned site);
    WarpFunction sync, shuffle, ldmatrix, mma;
};

// What a running thread sees of the driver.
struct Runtime {
    Index thread_index, block_index, block_dim, grid_dim;
    unsigned char* shared_memory;
    void (*sync_threads)();
    void (*warp)(WarpFunction operation, void* exchange);
    WarpFunction mma;
    const Machine* machine;
};

constexpr unsigned long long kernel_magic = 0x6c656e72656b2121;

// What the symbol of a kernel's name refers to in the shared object.
struct Kernel {
    unsigned long long magic;
    const char* name;
    unsigned long long args_size;
    unsigned max_threads;
    void (*thread)(const void* args);
    const Site* sites;  // null for kernels compiled as C++
};

// Stands before the bytes of a compiled program: cuModuleLoadData is not told their length.
struct ImageHeader {
    char magic[8];
    unsigned long long length;
};
constexpr char image_magic[8] = {'E', 'M', 'U', 'C', 'U', 'B', 'I', 'N'};

}  // namespace emulator
