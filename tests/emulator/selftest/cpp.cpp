// Tests kernels compiled as C++, and the driver: right programs must get right results, and wrong ones must not.
#include <cmath>
#include <random>

#include "harness.h"

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

// A thread reads what another may not have written yet.
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

struct MmaArgs { const unsigned short* a; const unsigned short* b; float* d; };
KERNEL(multiply, MmaArgs, 32) {
    unsigned g = threadIdx.x / 4, q = threadIdx.x % 4;
    const unsigned* a_pairs = (const unsigned*)args.a;  // 16 x 16, rows
    const unsigned* b_pairs = (const unsigned*)args.b;  // 8 columns of 16
    unsigned a[4] = {a_pairs[g * 8 + q], a_pairs[(g + 8) * 8 + q], a_pairs[g * 8 + q + 4], a_pairs[(g + 8) * 8 + q + 4]};
    unsigned b[2] = {b_pairs[g * 8 + q], b_pairs[g * 8 + q + 4]};
    float d[4] = {1.0f, 1.0f, 1.0f, 1.0f};
    mma_16816(d, a, b);
    args.d[g * 8 + 2 * q] = d[0];
    args.d[g * 8 + 2 * q + 1] = d[1];
    args.d[(g + 8) * 8 + 2 * q] = d[2];
    args.d[(g + 8) * 8 + 2 * q + 1] = d[3];
}

struct ShuffleArgs { float* out; };
KERNEL(shuffle, ShuffleArgs, 64) {
    float sum = (float)threadIdx.x;
    for (unsigned lanes = 16; lanes; lanes /= 2) sum += __shfl_xor_sync(0xffffffffu, sum, lanes);
    args.out[threadIdx.x] = sum;
}

struct CountArgs { unsigned* counter; unsigned* order; };
KERNEL(count, CountArgs, 64) {
    if (threadIdx.x == 1) args.order[(*args.counter)++] = blockIdx.x;  // threads switch at barriers only
}
)";

struct AddArgs {
    Pointer a, b, c;
    unsigned n;
};
struct ReduceArgs {
    Pointer in, out;
};

static Handle stream;  // of the tests that need but one

static Handle event() {
    Handle handle;
    must("cuEventCreate", &handle, 0u);
    return handle;
}

static void test_kernels() {
    Pointer a = upload(std::vector<float>(1000, 1.0f)), b = upload(std::vector<float>(1000, 2.0f)), c = device(4000);
    check(launch("add", AddArgs{a, b, c, 1000}, 8, 128, 0, stream) == 0, "add launches");
    check(download<float>(c, 1000) == std::vector<float>(1000, 3.0f), "add adds");
    check(dies("kernel add, block (7, 0), thread 104 accesses", [&] {
        launch("add", AddArgs{a, b, c, 1001}, 8, 128, 0, stream);
        call("cuCtxSynchronize");
    }), "an access after the end of an allocation is reported");
    check(dies("of a freed allocation of 4000 bytes", [&] {
        call("cuMemFree_v2", c);
        launch("add", AddArgs{a, b, c, 1000}, 8, 128, 0, stream);
        call("cuCtxSynchronize");
    }), "a use after free is reported");
    check(launch("add", AddArgs{a, b, c, 1}, 1, 256, 0, stream) == 701, "more threads than declared are refused");
    check(launch("add", AddArgs{a, b, c, 1}, 1, 128, 49153, stream) == 1, "much shared memory has to be asked for");
    Handle function;
    must("cuModuleGetFunction", &function, module, "add");
    check(call("cuFuncSetAttribute", function, 8, 232449) == 1, "too much shared memory is refused");
    must("cuFuncSetAttribute", function, 8, 232448);
    check(launch("add", AddArgs{a, b, c, 1}, 1, 128, 232448, stream) == 0, "all shared memory may be asked for");
    check(call("cuModuleGetFunction", &function, module, "subtract") == 500, "an unknown kernel is not found");
    check(call("cuMemcpyHtoD_v2", c, (const void*)kernels, (size_t)4001) == 1, "a copy beyond an allocation is refused");

    std::vector<float> values(4 * 1024);
    for (size_t i = 0; i < values.size(); i++) values[i] = float(i % 7);
    Pointer in = upload(values), out = device(4 * 4096);
    std::vector<float> sums(4);
    for (size_t i = 0; i < values.size(); i++) sums[i / 1024] += values[i];
    launch("reduce", ReduceArgs{in, out}, 4, 1024, 4096, stream);
    check(download<float>(out, 4) == sums, "a reduction over barriers");
    launch("reduce_without_barrier", ReduceArgs{in, out}, 4, 1024, 4096, stream);
    std::vector<float> rotated, results = download<float>(out, 4 * 1024);
    for (size_t i = 0; i < results.size(); i++) rotated.push_back(values[(i + 1) % 1024]);
    check(results != rotated, "a missing barrier changes the result");
    check(dies("byte 0 after the end of its dynamic shared memory", [&] {
        launch("beyond_shared", ReduceArgs{in, out}, 1, 64, 256, stream);
        call("cuCtxSynchronize");
    }), "an access after the end of shared memory is reported");
    check(dies("deadlock", [&] {
        launch("deadlock", ReduceArgs{in, out}, 1, 64, 0, stream);
        call("cuCtxSynchronize");
    }), "a deadlock is reported");

    launch("shuffle", out, 1, 64, 0, stream);
    std::vector<float> expected(64);
    for (int i = 0; i < 64; i++) expected[i] = float(i / 32 * 1024 + 496);
    check(download<float>(out, 64) == expected, "shuffles");

    Pointer counter = upload<unsigned>({0}), order = device(64 * 4);
    struct {
        Pointer counter, order;
    } count = {counter, order};
    launch("count", count, 64, 2, 0, stream);
    std::vector<unsigned> blocks = download<unsigned>(order, 64);
    bool ascending = true;
    for (unsigned i = 0; i < 64; i++) ascending &= blocks[i] == i;
    check(!ascending && download<unsigned>(counter, 1)[0] == 64, "all blocks run, in a shuffled order");
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
            float& rounded = expected[row * 8 + column];
            rounded = float(1.0 + sum);
            if (std::fabs(double(rounded)) > std::fabs(1.0 + sum)) rounded = std::nextafter(rounded, 0.0f);
        }
    struct {
        Pointer a, b, d;
    } args = {upload(a), upload(b), device(512)};
    launch("multiply", args, 1, 32, 0, stream);
    check(download<float>(args.d, 128) == expected, "mma is a matrix product, rounded towards zero");
}

static void test_streams() {
    Handle copy = make_stream(), compute = make_stream();
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
    check(download<float>(a, 1)[0] == 5.0f, "overwriting a staging buffer too early changes the result");

    fill(2.0f);
    start_copy();
    must("cuStreamSynchronize", copy);
    fill(3.0f);
    start_copy();
    launch("add", AddArgs{a, a, c, 100}, 1, 128, 0, compute);
    check(result() == 4.0f, "a missing wait changes the result");

    Handle copied = event(), later = event();
    fill(7.0f);
    start_copy();
    must("cuEventRecord", copied, copy);
    must("cuMemsetD8Async", a, (unsigned char)0, (size_t)400, copy);
    must("cuEventRecord", later, copy);
    must("cuStreamWaitEvent", compute, copied, 0u);
    launch("add", AddArgs{a, a, c, 100}, 1, 128, 0, compute);
    float milliseconds = -1.0f;
    must("cuStreamSynchronize", compute);
    check(call("cuEventElapsedTime_v2", &milliseconds, copied, later) == 600, "the later event is not reached");
    must("cuEventSynchronize", later);
    must("cuEventElapsedTime_v2", &milliseconds, copied, later);
    check(milliseconds > 0.0f, "events have times");
    check(download<float>(c, 1)[0] == 14.0f, "with a wait, the other stream runs up to the event and no further");

    start_copy();
    must("cuEventRecord", copied, copy);
    fill(8.0f);
    must("cuEventSynchronize", copied);
    fill(9.0f);
    check(download<float>(a, 1)[0] == 8.0f, "waiting for an event runs the work before it");
    must("cuMemFreeHost", (void*)staging);
}

static void test_capture() {
    Handle main = make_stream(), side = make_stream(), fork = event(), join = event(), graph = nullptr, exec;
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
        must("cuMemsetD8Async", c, (unsigned char)0, (size_t)256, main);
        must("cuMemsetD8Async", d, (unsigned char)0, (size_t)256, main);
        must("cuGraphLaunch", exec, main);
        must("cuStreamSynchronize", main);
        return download<float>(c, 64)[63];
    };
    check(record(true, true) == 0, "a graph with fork and join");
    must("cuGraphInstantiateWithFlags", &exec, graph, 8ull);
    must("cuGraphDestroy", graph);
    check(replay() == 5.0f && replay() == 5.0f, "replays give the same result");
    must("cuGraphExecDestroy", exec);
    check(record(false, true) == 0, "a graph whose main stream waits too late");
    must("cuGraphInstantiateWithFlags", &exec, graph, 8ull);
    float first = replay(), second = replay();
    check(first != second, "gives a different result in every other replay");
    check(record(true, false) == 904, "an unjoined stream is refused");

    must("cuStreamBeginCapture_v2", main, 1);
    Pointer pointer;
    check(call("cuMemAlloc_v2", &pointer, (size_t)16) == 900, "an allocation in a capture is refused");
    check(call("cuStreamEndCapture", main, &graph) == 901, "which breaks the capture");
    must("cuStreamBeginCapture_v2", main, 1);
    check(call("cuStreamSynchronize", main) == 900, "waiting in a capture is refused");
    check(call("cuStreamEndCapture", main, &graph) == 901 && !graph, "which breaks the capture");
    must("cuStreamBeginCapture_v2", main, 1);
    must("cuEventRecord", fork, side);
    check(call("cuStreamWaitEvent", main, fork, 0u) == 905, "a wait for work outside the capture is refused");
    must("cuStreamEndCapture", main, &graph);
}

static void test_memory() {
    size_t free, total;
    must("cuMemGetInfo_v2", &free, &total);
    Pointer pointer;
    check(call("cuMemAlloc_v2", &pointer, free + 1) == 2, "more memory than the GPU has is refused");
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
    check(call("cuCtxSynchronize") == 3, "nothing works before cuInit");
    must("cuInit", 0u);
    check(call("cuCtxSynchronize") == 201, "nothing works without a context");
    stream = begin();

    std::string output;
    if (compile(kernels, {"--gpu-architecture=sm_90", "--std=c++17", "-default-device", "-DSPARE=1"}, output) != 0) {
        printf("FAILED  %s\n", output.c_str());
        return 1;
    }
    must("cuModuleLoadData", &module, (const void*)output.data());
    std::string log;
    check(compile("int f() { return x; }", {}, log) == 6 && log.find("error") != std::string::npos, "errors are logged");
    check(compile("", {"--no-such-option"}, log) == 5, "an unknown option is refused");
    check(compile("", {"--gpu-architecture=sm_70"}, log) == 5, "another architecture is refused");
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
