// A CUDA driver without a card, so that the tests run the real host code and the real kernels on any machine.
//
//     c++ -std=c++17 -O2 -g -shared -fPIC -Wl,-soname,libcuda.so.1 driver.cpp driver_streams.cpp
//         -o libcuda.so.1 -ldl
//
// TONIC_EMULATED_MEMORY is the card's memory in bytes, 2 GiB if not set. TONIC_EMULATED_SEED chooses another order of
// blocks and threads: what a kernel computes must not depend on it. TONIC_EMULATED_REPORT is a file for counts of
// allocations and graphs.
#include "api.h"

static void* at(CUdeviceptr pointer) { return reinterpret_cast<void*>(pointer); }

extern "C" {

CUresult cuInit(unsigned flags) {
    LOCK;
    CHECK(flags == 0, CUDA_ERROR_INVALID_VALUE);
    initialized = true;
    return CUDA_SUCCESS;
}

CUresult cuDriverGetVersion(int* version) {
    *version = 13000;
    return CUDA_SUCCESS;
}

#define DEVICE(device)                                     \
    LOCK;                                                  \
    CHECK(initialized, CUDA_ERROR_NOT_INITIALIZED);        \
    CHECK(device == 0, CUDA_ERROR_INVALID_DEVICE)

CUresult cuDeviceGetCount(int* count) {
    DEVICE(0);
    *count = 1;
    return CUDA_SUCCESS;
}

CUresult cuDeviceGet(CUdevice* device, int ordinal) {
    DEVICE(ordinal);
    *device = 0;
    return CUDA_SUCCESS;
}

CUresult cuDeviceGetName(char* name, int length, CUdevice device) {
    DEVICE(device);
    snprintf(name, length, "emulated on the host");
    return CUDA_SUCCESS;
}

CUresult cuDeviceGetAttribute(int* value, int attribute, CUdevice device) {
    DEVICE(device);
    static const std::map<int, int> attributes = {
        {1, max_threads},      // MAX_THREADS_PER_BLOCK
        {2, max_threads},      // MAX_BLOCK_DIM_X
        {3, max_threads},      // MAX_BLOCK_DIM_Y
        {4, 64},               // MAX_BLOCK_DIM_Z
        {5, 0x7fffffff},       // MAX_GRID_DIM_X
        {6, 65535},            // MAX_GRID_DIM_Y
        {7, 65535},            // MAX_GRID_DIM_Z
        {8, 49152},            // MAX_SHARED_MEMORY_PER_BLOCK
        {10, 32},              // WARP_SIZE
        {12, 65536},           // MAX_REGISTERS_PER_BLOCK
        {16, 132},             // MULTIPROCESSOR_COUNT
        {31, 1},               // CONCURRENT_KERNELS
        {38, 50 << 20},        // L2_CACHE_SIZE
        {39, 2048},            // MAX_THREADS_PER_MULTIPROCESSOR
        {40, 3},               // ASYNC_ENGINE_COUNT
        {41, 1},               // UNIFIED_ADDRESSING
        {75, 9},               // COMPUTE_CAPABILITY_MAJOR
        {76, 0},               // COMPUTE_CAPABILITY_MINOR
        {81, 233472},          // MAX_SHARED_MEMORY_PER_MULTIPROCESSOR
        {82, 65536},           // MAX_REGISTERS_PER_MULTIPROCESSOR
        {97, max_shared},      // MAX_SHARED_MEMORY_PER_BLOCK_OPTIN
        {106, 32},             // MAX_BLOCKS_PER_MULTIPROCESSOR
    };
    auto it = attributes.find(attribute);
    *value = it == attributes.end() ? 0 : it->second;
    return CUDA_SUCCESS;
}

CUresult cuDeviceTotalMem_v2(size_t* bytes, CUdevice device) {
    DEVICE(device);
    *bytes = device_bytes();
    return CUDA_SUCCESS;
}

CUresult cuDeviceGetUuid_v2(char* uuid, CUdevice device) {
    DEVICE(device);
    memcpy(uuid, "emulated on host", 16);
    return CUDA_SUCCESS;
}

CUresult cuDevicePrimaryCtxRetain(CUcontext* context, CUdevice device) {
    DEVICE(device);
    primary.retained++;
    *context = &primary;
    return CUDA_SUCCESS;
}

CUresult cuDevicePrimaryCtxRelease_v2(CUdevice device) {
    DEVICE(device);
    CHECK(primary.retained, CUDA_ERROR_INVALID_CONTEXT);
    if (--primary.retained == 0) run_everything();
    return CUDA_SUCCESS;
}

CUresult cuCtxSetCurrent(CUcontext context) {
    LOCK;
    CHECK(!context || (context == &primary && primary.retained), CUDA_ERROR_INVALID_CONTEXT);
    current = context;
    return CUDA_SUCCESS;
}

CUresult cuCtxGetCurrent(CUcontext* context) {
    LOCK;
    CHECK(initialized, CUDA_ERROR_NOT_INITIALIZED);
    *context = current;
    return CUDA_SUCCESS;
}

CUresult cuCtxSynchronize() {
    ENTER;
    NOT_IN_ANY_CAPTURE;
    run_everything();
    return CUDA_SUCCESS;
}

CUresult cuMemGetInfo_v2(size_t* free, size_t* total) {
    ENTER;
    *total = device_bytes();
    *free = *total - std::min(*total, device_bytes_used);
    return CUDA_SUCCESS;
}

CUresult cuMemAlloc_v2(CUdeviceptr* pointer, size_t size) {
    ENTER;
    NOT_IN_ANY_CAPTURE;
    CHECK(size, CUDA_ERROR_INVALID_VALUE);
    void* memory = allocate(size, Space::device);
    CHECK(memory, CUDA_ERROR_OUT_OF_MEMORY);
    *pointer = reinterpret_cast<CUdeviceptr>(memory);
    return CUDA_SUCCESS;
}

CUresult cuMemFree_v2(CUdeviceptr pointer) {
    ENTER;
    if (!pointer) return CUDA_SUCCESS;
    NOT_IN_ANY_CAPTURE;
    run_everything();
    CHECK(release(pointer, Space::device), CUDA_ERROR_INVALID_VALUE);
    return CUDA_SUCCESS;
}

CUresult cuMemHostAlloc(void** pointer, size_t size, unsigned) {
    ENTER;
    NOT_IN_ANY_CAPTURE;
    CHECK(size, CUDA_ERROR_INVALID_VALUE);
    *pointer = allocate(size, Space::pinned);
    CHECK(*pointer, CUDA_ERROR_OUT_OF_MEMORY);
    return CUDA_SUCCESS;
}

CUresult cuMemFreeHost(void* pointer) {
    ENTER;
    NOT_IN_ANY_CAPTURE;
    run_everything();
    CHECK(release(reinterpret_cast<uintptr_t>(pointer), Space::pinned), CUDA_ERROR_INVALID_VALUE);
    return CUDA_SUCCESS;
}

CUresult cuMemcpyHtoDAsync_v2(CUdeviceptr to, const void* from, size_t size, Stream* handle) {
    ENTER;
    STREAM(handle);
    RANGE(to, size);
    return submit(*stream, [=] { memcpy(at(to), from, size); });
}

CUresult cuMemcpyDtoHAsync_v2(void* to, CUdeviceptr from, size_t size, Stream* handle) {
    ENTER;
    STREAM(handle);
    RANGE(from, size);
    return submit(*stream, [=] { memcpy(to, at(from), size); });
}

// A blocking copy is one in the legacy stream: it waits for no non-blocking stream.
CUresult cuMemcpyHtoD_v2(CUdeviceptr to, const void* from, size_t size) {
    ENTER;
    NOT_IN_ANY_CAPTURE;
    RANGE(to, size);
    CUresult result = submit(legacy_stream, [=] { memcpy(at(to), from, size); });
    run_all(legacy_stream);
    return result;
}

CUresult cuMemcpyDtoH_v2(void* to, CUdeviceptr from, size_t size) {
    ENTER;
    NOT_IN_ANY_CAPTURE;
    RANGE(from, size);
    CUresult result = submit(legacy_stream, [=] { memcpy(to, at(from), size); });
    run_all(legacy_stream);
    return result;
}

CUresult cuMemsetD8Async(CUdeviceptr to, unsigned char value, size_t count, Stream* handle) {
    ENTER;
    STREAM(handle);
    RANGE(to, count);
    return submit(*stream, [=] { memset(at(to), value, count); });
}

CUresult cuMemsetD32Async(CUdeviceptr to, unsigned value, size_t count, Stream* handle) {
    ENTER;
    STREAM(handle);
    CHECK(to % 4 == 0 && count <= SIZE_MAX / 4, CUDA_ERROR_INVALID_VALUE);
    RANGE(to, count * 4);
    return submit(*stream, [=] { std::fill_n(static_cast<unsigned*>(at(to)), count, value); });
}

CUresult cuModuleLoadData(Module** module, const void* image) {
    ENTER;
    CHECK(image, CUDA_ERROR_INVALID_VALUE);
    return load_module(image, module);
}

CUresult cuModuleUnload(Module* module) {
    ENTER;
    CHECK(modules.count(module), CUDA_ERROR_INVALID_HANDLE);
    NOT_IN_CAPTURE;
    run_everything();
    unload_module(module);
    return CUDA_SUCCESS;
}

CUresult cuModuleGetFunction(Function** function, Module* module, const char* name) {
    ENTER;
    CHECK(modules.count(module), CUDA_ERROR_INVALID_HANDLE);
    return find_function(*module, name, function);
}

CUresult cuModuleGetGlobal_v2(CUdeviceptr* pointer, size_t* size, Module* module, const char* name) {
    ENTER;
    CHECK(modules.count(module), CUDA_ERROR_INVALID_HANDLE);
    uintptr_t begin = 0;
    size_t bytes = 0;
    CUresult result = find_global(*module, name, &begin, &bytes);
    if (pointer) *pointer = begin;
    if (size) *size = bytes;
    return result;
}

CUresult cuFuncSetAttribute(Function* function, int attribute, int value) {
    ENTER;
    CHECK(known(function), CUDA_ERROR_INVALID_HANDLE);
    if (attribute == 8) {  // MAX_DYNAMIC_SHARED_SIZE_BYTES
        CHECK(value >= 0 && static_cast<size_t>(value) <= max_shared, CUDA_ERROR_INVALID_VALUE);
        function->shared_limit = value;
        return CUDA_SUCCESS;
    }
    // PREFERRED_SHARED_MEMORY_CARVEOUT is a hint.
    return attribute == 9 && value >= -1 && value <= 100 ? CUDA_SUCCESS : CUDA_ERROR_INVALID_VALUE;
}

CUresult cuFuncGetAttribute(int* value, int attribute, Function* function) {
    ENTER;
    CHECK(known(function), CUDA_ERROR_INVALID_HANDLE);
    switch (attribute) {
        case 0: *value = function->kernel->max_threads; break;  // MAX_THREADS_PER_BLOCK
        case 4: *value = 32; break;                             // NUM_REGS
        case 8: *value = function->shared_limit; break;         // MAX_DYNAMIC_SHARED_SIZE_BYTES
        default: *value = 0;
    }
    return CUDA_SUCCESS;
}

CUresult cuLaunchKernel(Function* function, unsigned grid_x, unsigned grid_y, unsigned grid_z, unsigned block_x,
                        unsigned block_y, unsigned block_z, unsigned shared, Stream* handle, void** params,
                        void** extra) {
    ENTER;
    STREAM(handle);
    CHECK(known(function), CUDA_ERROR_INVALID_HANDLE);
    CHECK(!extra, CUDA_ERROR_INVALID_VALUE);
    return launch(*stream, *function, {grid_x, grid_y, grid_z}, {block_x, block_y, block_z}, shared, params);
}

CUresult cuGetErrorName(CUresult result, const char** text) {
    switch (result) {
#define X(name, value, description) \
    case name: *text = #name; return CUDA_SUCCESS;
        EMULATOR_RESULTS(X)
#undef X
    }
    *text = nullptr;
    return CUDA_ERROR_INVALID_VALUE;
}

CUresult cuGetErrorString(CUresult result, const char** text) {
    switch (result) {
#define X(name, value, description) \
    case name: *text = description; return CUDA_SUCCESS;
        EMULATOR_RESULTS(X)
#undef X
    }
    *text = nullptr;
    return CUDA_ERROR_INVALID_VALUE;
}

}  // extern "C"
