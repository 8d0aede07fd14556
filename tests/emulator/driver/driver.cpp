// Entry points of the emulated CUDA driver, libcuda.so.1, for devices, memory, modules and launches: those that
// src/train calls, with the checks of the real driver. driver_streams.cpp has the others.
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

static int devices() {
    const char* number = getenv("TONIC_EMULATED_DEVICES");
    return number ? atoi(number) : 1;
}

#define DEVICE(device)                                     \
    LOCK;                                                  \
    CHECK(initialized, CUDA_ERROR_NOT_INITIALIZED);        \
    CHECK(device >= 0 && device < devices(), CUDA_ERROR_INVALID_DEVICE)

CUresult cuDeviceGetCount(int* count) {
    DEVICE(0);
    *count = devices();
    return CUDA_SUCCESS;
}

CUresult cuDeviceGet(CUdevice* device, int ordinal) {
    DEVICE(ordinal);
    *device = ordinal;
    return CUDA_SUCCESS;
}

CUresult cuDeviceGetUuid_v2(CUuuid* uuid, CUdevice device) {
    DEVICE(device);
    *uuid = {};
    uuid->bytes[15] = (char)device;
    return CUDA_SUCCESS;
}

CUresult cuDeviceGetName(char* name, int length, CUdevice device) {
    DEVICE(device);
    snprintf(name, length, "emulated on the host");
    return CUDA_SUCCESS;
}

CUresult cuDeviceGetAttribute(int* value, int attribute, CUdevice device) {
    DEVICE(device);
    switch (attribute) {
        case 16: *value = 132; break;         // MULTIPROCESSOR_COUNT
        case 75: *value = 9; break;           // COMPUTE_CAPABILITY_MAJOR
        case 76: *value = 0; break;           // COMPUTE_CAPABILITY_MINOR
        case 97: *value = max_shared; break;  // MAX_SHARED_MEMORY_PER_BLOCK_OPTIN
        default: return CUDA_ERROR_INVALID_VALUE;
    }
    return CUDA_SUCCESS;
}

CUresult cuDeviceTotalMem_v2(size_t* bytes, CUdevice device) {
    DEVICE(device);
    *bytes = device_bytes();
    return CUDA_SUCCESS;
}

CUresult cuDevicePrimaryCtxRetain(CUcontext* context, CUdevice device) {
    DEVICE(device);
    // A process uses one of the GPUs.
    CHECK(primary.retained == 0 || primary_device == device, CUDA_ERROR_NOT_SUPPORTED);
    primary_device = device;
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

CUresult cuMemcpyHtoDAsync_v2(CUdeviceptr to, const void* from, size_t size, Stream* stream) {
    ENTER;
    STREAM(stream);
    RANGE(to, size);
    return submit(*stream, [=] { memcpy(at(to), from, size); });
}

CUresult cuMemcpyDtoHAsync_v2(void* to, CUdeviceptr from, size_t size, Stream* stream) {
    ENTER;
    STREAM(stream);
    RANGE(from, size);
    return submit(*stream, [=] { memcpy(to, at(from), size); });
}

// Blocking copies do not wait for the work of streams, since all are non-blocking.
CUresult cuMemcpyHtoD_v2(CUdeviceptr to, const void* from, size_t size) {
    ENTER;
    NOT_IN_ANY_CAPTURE;
    RANGE(to, size);
    run([=] { memcpy(at(to), from, size); });
    return CUDA_SUCCESS;
}

CUresult cuMemcpyDtoH_v2(void* to, CUdeviceptr from, size_t size) {
    ENTER;
    NOT_IN_ANY_CAPTURE;
    RANGE(from, size);
    run([=] { memcpy(to, at(from), size); });
    return CUDA_SUCCESS;
}

CUresult cuMemsetD8Async(CUdeviceptr to, unsigned char value, size_t count, Stream* stream) {
    ENTER;
    STREAM(stream);
    RANGE(to, count);
    return submit(*stream, [=] { memset(at(to), value, count); });
}

CUresult cuModuleLoadData(Module** module, const void* image) {
    ENTER;
    CHECK(image, CUDA_ERROR_INVALID_VALUE);
    return load_module(image, module);
}

CUresult cuModuleGetFunction(Function** function, Module* module, const char* name) {
    ENTER;
    CHECK(modules.count(module), CUDA_ERROR_INVALID_HANDLE);
    return find_function(*module, name, function);
}

CUresult cuFuncSetAttribute(Function* function, int attribute, int value) {
    ENTER;
    CHECK(known(function), CUDA_ERROR_INVALID_HANDLE);
    CHECK(attribute == 8, CUDA_ERROR_INVALID_VALUE);  // MAX_DYNAMIC_SHARED_SIZE_BYTES
    CHECK(value >= 0 && static_cast<size_t>(value) <= max_shared, CUDA_ERROR_INVALID_VALUE);
    function->shared_limit = value;
    return CUDA_SUCCESS;
}

CUresult cuLaunchKernel(Function* function, unsigned grid_x, unsigned grid_y, unsigned grid_z, unsigned block_x,
                        unsigned block_y, unsigned block_z, unsigned shared, Stream* stream, void** params,
                        void** extra) {
    ENTER;
    STREAM(stream);
    CHECK(known(function), CUDA_ERROR_INVALID_HANDLE);
    CHECK(grid_z == 1 && block_y == 1 && block_z == 1 && !extra, CUDA_ERROR_INVALID_VALUE);
    return launch(*stream, *function, {grid_x, grid_y}, block_x, shared, params);
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
