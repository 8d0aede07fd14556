// NVRTC for the emulated driver: compiles kernel sources with the host's C++ compiler.
//
//     c++ -std=c++17 -O1 -g -shared -fPIC -Wl,-soname,libnvrtc.so.13 -DTONIC_EMULATOR='"/path/emulator"'
//         nvrtc.cpp -o libnvrtc.so.13
//
// With TONIC_EMULATED_PTX, the path of a real libnvrtc.so.13, that compiles them to PTX, and ptx.py makes C++ of it.
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <sstream>
#include <string>
#include <vector>

#include "kernel_abi.h"

enum nvrtcResult {
    NVRTC_SUCCESS = 0,
    NVRTC_ERROR_INVALID_INPUT = 3,
    NVRTC_ERROR_INVALID_PROGRAM = 4,
    NVRTC_ERROR_INVALID_OPTION = 5,
    NVRTC_ERROR_COMPILATION = 6,
    NVRTC_ERROR_INTERNAL_ERROR = 11,
};

struct Program {
    std::string source, log, image;
};

static const int architectures[] = {80, 86, 89, 90, 100, 120};

static std::string read(const std::string& path) {
    std::ifstream file(path, std::ios::binary);
    std::stringstream text;
    text << file.rdbuf();
    return text.str();
}

static std::string quoted(const std::string& text) {
    std::string result = "'";
    for (char c : text) result += c == '\'' ? std::string("'\\''") : std::string(1, c);
    return result + "'";
}

static bool starts_with(const std::string& text, const char* start) { return text.rfind(start, 0) == 0; }

// sm_90, compute_90, sm_90a
static bool is_architecture(const std::string& name) {
    size_t digits = name.find('_') + 1;
    int number = atoi(name.c_str() + digits);
    return (starts_with(name, "sm_") || starts_with(name, "compute_")) &&
           std::find(std::begin(architectures), std::end(architectures), number) != std::end(architectures);
}

// Adds to `command` what the host's compiler needs to know. False where NVRTC has no such option.
static bool translate(const std::vector<std::string>& options, std::string& command, std::string& log) {
    static const char* const ignored[] = {
        "--std=", "-std=", "-default-device", "--device-as-default-execution-space", "--use_fast_math",
        "-use_fast_math", "-lineinfo", "--generate-line-info", "-G", "--device-debug", "--ftz=", "-ftz=",
        "--prec-sqrt=", "-prec-sqrt=", "--prec-div=", "-prec-div=", "--fmad=", "-fmad=", "--maxrregcount=",
        "-maxrregcount=", "--extra-device-vectorization", "-restrict", "--restrict", "-w", "--disable-warnings"};
    for (size_t i = 0; i < options.size(); i++) {
        const std::string& option = options[i];
        std::string value = option.substr(option.find('=') + 1);
        if (option == "-D" || option == "-I") {
            if (++i == options.size()) return log = "nvrtc: error: no value for " + option + "\n", false;
            command += " " + quoted(option + options[i]);
        } else if (starts_with(option, "-D") || starts_with(option, "-I")) {
            command += " " + quoted(option);
        } else if (starts_with(option, "--define-macro=")) {
            command += " " + quoted("-D" + value);
        } else if (starts_with(option, "--include-path=")) {
            command += " " + quoted("-I" + value);
        } else if (starts_with(option, "--gpu-architecture=") || starts_with(option, "-arch=")) {
            if (!is_architecture(value)) {
                log = "nvrtc: error: invalid value for --gpu-architecture (-arch)\n";
                return false;
            }
        } else if (std::none_of(std::begin(ignored), std::end(ignored), [&](const char* known) {
                       return option == known || (known[strlen(known) - 1] == '=' && starts_with(option, known));
                   })) {
            log = "nvrtc: error: unrecognized option " + option + " found\n";
            return false;
        }
    }
    return true;
}

// Runs the compiler in `folder`. The object follows a header with its length.
static nvrtcResult compile(Program& program, const std::string& folder, const char* header, const std::string& options) {
    std::string source = folder + "/kernels.cpp", object = folder + "/kernels.so", log = folder + "/log";
    const char* compiler = getenv("CXX");
    std::string command = std::string(compiler && *compiler ? compiler : "c++") +
                          " -std=c++17 -O1 -g -shared -fPIC -ffp-contract=off -include " +
                          quoted(TONIC_EMULATOR + std::string(header)) + options + " " + quoted(source) + " -o " +
                          quoted(object) + " 2>" + quoted(log);
    int status = system(command.c_str());
    program.log = read(log);
    if (status != 0) return NVRTC_ERROR_COMPILATION;
    std::string bytes = read(object);
    emulator::ImageHeader image;
    memcpy(image.magic, emulator::image_magic, sizeof image.magic);
    image.length = bytes.size();
    program.image.assign(reinterpret_cast<const char*>(&image), sizeof image);
    program.image += bytes;
    return NVRTC_SUCCESS;
}

static void write(const std::string& path, const std::string& text) { std::ofstream(path, std::ios::binary) << text; }

typedef std::vector<std::string> Options;

static nvrtcResult compile_source(Program& program, const std::string& folder, const Options& options) {
    std::string translated;
    if (!translate(options, translated, program.log)) return NVRTC_ERROR_INVALID_OPTION;
    write(folder + "/kernels.cpp", program.source);
    return compile(program, folder, "/cuda_on_host.h", translated);
}

static nvrtcResult compile_ptx(Program& program, const std::string& folder, const Options& options) {
    std::string source = folder + "/kernels.cu", log = folder + "/log";
    write(source, program.source);
    // NVRTC looks for parts of itself, and must not find this library.
    std::string command = "env -u LD_LIBRARY_PATH python3 " + quoted(TONIC_EMULATOR "/ptx.py") + " " +
                          quoted(getenv("TONIC_EMULATED_PTX")) + " " + quoted(source);
    for (const std::string& option : options) command += " " + quoted(option);
    int status = system((command + " >" + quoted(folder + "/kernels.cpp") + " 2>" + quoted(log)).c_str());
    if (status == 0) return compile(program, folder, "/ptx_on_host.h", " -O0 -g0");
    program.log = read(log);
    return static_cast<nvrtcResult>(WEXITSTATUS(status));
}

static nvrtcResult get_image(const Program* program, char* to) {
    if (!program) return NVRTC_ERROR_INVALID_PROGRAM;
    if (!to || program->image.empty()) return NVRTC_ERROR_INVALID_INPUT;
    program->image.copy(to, program->image.size());
    return NVRTC_SUCCESS;
}

static nvrtcResult get_image_size(const Program* program, size_t* size) {
    if (!program) return NVRTC_ERROR_INVALID_PROGRAM;
    *size = program->image.size();
    return NVRTC_SUCCESS;
}

extern "C" {

nvrtcResult nvrtcVersion(int* major, int* minor) {
    *major = 13;
    *minor = 0;
    return NVRTC_SUCCESS;
}

const char* nvrtcGetErrorString(nvrtcResult result) {
    switch (result) {
        case NVRTC_SUCCESS: return "NVRTC_SUCCESS";
        case NVRTC_ERROR_INVALID_INPUT: return "NVRTC_ERROR_INVALID_INPUT";
        case NVRTC_ERROR_INVALID_PROGRAM: return "NVRTC_ERROR_INVALID_PROGRAM";
        case NVRTC_ERROR_INVALID_OPTION: return "NVRTC_ERROR_INVALID_OPTION";
        case NVRTC_ERROR_COMPILATION: return "NVRTC_ERROR_COMPILATION";
        case NVRTC_ERROR_INTERNAL_ERROR: return "NVRTC_ERROR_INTERNAL_ERROR";
    }
    return "NVRTC_ERROR unknown";
}

nvrtcResult nvrtcGetNumSupportedArchs(int* count) {
    *count = std::size(architectures);
    return NVRTC_SUCCESS;
}

nvrtcResult nvrtcGetSupportedArchs(int* to) {
    std::copy(std::begin(architectures), std::end(architectures), to);
    return NVRTC_SUCCESS;
}

nvrtcResult nvrtcCreateProgram(Program** program, const char* source, const char*, int headers, const char* const*,
                               const char* const*) {
    if (!program || !source || headers != 0) return NVRTC_ERROR_INVALID_INPUT;
    *program = new Program{source, "", ""};
    return NVRTC_SUCCESS;
}

nvrtcResult nvrtcDestroyProgram(Program** program) {
    if (!program || !*program) return NVRTC_ERROR_INVALID_PROGRAM;
    delete *program;
    return NVRTC_SUCCESS;
}

nvrtcResult nvrtcCompileProgram(Program* program, int count, const char* const* options) {
    if (!program) return NVRTC_ERROR_INVALID_PROGRAM;
    const char* parent = getenv("TMPDIR");
    std::string folder = std::string(parent ? parent : "/tmp") + "/emulated-nvrtc-XXXXXX";
    if (!mkdtemp(folder.data())) return NVRTC_ERROR_INTERNAL_ERROR;
    auto compiles = getenv("TONIC_EMULATED_PTX") ? compile_ptx : compile_source;
    nvrtcResult result = compiles(*program, folder, {options, options + count});
    for (const char* name : {"/kernels.cpp", "/kernels.so", "/log", "/kernels.cu"}) unlink((folder + name).c_str());
    rmdir(folder.c_str());
    return result;
}

nvrtcResult nvrtcGetProgramLogSize(const Program* program, size_t* size) {
    if (!program) return NVRTC_ERROR_INVALID_PROGRAM;
    *size = program->log.size() + 1;
    return NVRTC_SUCCESS;
}

nvrtcResult nvrtcGetProgramLog(const Program* program, char* log) {
    if (!program) return NVRTC_ERROR_INVALID_PROGRAM;
    memcpy(log, program->log.c_str(), program->log.size() + 1);
    return NVRTC_SUCCESS;
}

nvrtcResult nvrtcGetPTXSize(const Program* program, size_t* size) { return get_image_size(program, size); }
nvrtcResult nvrtcGetPTX(const Program* program, char* ptx) { return get_image(program, ptx); }
nvrtcResult nvrtcGetCUBINSize(const Program* program, size_t* size) { return get_image_size(program, size); }
nvrtcResult nvrtcGetCUBIN(const Program* program, char* cubin) { return get_image(program, cubin); }

}  // extern "C"
