// Device and pinned memory. A guard page before and after each allocation makes accesses outside of it fault, and new
// memory is filled with NaN, so that a result computed from memory that was never written is wrong.
#pragma once

#include <sys/mman.h>

#include <algorithm>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <map>

namespace emulator {

constexpr size_t page = 4096;
constexpr int poison = 0xff;

inline size_t round_up(size_t n, size_t to) { return (n + to - 1) / to * to; }

[[noreturn]] inline void fail(const char* message) {
    fprintf(stderr, "emulated CUDA: %s\n", message);
    abort();
}

// Whole pages of memory between two guard pages. Null if there is no memory.
inline unsigned char* map_guarded(size_t length) {
    void* mapping = mmap(nullptr, length + 2 * page, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (mapping == MAP_FAILED) return nullptr;
    auto* inside = static_cast<unsigned char*>(mapping) + page;
    if (mprotect(inside, length, PROT_READ | PROT_WRITE) != 0) return nullptr;
    return inside;
}

enum class Space { device, pinned };

struct Allocation {
    size_t size;
    Space space;
    bool freed;
};

// Counts allocations and graphs. At the end of the process they are written to the file TONIC_EMULATED_REPORT.
struct Report {
    size_t device, pinned, graphs;

    ~Report() {
        const char* path = getenv("TONIC_EMULATED_REPORT");
        FILE* file = path ? fopen(path, "w") : nullptr;
        if (!file) return;
        fprintf(file, "{\"device\": %zu, \"pinned\": %zu, \"graphs\": %zu}\n", device, pinned, graphs);
        fclose(file);
    }
};

inline Report report;
inline std::map<uintptr_t, Allocation> allocations;
inline size_t device_bytes_used;

inline size_t device_bytes() {
    const char* limit = getenv("TONIC_EMULATED_MEMORY");
    return limit ? strtoull(limit, nullptr, 10) : size_t{2} << 30;
}

// Null if the memory is used up.
inline void* allocate(size_t size, Space space) {
    if (space == Space::device && (size > device_bytes() || device_bytes_used > device_bytes() - size)) return nullptr;
    size_t length = round_up(size, page);
    unsigned char* inside = map_guarded(length);
    if (!inside) return nullptr;
    memset(inside, poison, length);
    unsigned char* begin = inside + length - round_up(size, 16);
    allocations[reinterpret_cast<uintptr_t>(begin)] = {size, space, false};
    if (space == Space::device) device_bytes_used += size;
    (space == Space::device ? report.device : report.pinned)++;
    return begin;
}

// The last allocation that begins at or below `address`, or end().
inline auto allocation_below(uintptr_t address) {
    auto it = allocations.upper_bound(address);
    return it == allocations.begin() ? allocations.end() : std::prev(it);
}

inline bool is_allocated(uintptr_t begin, size_t size) {
    if (size == 0) return true;
    auto it = allocation_below(begin);
    return it != allocations.end() && !it->second.freed && begin - it->first <= it->second.size &&
           size <= it->second.size - (begin - it->first);
}

// False if no allocation of this space begins there. The addresses are never used again, so that a use after free
// faults.
inline bool release(uintptr_t begin, Space space) {
    auto it = allocations.find(begin);
    if (it == allocations.end() || it->second.freed || it->second.space != space) return false;
    Allocation& allocation = it->second;
    size_t length = round_up(allocation.size, page);
    auto* end = reinterpret_cast<unsigned char*>(begin + round_up(allocation.size, 16));
    auto clean = [](const unsigned char* from, const unsigned char* to) {
        return std::all_of(from, to, [](unsigned char byte) { return byte == poison; });
    };
    auto* data = reinterpret_cast<unsigned char*>(begin);
    if (!clean(end - length, data) || !clean(data + allocation.size, end))
        fail("bytes next to an allocation were overwritten, found when it was freed");
    mmap(end - length, length, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED, -1, 0);
    allocation.freed = true;
    if (space == Space::device) device_bytes_used -= allocation.size;
    return true;
}

// Describes where an address lies, for messages.
inline void describe(uintptr_t address, char* text, size_t length) {
    auto below = allocation_below(address);
    auto above = allocations.upper_bound(address);
    if (below != allocations.end() && address - below->first < round_up(below->second.size, page) + page) {
        const Allocation& allocation = below->second;
        size_t offset = address - below->first;
        snprintf(text, length, "byte %zu of %s allocation of %zu bytes", offset, allocation.freed ? "a freed" : "an",
                 allocation.size);
    } else if (above != allocations.end() && above->first - address < 2 * page) {
        snprintf(text, length, "%zu bytes before an allocation of %zu bytes", above->first - address,
                 above->second.size);
    } else {
        snprintf(text, length, "not near any allocation");
    }
}

}  // namespace emulator
