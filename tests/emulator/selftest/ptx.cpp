// Tests kernels run as PTX: instructions must give known results, and faults of kernels must be found.
#include "harness.h"
#include "ptx_kernels.h"

struct Args {
    Pointer in, out;
};

static Handle stream;

static void run(const char* name, Args args, unsigned grid, unsigned block, unsigned shared) {
    if (launch(name, args, grid, block, shared, stream) != 0) printf("        %s does not launch\n", name);
    call("cuCtxSynchronize");
}

// The results of the kernel `instructions`.
static const struct {
    const char* what;
    unsigned result;
} known[] = {
    {"shl by 40 is 0", 0},
    {"shr of a negative number by 40 is -1", ~0u},
    {"shr of an unsigned number by 32 is 0", 0},
    {"bfi inserts", 0x12345abfu},
    {"a sum of opposite infinities is the one NaN", 0x7fffffffu},
    {"setp: ordered and unordered with NaN", 0b0110},
    {"cvt.rn.bf16x2: the first is high, ties to even", 0x40004002u},
    {"cvt.rn.bf16x2 of NaN and of what rounds to infinity", 0x7fff7f80u},
    {"fma rounds once", 0x28800000u},
    {"mul and add round twice", 0},
    {"mov unpacks, low half first", 0x00021111u},
    {"mov packs", 0x00030002u},
    {"add.rm rounds 2^23 + 2.75 down", 0x4b000002u},
    {"add.rm rounds 2^23 - 0.25 down", 0x4affffffu},
    {"add.rm rounds 1 - 2^-100 down, which float64 cannot hold", 0x3f7fffffu},
    {"add.rm of opposite numbers is -0", 0x80000000u},
    {"add.rm does not round up to infinity", 0x7f7fffffu},
    {"max.NaN of NaN and a number is the one NaN", 0x7fffffffu},
    {"max.NaN of a number and NaN is the one NaN", 0x7fffffffu},
    {"max.NaN of numbers is the larger", 0},
    {"max of NaN and a number is the number", 0x3f800000u},
    {"min of a number and NaN in float64 is the number", 0x3ff00000u},
    {"rcp in float64", 0x3fd00000u},
    {"abs in float64", 0x40000000u},
    {"not of 64 bits", 0xffffffffu},
    {"setp.nan finds a NaN on one side only", 1},
};

static void test_instructions(Pointer out) {
    run("instructions", {upload<unsigned>({0x12345678u, 0x0000fffeu}), out}, 1, 1, 0);
    std::vector<unsigned> results = download<unsigned>(out, std::size(known));
    for (size_t i = 0; i < std::size(known); i++) {
        check(results[i] == known[i].result, known[i].what);
        if (results[i] != known[i].result) printf("        %08x, not %08x\n", results[i], known[i].result);
    }
}

static void test_warps(Pointer out) {
    run("shuffle", {0, out}, 1, 32, 0);
    std::vector<unsigned> expected;
    for (unsigned i = 0; i < 32; i++) expected.push_back(i ^ 9);
    check(download<unsigned>(out, 32) == expected, "a shuffle");

    // A product of small whole numbers, with the fragments that the PTX ISA gives.
    std::vector<unsigned short> a, b;
    auto bf16 = [](int n) {
        float value = float(n);
        unsigned bits;
        memcpy(&bits, &value, 4);
        return (unsigned short)(bits >> 16);
    };
    auto a_at = [](int row, int k) { return (row * 7 + k * 3) % 11 - 5; };
    auto b_at = [](int k, int column) { return (k * 5 + column * 2) % 13 - 6; };
    for (int row = 0; row < 16; row++)
        for (int k = 0; k < 16; k++) a.push_back(bf16(a_at(row, k)));
    for (int k = 0; k < 16; k++)
        for (int column = 0; column < 8; column++) b.push_back(bf16(b_at(k, column)));
    a.insert(a.end(), b.begin(), b.end());
    std::vector<float> product;
    for (int row = 0; row < 16; row++)
        for (int column = 0; column < 8; column++) {
            int sum = 0;
            for (int k = 0; k < 16; k++) sum += a_at(row, k) * b_at(k, column);
            product.push_back(float(sum));
        }
    Pointer matrices = upload(a);
    run("multiply", {matrices, out}, 1, 32, 768);
    check(download<float>(out, 128) == product, "ldmatrix and mma multiply matrices");
    run("multiply_wrong_fragments", {matrices, out}, 1, 32, 768);
    check(download<float>(out, 128) != product, "but not if two registers of a fragment are swapped");
}

// Kernels without faults must run to their end.
static void test_right(Pointer in, Pointer out) {
    for (const char* name : {"rotate", "rotate_in_warp", "rotate_in_global", "copy", "pipeline", "same", "halves"}) {
        run(name, {in, out}, 4, 64, 8192);
        check(true, name);
    }
    run("pipeline", {in, out}, 1, 64, 8192);
    check(download<unsigned>(out, 2)[1] == 4 + (256 + 4) + (512 + 4) + (768 + 4),
          "a pipeline of copies adds the right numbers");
}

static void test_wrong(Pointer in, Pointer out) {
    struct {
        const char *kernel, *words;
        unsigned block;
    } const wrong[] = {
        {"rotate_without_barrier", "race in shared memory, ", 64},
        {"rotate_by_shuffle", "race in shared memory, ", 32},
        {"rotate_in_warp_of_two", "race in shared memory, ", 64},
        {"overwrite", "race in shared memory, ", 64},
        {"across_blocks", "race in global memory, ", 64},
        {"in_global_without_barrier", "race in global memory, ", 64},
        {"differently", "race in global memory, written here and there, differently", 64},
        {"copy_without_wait", "an access to bytes that a cp.async may still write", 64},
        {"copy_without_commit", "an access to bytes that a cp.async may still write", 64},
        {"copy_with_wait_for_all_but_one", "an access to bytes that a cp.async may still write", 64},
        {"copy_without_barrier", "race in shared memory, ", 64},
        {"copy_onto_read", "race in shared memory, ", 64},
        {"copy_left_behind", "a thread ends without waiting for its copy", 64},
        {"copy_misaligned", "a misaligned address", 64},
        {"matrix_misaligned", "a misaligned address", 32},
        {"vector_misaligned", "a misaligned address", 64},
        {"beyond_shared", "an access at byte 8192 of 8192 of shared memory", 64},
        {"beyond_global", "an access outside of allocations", 64},
        {"unwritten", "a read of shared memory that was never written", 64},
        {"half_a_warp", "deadlock", 32},
        {"ended_lanes", "an aligned instruction without all lanes", 32},
        {"diverged", "lanes of a warp are at different aligned instructions", 32},
        {"ended_before_barrier", "threads ended before a barrier", 64},
        {"two_barriers", "lanes of a warp wait at different barriers", 64},
    };
    for (auto& [kernel, words, block] : wrong) {
        auto runs = [&, kernel = kernel, block = block] { run(kernel, {in, out}, 4, block, 8192); };
        check(dies(words, runs), kernel);
    }
}

int main(int argc, char** argv) {
    open_libraries(argc, argv);
    stream = begin();
    std::string output;
    std::vector<const char*> options = {"--gpu-architecture=sm_90", "--std=c++17", "-default-device", "--fmad=false"};
    if (compile(kernels, options, output) != 0) {
        printf("FAILED  %s\n", output.c_str());
        return 1;
    }
    must("cuModuleLoadData", &module, (const void*)output.data());
    std::string log;
    auto has = [&](const char* words) { return log.find(words) != std::string::npos; };
    const char* sleep = R"(
struct Args { int a; };
extern "C" __global__ void __launch_bounds__(32) f(const __grid_constant__ Args args) { asm volatile("nanosleep.u32 20;"); })";
    check(compile(sleep, options, log) == 11 && has("instruction nanosleep.u32 20"), "an unknown instruction is reported");
    check(compile("int f() { return x; }", options, log) == 6 && has("error"), "errors are logged");

    std::vector<unsigned> numbers(1024);
    for (unsigned i = 0; i < 1024; i++) numbers[i] = i;
    Pointer in = upload(numbers), out = device(4096);
    test_instructions(out);
    test_warps(out);
    test_right(in, out);
    test_wrong(in, out);
    printf(failures ? "%d FAILED\n" : "all passed\n", failures);
    return failures != 0;
}
