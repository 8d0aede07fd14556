// Loads modules, which are shared objects compiled by nvrtc/nvrtc.cpp, and launches the kernels in them.
#pragma once

#include <dlfcn.h>
#include <unistd.h>

#include <string>

#include "machine_warp.h"
#include "streams.h"

namespace emulator {

struct Function {
    const Kernel* kernel;
    size_t shared_limit = 49152;
};

// Modules stay loaded until the process ends: the host never unloads one.
struct Module {
    void* library;
    std::map<std::string, Function> functions;
};

inline std::set<Module*> modules;

inline CUresult load_module(const void* image, Module** module) {
    ImageHeader header;
    memcpy(&header, image, sizeof header);
    if (memcmp(header.magic, image_magic, sizeof image_magic) != 0) return CUDA_ERROR_INVALID_IMAGE;
    const char* folder = getenv("TMPDIR");
    std::string path = std::string(folder ? folder : "/tmp") + "/emulated-cuda-XXXXXX";
    int file = mkstemp(path.data());
    if (file < 0) return CUDA_ERROR_OUT_OF_MEMORY;
    const char* bytes = static_cast<const char*>(image) + sizeof header;
    size_t written = 0;
    for (ssize_t n; written < header.length; written += n) {
        n = write(file, bytes + written, header.length - written);
        if (n <= 0) break;
    }
    close(file);
    void* library = written == header.length ? dlopen(path.c_str(), RTLD_NOW | RTLD_LOCAL) : nullptr;
    unlink(path.c_str());
    auto** slot = library ? static_cast<const Runtime**>(dlsym(library, "emulator_runtime")) : nullptr;
    if (!slot) {
        fprintf(stderr, "emulated CUDA: %s\n", library ? "no emulator_runtime in the image" : dlerror());
        return CUDA_ERROR_INVALID_IMAGE;
    }
    *slot = &runtime;
    modules.insert(*module = new Module{library, {}});
    return CUDA_SUCCESS;
}

inline CUresult find_function(Module& module, const char* name, Function** function) {
    auto* kernel = static_cast<const Kernel*>(dlsym(module.library, name));
    if (!kernel || kernel->magic != kernel_magic) return CUDA_ERROR_NOT_FOUND;
    *function = &module.functions.emplace(name, Function{kernel}).first->second;
    return CUDA_SUCCESS;
}

inline bool known(const Function* function) {
    for (Module* module : modules)
        for (auto& [name, other] : module->functions)
            if (&other == function) return true;
    return false;
}

inline CUresult launch(Stream& stream, const Function& function, Index grid, unsigned threads, size_t shared,
                       void** params) {
    const Kernel& kernel = *function.kernel;
    bool empty = threads == 0 || grid.x == 0 || grid.y == 0;
    bool large = threads > max_threads || grid.x > 0x7fffffff || grid.y > 65535;
    if (empty || large || shared > function.shared_limit || !params) return CUDA_ERROR_INVALID_VALUE;
    if (threads > kernel.max_threads) return CUDA_ERROR_LAUNCH_OUT_OF_RESOURCES;
    auto* bytes = static_cast<const unsigned char*>(params[0]);
    std::vector<unsigned char> args(bytes, bytes + kernel.args_size);
    return submit(stream, [&kernel, args, grid, threads, shared] {
        run_kernel(kernel, args.data(), grid, threads, shared);
    });
}

}  // namespace emulator
