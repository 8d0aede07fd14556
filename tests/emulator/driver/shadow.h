// The race detector: records the last accesses of each pair of bytes and reports an access that is not ordered with
// them. Threads run one after another here, so that a race on a GPU may still give the right result on the host.
//
// Two accesses of one launch are ordered if the same thread makes both, if a barrier of their block lies between them,
// or, within a warp, a bar.warp.sync. Shuffles and matrix products order nothing.
#pragma once

#include <string>
#include <unordered_map>

#include "fibers.h"

namespace emulator {

// Bytes per record. No kernel writes fewer at a time.
constexpr unsigned granule = 2;

// An access: the interval between two barriers (32 bits), the thread (10), and its clock in its warp (22).
typedef uint64_t Stamp;

struct Shadow {
    Stamp write, read[2];
    unsigned write_site, read_site[2];
    unsigned in_flight;  // 1 + the site of a cp.async that may still write here, or 0
};

// The present. Intervals are numbered across all blocks and launches. Accesses before a launch are ordered with all in
// it.
inline struct {
    unsigned interval = 1, of_block, of_launch;  // the present one, and the first of this block and of this launch
    unsigned clocks[max_threads][32];            // vector clocks: of each thread, one entry per lane of its warp
    bool clocks_moved = true;
} now;

inline Stamp stamp_of(unsigned thread) {
    return Stamp{now.interval} << 32 | thread << 22 | (now.clocks[thread][thread % 32] & 0x3fffff);
}
inline unsigned thread_of(Stamp stamp) { return stamp >> 22 & 1023; }

inline bool ordered(Stamp before, unsigned thread, bool shared) {
    unsigned interval = before >> 32, other = thread_of(before);
    if (interval == now.interval)
        return other == thread ||
               (other / 32 == thread / 32 && now.clocks[thread][other % 32] >= (before & 0x3fffff));
    return interval >= now.of_block || interval < now.of_launch || shared;
}

inline std::string site_text(unsigned site) {
    const Site& s = block.kernel->sites[site];
    return std::string(s.ptx) + "   PTX line " + std::to_string(s.line) + ", source line " +
           std::to_string(s.source_line) + ": " + s.source;
}

// Ends the process and reports a fault of the kernel, the instruction, and the other instruction involved.
[[noreturn]] inline void found(const std::string& what, unsigned thread, unsigned site, int other_site = -1) {
    std::string text = what + "\n    here:  " + site_text(site);
    if (other_site >= 0) text += "\n    there: " + site_text(other_site);
    runtime.thread_index.x = thread;
    fail_in_kernel(text.c_str());
}

[[noreturn]] inline void found_race(const char* what, bool shared, Stamp other, unsigned other_site, unsigned thread,
                                    unsigned site) {
    std::string text = shared ? "a race in shared memory, " : "a race in global memory, ";
    text += what + std::to_string(thread_of(other));
    if (other >> 32 < now.of_block) text += " of another block";
    found(text, thread, site, other_site);
}

inline void note_read(Shadow& s, unsigned thread, unsigned site, bool shared) {
    Stamp stamp = stamp_of(thread);
    if (!ordered(s.write, thread, shared))
        found_race("read here and written there by thread ", shared, s.write, s.write_site, thread, site);
    // Keeps up to two readers that this one is not ordered after, of different warps if possible.
    for (unsigned i = 0; i < 2; i++)
        if (ordered(s.read[i], thread, shared)) {
            s.read[i] = stamp, s.read_site[i] = site;
            return;
        }
    if (thread_of(s.read[0]) / 32 == thread_of(s.read[1]) / 32 && thread / 32 != thread_of(s.read[0]) / 32)
        s.read[1] = stamp, s.read_site[1] = site;
}

// `same`: the bytes already have this value. Threads that write the same value do not race.
inline void note_write(Shadow& s, unsigned thread, unsigned site, bool shared, bool same) {
    if (!same && !ordered(s.write, thread, shared))
        found_race("written here and there, differently, by thread ", shared, s.write, s.write_site, thread, site);
    for (unsigned i = 0; i < 2; i++)
        if (!ordered(s.read[i], thread, shared))
            found_race("written here and read there by thread ", shared, s.read[i], s.read_site[i], thread, site);
    s.write = stamp_of(thread), s.write_site = site;
    s.read[0] = s.read[1] = 0;
}

// ---- Where records are stored --------------------------------------------------------------------------------------

inline Shadow shared_shadows[max_shared / granule];

// The records of a page of global memory, and the bounds of the allocation that it belongs to.
struct ShadowPage {
    uintptr_t number = 0, begin = 0, end = 0;
    Shadow shadows[page / granule] = {};
};
// Never destroyed: the process may exit while another thread runs a kernel.
inline auto& shadow_pages = *new std::unordered_map<uintptr_t, ShadowPage>;
inline ShadowPage* recent_pages[256];

// Null if nothing is allocated there.
inline ShadowPage* page_at(uintptr_t address) {
    uintptr_t number = address / page;
    ShadowPage*& recent = recent_pages[number % 256];
    if (recent && recent->number == number) return recent;
    auto allocation = allocation_below(address);
    if (allocation == allocations.end() || allocation->second.freed) return nullptr;
    ShadowPage& there = shadow_pages[number];
    there.number = number, there.begin = allocation->first, there.end = there.begin + allocation->second.size;
    return recent = &there;
}

// A launch does not need earlier records: they are dropped when there are many.
inline void begin_intervals_of_launch() {
    memset(recent_pages, 0, sizeof recent_pages);
    if (shadow_pages.size() > 20000) shadow_pages.clear();
    now.of_launch = ++now.interval;
}

inline void begin_intervals_of_block() {
    now.of_block = ++now.interval;
    if (!now.clocks_moved) return;
    memset(now.clocks, 0, sizeof now.clocks);
    for (unsigned t = 0; t < max_threads; t++) now.clocks[t][t % 32] = 1;
    now.clocks_moved = false;
}

// A bar.warp.sync: each lane joins the clocks of all lanes.
inline void order_warp(unsigned warp, unsigned mask) {
    unsigned joined[32] = {};
    for (unsigned lane = 0; lane < 32; lane++)
        for (unsigned i = 0; i < 32; i++)
            if (mask >> lane & 1) joined[i] = std::max(joined[i], now.clocks[warp * 32 + lane][i]);
    for (unsigned rest = mask; rest; rest &= rest - 1) {
        unsigned lane = __builtin_ctz(rest), thread = warp * 32 + lane;
        memcpy(now.clocks[thread], joined, sizeof joined);
        now.clocks[thread][lane]++;
    }
    now.clocks_moved = true;
}

}  // namespace emulator
