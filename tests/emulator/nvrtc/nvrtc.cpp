// An emulated NVRTC, libnvrtc.so.13, for the emulated driver: compiles kernels with the host's C++ compiler.
//
// With TONIC_EMULATED_PTX, the path of a real libnvrtc.so.13, that library compiles them to PTX, and ptx.py translates
// the PTX to C++. TONIC_EMULATOR is defined as the folder of this file.
#include <sys/wait.h>
#include <unistd.h>

#include <cstdlib>
#include <cstring>
#include <fstream>
#include <sstream>
#include <string>
#include <vector>

#include "../kernel_abi.h"

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

// The only GPU that there is, of compute capability 9.0.
constexpr int architecture = 90;

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

typedef std::vector<std::string> Options;

// Adds to `command` what the C++ compiler needs of the options. False if one is not known.
static bool translate(const Options& options, std::string& command, std::string& log) {
    for (const std::string& option : options) {
        if (starts_with(option, "-D")) {
            command += " " + quoted(option);
        } else if (option != "--std=c++17" && option != "-default-device" && option != "--fmad=false" &&
                   option != "--gpu-architecture=sm_" + std::to_string(architecture)) {
            log = "nvrtc: error: unrecognized option " + option + " found\n";
            return false;
        }
    }
    return true;
}

// Compiles kernels.cpp in `folder`, after `header`. The image is the shared object after an ImageHeader.
static nvrtcResult compile(Program& program, const std::string& folder, const char* header,
                           const std::string& options) {
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

static nvrtcResult compile_source(Program& program, const std::string& folder, const Options& options) {
    std::string translated;
    if (!translate(options, translated, program.log)) return NVRTC_ERROR_INVALID_OPTION;
    write(folder + "/kernels.cpp", program.source);
    return compile(program, folder, "/cuda_on_host.h", translated);
}

static nvrtcResult compile_ptx(Program& program, const std::string& folder, const Options& options) {
    std::string source = folder + "/kernels.cu", log = folder + "/log";
    write(source, program.source);
    // The real NVRTC loads other libraries by name and must not find this one.
    std::string command = "env -u LD_LIBRARY_PATH python3 " + quoted(TONIC_EMULATOR "/ptx.py") + " " +
                          quoted(getenv("TONIC_EMULATED_PTX")) + " " + quoted(source);
    for (const std::string& option : options) command += " " + quoted(option);
    int status = system((command + " >" + quoted(folder + "/kernels.cpp") + " 2>" + quoted(log)).c_str());
    if (status == 0) return compile(program, folder, "/ptx_on_host.h", " -O0 -g0");
    program.log = read(log);
    return static_cast<nvrtcResult>(WEXITSTATUS(status));
}

extern "C" {

nvrtcResult nvrtcVersion(int* major, int* minor) {
    *major = 13;
    *minor = 0;
    return NVRTC_SUCCESS;
}

nvrtcResult nvrtcGetNumSupportedArchs(int* count) {
    *count = 1;
    return NVRTC_SUCCESS;
}

nvrtcResult nvrtcGetSupportedArchs(int* to) {
    *to = architecture;
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

nvrtcResult nvrtcGetCUBINSize(const Program* program, size_t* size) {
    if (!program) return NVRTC_ERROR_INVALID_PROGRAM;
    *size = program->image.size();
    return NVRTC_SUCCESS;
}

nvrtcResult nvrtcGetCUBIN(const Program* program, char* to) {
    if (!program) return NVRTC_ERROR_INVALID_PROGRAM;
    if (!to || program->image.empty()) return NVRTC_ERROR_INVALID_INPUT;
    program->image.copy(to, program->image.size());
    return NVRTC_SUCCESS;
}

// The host needs these to exist, but asks for PTX only for GPUs that NVRTC does not know.
nvrtcResult nvrtcGetPTXSize(const Program*, size_t*) { return NVRTC_ERROR_INVALID_PROGRAM; }
nvrtcResult nvrtcGetPTX(const Program*, char*) { return NVRTC_ERROR_INVALID_PROGRAM; }

}  // extern "C"
