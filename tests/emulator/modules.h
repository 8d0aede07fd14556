// Modules: shared objects that nvrtc.cpp has compiled, and the kernels in them.
#pragma once

#include <dlfcn.h>
#include <link.h>
#include <unistd.h>

#include <string>

#include "machine_warp.h"
#include "streams.h"

namespace emulator {

struct Function {
    const Kernel* kernel;
    size_t shared_limit = 49152;
};

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

// A global becomes an allocation, so that copies reach it.
inline CUresult find_global(Module& module, const char* name, uintptr_t* begin, size_t* size) {
    void* address = dlsym(module.library, name);
    Dl_info info;
    const ElfW(Sym)* symbol;
    if (!address || !dladdr1(address, &info, (void**)&symbol, RTLD_DL_SYMENT) || !symbol) return CUDA_ERROR_NOT_FOUND;
    *begin = reinterpret_cast<uintptr_t>(address);
    *size = symbol->st_size;
    allocations[*begin] = {*size, Space::global, false};
    return CUDA_SUCCESS;
}

inline void unload_module(Module* module) {
    modules.erase(module);
    dlclose(module->library);
    delete module;
}

inline bool known(const Function* function) {
    for (Module* module : modules)
        for (auto& [name, other] : module->functions)
            if (&other == function) return true;
    return false;
}

inline CUresult launch(Stream& stream, const Function& function, uint3 grid, uint3 threads, size_t shared,
                       void** params) {
    const Kernel& kernel = *function.kernel;
    uint64_t count = uint64_t{threads.x} * threads.y * threads.z;
    bool empty = count == 0 || grid.x == 0 || grid.y == 0 || grid.z == 0;
    bool large = count > max_threads || threads.z > 64 || grid.x > 0x7fffffff || grid.y > 65535 || grid.z > 65535;
    if (empty || large || shared > function.shared_limit || !params) return CUDA_ERROR_INVALID_VALUE;
    if (count > kernel.max_threads) return CUDA_ERROR_LAUNCH_OUT_OF_RESOURCES;
    auto* bytes = static_cast<const unsigned char*>(params[0]);
    std::vector<unsigned char> args(bytes, bytes + kernel.args_size);
    return submit(stream, [&kernel, args, grid, threads, shared] {
        run_kernel(kernel, args.data(), grid, threads, shared);
    });
}

}  // namespace emulator
