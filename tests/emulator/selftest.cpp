// Tests the emulator itself: that right programs get the right numbers, and that wrong ones do not.
//
//     c++ -std=c++17 -O1 -g selftest.cpp -o selftest -ldl
//     ./selftest FOLDER_OF_THE_LIBRARIES
#include <chrono>
#include <cmath>
#include <ctime>
#include <random>

#include "selftest.h"

static const char* const kernels = R"(
struct AddArgs { const float* a; const float* b; float* c; unsigned n; };
KERNEL(add, AddArgs, 128) {
    unsigned i = blockIdx.x * blockDim.x + threadIdx.x;
    if (i < args.n) args.c[i] = args.a[i] + args.b[i];
}

struct ReduceArgs { const float* in; float* out; };
KERNEL(reduce, ReduceArgs, 1024) {
    float* shared = (float*)dynamic_shared_memory();
    shared[threadIdx.x] = args.in[blockIdx.x * blockDim.x + threadIdx.x];
    for (unsigned half = blockDim.x / 2; half; half /= 2) {
        __syncthreads();
        if (threadIdx.x < half) shared[threadIdx.x] += shared[threadIdx.x + half];
    }
    if (threadIdx.x == 0) args.out[blockIdx.x] = shared[0];
}

// As reduce, but a thread reads what its neighbours may not have written.
KERNEL(reduce_without_barrier, ReduceArgs, 1024) {
    float* shared = (float*)dynamic_shared_memory();
    shared[threadIdx.x] = args.in[threadIdx.x];
    args.out[blockIdx.x * blockDim.x + threadIdx.x] = shared[(threadIdx.x + 1) % blockDim.x];
}

KERNEL(beyond_shared, ReduceArgs, 1024) {
    ((float*)dynamic_shared_memory())[blockDim.x] = 0.0f;
}

KERNEL(deadlock, ReduceArgs, 1024) {
    if (threadIdx.x % 32 == 0) __syncthreads();
    else __syncwarp();
}

struct MmaArgs { const unsigned short* a; const unsigned short* b; float* d; unsigned repeats; };
KERNEL(multiply, MmaArgs, 1024) {
    unsigned lane = threadIdx.x % 32, g = lane / 4, q = lane % 4;
    const unsigned* a_pairs = (const unsigned*)args.a;  // 16 x 16, rows
    const unsigned* b_pairs = (const unsigned*)args.b;  // 8 columns of 16
    unsigned a[4] = {a_pairs[g * 8 + q], a_pairs[(g + 8) * 8 + q], a_pairs[g * 8 + q + 4], a_pairs[(g + 8) * 8 + q + 4]};
    unsigned b[2] = {b_pairs[g * 8 + q], b_pairs[g * 8 + q + 4]};
    float d[4] = {1.0f, 1.0f, 1.0f, 1.0f};
    for (unsigned i = 0; i < args.repeats; i++) mma_16816(d, a, b);
    if (threadIdx.x >= 32) return;
    args.d[g * 8 + 2 * q] = d[0];
    args.d[g * 8 + 2 * q + 1] = d[1];
    args.d[(g + 8) * 8 + 2 * q] = d[2];
    args.d[(g + 8) * 8 + 2 * q + 1] = d[3];
}

struct ShuffleArgs { float* out; };
KERNEL(shuffle, ShuffleArgs, 64) {
    float sum = (float)threadIdx.x;
    for (int lanes = 16; lanes; lanes /= 2) sum += __shfl_xor_sync(0xffffffffu, sum, lanes);
    double second = __shfl_sync(0xffffffffu, (double)threadIdx.x, 2);
    int next = __shfl_down_sync(0xffffffffu, (int)threadIdx.x, 1u);
    unsigned odd = __ballot_sync(0xffffffffu, threadIdx.x & 1);
    args.out[threadIdx.x] = sum + 1000.0f * (float)second + 0.5f * (float)next + (odd == 0xaaaaaaaau ? 0.25f : 0.0f);
}

struct CountArgs { unsigned* counter; unsigned* order; };
KERNEL(count, CountArgs, 64) {
    if (threadIdx.x == 1) args.order[atomicAdd(args.counter, 1u)] = blockIdx.x;
}
)";

struct AddArgs {
    Pointer a, b, c;
    unsigned n;
};
struct ReduceArgs {
    Pointer in, out;
};

static Handle stream() {
    Handle handle;
    must("cuStreamCreate", &handle, 1u);
    return handle;
}

static Handle event() {
    Handle handle;
    must("cuEventCreate", &handle, 0u);
    return handle;
}

static void test_kernels() {
    Pointer a = upload(std::vector<float>(1000, 1.0f)), b = upload(std::vector<float>(1000, 2.0f)), c = device(4000);
    must("cuMemsetD32Async", c, 0u, (size_t)1000, (Handle)nullptr);
    check(launch("add", AddArgs{a, b, c, 1000}, 8, 128, 0, nullptr) == 0, "add launches");
    check(download<float>(c, 1000) == std::vector<float>(1000, 3.0f), "add adds");
    check(dies("kernel add, block (7, 0, 0), thread (104, 0, 0) touches", [&] {
        launch("add", AddArgs{a, b, c, 1001}, 8, 128, 0, nullptr);
        call("cuCtxSynchronize");
    }), "an access behind an allocation is named");
    check(dies("of a freed allocation of 4000 bytes", [&] {
        call("cuMemFree_v2", c);
        launch("add", AddArgs{a, b, c, 1000}, 8, 128, 0, nullptr);
        call("cuCtxSynchronize");
    }), "a use after free is named");
    check(launch("add", AddArgs{a, b, c, 1}, 1, 256, 0, nullptr) == 701, "more threads than declared are refused");
    check(launch("add", AddArgs{a, b, c, 1}, 1, 128, 49153, nullptr) == 1, "much shared memory is refused unasked");
    Handle function;
    must("cuModuleGetFunction", &function, module, "add");
    check(call("cuFuncSetAttribute", function, 8, 232449) == 1, "too much shared memory is refused");
    must("cuFuncSetAttribute", function, 8, 232448);
    check(launch("add", AddArgs{a, b, c, 1}, 1, 128, 232448, nullptr) == 0, "all shared memory may be asked for");
    check(call("cuModuleGetFunction", &function, module, "subtract") == 500, "an unknown kernel is not found");
    check(call("cuMemcpyHtoD_v2", c, (const void*)kernels, (size_t)4001) == 1, "a copy beyond an allocation is refused");

    std::vector<float> values(4 * 1024);
    for (size_t i = 0; i < values.size(); i++) values[i] = float(i % 7);
    Pointer in = upload(values), out = device(4 * 4096);
    std::vector<float> sums(4);
    for (size_t i = 0; i < values.size(); i++) sums[i / 1024] += values[i];
    launch("reduce", ReduceArgs{in, out}, 4, 1024, 4096, nullptr);
    check(download<float>(out, 4) == sums, "a reduction over barriers");
    launch("reduce_without_barrier", ReduceArgs{in, out}, 4, 1024, 4096, nullptr);
    std::vector<float> rotated, results = download<float>(out, 4 * 1024);
    for (size_t i = 0; i < results.size(); i++) rotated.push_back(values[(i + 1) % 1024]);
    check(results != rotated, "a missing barrier shows");
    check(dies("byte 0 behind its dynamic shared memory", [&] {
        launch("beyond_shared", ReduceArgs{in, out}, 1, 64, 256, nullptr);
        call("cuCtxSynchronize");
    }), "an access behind the shared memory is named");
    check(dies("deadlock", [&] {
        launch("deadlock", ReduceArgs{in, out}, 1, 64, 0, nullptr);
        call("cuCtxSynchronize");
    }), "a deadlock is named");

    launch("shuffle", out, 1, 64, 0, nullptr);
    std::vector<float> expected(64);
    for (int i = 0; i < 64; i++) {
        int first = i / 32 * 32, next = i % 32 == 31 ? i : i + 1;
        expected[i] = float(first * 32 + 496) + 1000.0f * float(first + 2) + 0.5f * float(next) + 0.25f;
    }
    check(download<float>(out, 64) == expected, "shuffles and votes");

    Pointer counter = device(4), order = device(64 * 4);
    must("cuMemsetD32Async", counter, 0u, (size_t)1, (Handle)nullptr);
    struct {
        Pointer counter, order;
    } count = {counter, order};
    launch("count", count, 64, 2, 0, nullptr);
    std::vector<unsigned> blocks = download<unsigned>(order, 64);
    bool ascending = true;
    for (unsigned i = 0; i < 64; i++) ascending &= blocks[i] == i;
    check(!ascending && download<unsigned>(counter, 1)[0] == 64, "all blocks run, in another order");
    check(std::isnan(download<float>(device(4), 1)[0]), "fresh memory is NaN");
}

static void test_mma() {
    std::mt19937 random(1);
    auto bf16 = [&] { return (unsigned short)((random() & 0x807f) | ((120 + random() % 12) << 7)); };
    auto value = [](unsigned short bits) {
        unsigned word = unsigned(bits) << 16;
        float result;
        memcpy(&result, &word, 4);
        return double(result);
    };
    std::vector<unsigned short> a(256), b(128);
    for (auto& x : a) x = bf16();
    for (auto& x : b) x = bf16();
    std::vector<float> expected(128);
    for (int row = 0; row < 16; row++)
        for (int column = 0; column < 8; column++) {
            double sum = 0;
            for (int k = 0; k < 16; k++) sum += value(a[row * 16 + k]) * value(b[column * 16 + k]);
            float& towards_zero = expected[row * 8 + column];
            towards_zero = float(1.0 + sum);
            if (std::fabs(double(towards_zero)) > std::fabs(1.0 + sum)) towards_zero = std::nextafter(towards_zero, 0.0f);
        }
    struct {
        Pointer a, b, d;
        unsigned repeats;
    } args = {upload(a), upload(b), device(512), 1};
    launch("multiply", args, 1, 32, 0, nullptr);
    check(download<float>(args.d, 128) == expected, "mma equals a matrix product, cut off towards zero");

    args.repeats = 10000;
    for (unsigned warps : {1u, 8u, 32u}) {
        launch("multiply", args, 1, warps * 32, 0, nullptr);
        clock_t start = clock();
        must("cuCtxSynchronize");
        double seconds = double(clock() - start) / CLOCKS_PER_SEC;
        printf("        an mma of a warp takes %.2f us with %u warps in the block\n", seconds * 1e6 / 1e4 / warps, warps);
    }
}

static void test_streams() {
    Handle copy = stream(), compute = stream();
    float* staging;
    must("cuMemHostAlloc", (void**)&staging, (size_t)400, 0u);
    Pointer a = upload(std::vector<float>(100, 0.0f)), c = device(400);
    auto fill = [&](float value) { std::fill_n(staging, 100, value); };
    auto start_copy = [&] { must("cuMemcpyHtoDAsync_v2", a, (const void*)staging, (size_t)400, copy); };
    auto result = [&] {
        must("cuStreamSynchronize", compute);
        must("cuStreamSynchronize", copy);
        return download<float>(c, 1)[0];
    };

    fill(1.0f);
    start_copy();
    fill(5.0f);
    must("cuStreamSynchronize", copy);
    check(download<float>(a, 1)[0] == 5.0f, "an early overwrite of a staging buffer shows");

    fill(2.0f);
    start_copy();
    must("cuStreamSynchronize", copy);
    fill(3.0f);
    start_copy();
    launch("add", AddArgs{a, a, c, 100}, 1, 128, 0, compute);
    check(result() == 4.0f, "a missing wait shows");

    Handle copied = event(), later = event();
    fill(7.0f);
    start_copy();
    must("cuEventRecord", copied, copy);
    must("cuMemsetD8Async", a, (unsigned char)0, (size_t)400, copy);
    must("cuEventRecord", later, copy);
    must("cuStreamWaitEvent", compute, copied, 0u);
    launch("add", AddArgs{a, a, c, 100}, 1, 128, 0, compute);
    check(call("cuEventQuery", later) == 600, "an event is not ready when asked first");
    must("cuStreamSynchronize", compute);
    check(download<float>(c, 1)[0] == 14.0f, "with a wait the other stream runs up to the event, and no further");
    check(call("cuEventQuery", copied) == 0 && call("cuEventQuery", later) == 0, "polling ends");
    float milliseconds = -1.0f;
    must("cuEventElapsedTime_v2", &milliseconds, copied, later);
    check(milliseconds > 0.0f, "events have times");

    start_copy();
    must("cuEventRecord", copied, copy);
    fill(8.0f);
    must("cuEventSynchronize", copied);
    check(call("cuEventQuery", copied) == 0, "an event that was waited for is ready");
    must("cuMemFreeHost", (void*)staging);
}

static void test_capture() {
    Handle main = stream(), side = stream(), fork = event(), join = event(), graph = nullptr, exec;
    Pointer a = upload(std::vector<float>(64, 1.0f)), b = upload(std::vector<float>(64, 2.0f));
    Pointer c = device(256), d = device(256);
    auto record = [&](bool forked_waits, bool joined) {
        must("cuStreamBeginCapture_v2", main, 1);
        launch("add", AddArgs{a, b, c, 64}, 1, 64, 0, main);
        must("cuEventRecord", fork, main);
        must("cuStreamWaitEvent", side, fork, 0u);
        launch("add", AddArgs{a, c, d, 64}, 1, 64, 0, side);
        must("cuEventRecord", join, side);
        if (!forked_waits) launch("add", AddArgs{a, d, c, 64}, 1, 64, 0, main);
        if (joined) must("cuStreamWaitEvent", main, join, 0u);
        if (forked_waits) launch("add", AddArgs{a, d, c, 64}, 1, 64, 0, main);
        return call("cuStreamEndCapture", main, &graph);
    };
    auto replay = [&] {
        must("cuMemsetD32Async", c, 0u, (size_t)64, main);
        must("cuMemsetD32Async", d, 0u, (size_t)64, main);
        must("cuGraphLaunch", exec, main);
        must("cuStreamSynchronize", main);
        return download<float>(c, 64)[63];
    };
    check(record(true, true) == 0, "a graph with fork and join");
    must("cuGraphInstantiateWithFlags", &exec, graph, 0ull);
    must("cuGraphDestroy", graph);
    check(replay() == 5.0f && replay() == 5.0f, "its replays");
    must("cuGraphExecDestroy", exec);
    check(record(false, true) == 0, "a graph whose main stream waits too late");
    must("cuGraphInstantiateWithFlags", &exec, graph, 0ull);
    float first = replay(), second = replay();
    check(first != second, "shows it in one of two replays");
    check(record(true, false) == 904, "an unjoined stream is refused");

    must("cuStreamBeginCapture_v2", main, 0);
    Pointer pointer;
    check(call("cuMemAlloc_v2", &pointer, (size_t)16) == 900, "no allocation in a capture");
    check(call("cuStreamEndCapture", main, &graph) == 901, "and it spoils the capture");
    must("cuStreamBeginCapture_v2", main, 1);
    check(call("cuStreamSynchronize", main) == 900, "no waiting in a capture");
    check(call("cuStreamEndCapture", main, &graph) == 901 && !graph, "and it spoils the capture");
    must("cuStreamBeginCapture_v2", main, 1);
    must("cuEventRecord", fork, side);
    check(call("cuStreamWaitEvent", main, fork, 0u) == 905, "no wait for work outside the capture");
    must("cuStreamEndCapture", main, &graph);
}

static void test_memory() {
    size_t free, total;
    must("cuMemGetInfo_v2", &free, &total);
    Pointer pointer;
    check(call("cuMemAlloc_v2", &pointer, free + 1) == 2, "more memory than there is is refused");
    Pointer some = device(1 << 20);
    size_t less;
    must("cuMemGetInfo_v2", &less, &total);
    must("cuMemFree_v2", some);
    size_t again;
    must("cuMemGetInfo_v2", &again, &total);
    check(less == free - (1 << 20) && again == free, "free memory is counted");
    check(call("cuMemFree_v2", some) == 1, "a second free is refused");
}

int main(int argc, char** argv) {
    open_libraries(argc, argv);
    Handle context;
    check(call("cuCtxSynchronize") == 3, "nothing works before cuInit");
    must("cuInit", 0u);
    check(call("cuCtxSynchronize") == 201, "nor without a context");
    must("cuDevicePrimaryCtxRetain", &context, 0);
    must("cuCtxSetCurrent", context);

    std::string output;
    auto start = std::chrono::steady_clock::now();
    if (compile(kernels, {"--gpu-architecture=sm_90", "--std=c++17", "-default-device", "-DSPARE=1"}, output) != 0) {
        printf("FAILED  %s\n", output.c_str());
        return 1;
    }
    double seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
    printf("        compiled in %.2f s\n", seconds);
    must("cuModuleLoadData", &module, (const void*)output.data());
    std::string log;
    check(compile("int f() { return x; }", {}, log) == 6 && log.find("error") != std::string::npos, "errors are logged");
    check(compile("", {"--no-such-option"}, log) == 5, "an unknown option is refused");
    check(compile("", {"--gpu-architecture=sm_70"}, log) == 5, "an unknown architecture is refused");
    Handle other;
    check(call("cuModuleLoadData", &other, (const void*)"something else") == 200, "a wrong image is refused");

    test_kernels();
    test_mma();
    test_streams();
    test_capture();
    test_memory();
    printf(failures ? "%d FAILED\n" : "all passed\n", failures);
    return failures != 0;
}
