// Shared by the driver's entry points: their lock, the current context, and macros that check their arguments.
#pragma once

#include <mutex>

#include "modules.h"

namespace emulator {

typedef int CUdevice;
struct CUuuid {
    char bytes[16];
};
typedef unsigned long long CUdeviceptr;
struct PrimaryContext {
    unsigned retained;
};
typedef PrimaryContext* CUcontext;

inline std::mutex mutex;
inline bool initialized;
inline PrimaryContext primary;
inline CUdevice primary_device = 0;
inline thread_local CUcontext current;

}  // namespace emulator

using namespace emulator;

// Every call holds the mutex. Most need a current context, as in CUDA.
#define LOCK std::lock_guard<std::mutex> lock(mutex)
#define ENTER                                              \
    LOCK;                                                  \
    if (!initialized) return CUDA_ERROR_NOT_INITIALIZED;   \
    if (!current) return CUDA_ERROR_INVALID_CONTEXT
#define CHECK(condition, error) \
    if (!(condition)) return error
#define NOT_IN_CAPTURE CHECK(!breaks_capture(), CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED)
#define NOT_IN_ANY_CAPTURE CHECK(!breaks_capture(true), CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED)
#define STREAM(handle) CHECK(streams.count(handle), CUDA_ERROR_INVALID_HANDLE)
#define EVENT(handle) CHECK(events.count(handle), CUDA_ERROR_INVALID_HANDLE)
#define RANGE(begin, size) CHECK(is_allocated(begin, size), CUDA_ERROR_INVALID_VALUE)
