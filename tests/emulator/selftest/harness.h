// Shared by the self-tests: calls of the two emulated libraries by name, and checks that print what failed.
#pragma once

#include <dlfcn.h>
#include <fcntl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <functional>
#include <string>
#include <vector>

typedef unsigned long long Pointer;
typedef void* Handle;

static int failures;

static void check(bool ok, const char* what) {
    printf("%s  %s\n", ok ? "ok    " : "FAILED", what);
    failures += !ok;
}

static Handle cuda, nvrtc;

// Calls a function of the library that its name begins with.
template <class... Args>
static int call(const char* name, Args... args) {
    void* function = dlsym(strncmp(name, "cu", 2) == 0 ? cuda : nvrtc, name);
    if (!function) {
        printf("FAILED  no function %s\n", name);
        exit(1);
    }
    return reinterpret_cast<int (*)(Args...)>(function)(args...);
}

template <class... Args>
static void must(const char* name, Args... args) {
    int result = call(name, args...);
    if (result == 0) return;
    printf("FAILED  %s returns %d\n", name, result);
    exit(1);
}

static Handle module;

static Handle make_stream() {
    Handle stream;
    must("cuStreamCreateWithPriority", &stream, 1u, 0);
    return stream;
}

// Makes the context current, and returns a stream.
static Handle begin() {
    Handle context;
    must("cuInit", 0u);
    must("cuDevicePrimaryCtxRetain", &context, 0);
    must("cuCtxSetCurrent", context);
    return make_stream();
}

static int compile(const char* source, std::vector<const char*> options, std::string& output) {
    Handle program;
    must("nvrtcCreateProgram", &program, source, "kernels.cu", 0, (const char* const*)nullptr,
         (const char* const*)nullptr);
    int result = call("nvrtcCompileProgram", program, (int)options.size(), options.data());
    size_t size = 0;
    must(result ? "nvrtcGetProgramLogSize" : "nvrtcGetCUBINSize", program, &size);
    output.resize(size);
    must(result ? "nvrtcGetProgramLog" : "nvrtcGetCUBIN", program, output.data());
    must("nvrtcDestroyProgram", &program);
    return result;
}

template <class Args>
static int launch(const char* name, Args args, unsigned grid, unsigned block, unsigned shared, Handle stream) {
    Handle function;
    must("cuModuleGetFunction", &function, module, name);
    void* params[] = {&args};
    return call("cuLaunchKernel", function, grid, 1u, 1u, block, 1u, 1u, shared, stream, (void**)params,
                (void**)nullptr);
}

static Pointer device(size_t bytes) {
    Pointer pointer;
    must("cuMemAlloc_v2", &pointer, bytes);
    return pointer;
}

template <class T>
static Pointer upload(const std::vector<T>& values) {
    Pointer pointer = device(values.size() * sizeof(T));
    must("cuMemcpyHtoD_v2", pointer, (const void*)values.data(), values.size() * sizeof(T));
    return pointer;
}

// Waits for all work first.
template <class T>
static std::vector<T> download(Pointer pointer, size_t count) {
    std::vector<T> values(count);
    must("cuCtxSynchronize");
    must("cuMemcpyDtoH_v2", (void*)values.data(), pointer, count * sizeof(T));
    return values;
}

// Whether `body`, in a child process, ends by a signal with these words on stderr.
static bool dies(const std::string& words, const std::function<void()>& body) {
    int ends[2];
    if (pipe(ends) != 0) return false;
    fflush(stdout);
    pid_t child = fork();
    if (child == 0) {
        dup2(ends[1], 2);
        body();
        _exit(0);
    }
    close(ends[1]);
    std::string text;
    char buffer[512];
    for (ssize_t n; (n = read(ends[0], buffer, sizeof buffer)) > 0;) text.append(buffer, n);
    close(ends[0]);
    int status = 0;
    waitpid(child, &status, 0);
    if (WIFSIGNALED(status) && text.find(words) != std::string::npos) return true;
    printf("        status %d: %s\n", status, text.c_str());
    return false;
}

// Loads both libraries from the folder that is the program's argument.
static void open_libraries(int argc, char** argv) {
    std::string folder = argc > 1 ? argv[1] : ".";
    cuda = dlopen((folder + "/libcuda.so.1").c_str(), RTLD_NOW | RTLD_GLOBAL);
    nvrtc = dlopen((folder + "/libnvrtc.so.13").c_str(), RTLD_NOW | RTLD_GLOBAL);
    if (!cuda || !nvrtc) {
        printf("FAILED  %s\n", dlerror());
        exit(1);
    }
}
