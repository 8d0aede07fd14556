// Executes loads, stores, cp.async and barriers for kernels that nvrtc/ptx.py has translated, and checks every access:
// its bounds and alignment, races with other accesses, and reads of shared memory that was never written.
//
// A cp.async copies as late as it may, when its thread waits for it, or as early as it may, when it is issued, with
// TONIC_EMULATED_COPIES=early. In between, an access to the bytes that it writes is an error.
#pragma once

#include "shadow.h"

namespace emulator {

struct Copy {
    unsigned to, site, group;
    uintptr_t from;
};
constexpr unsigned copied_bytes = 16;

// The state of each thread. Never destroyed, like the records of shadow.h.
struct ThreadOfBlock {
    std::vector<Copy> copies;  // not finished yet
    unsigned groups;           // committed so far
    unsigned barrier_site;
};
inline auto* const threads_of_block = new ThreadOfBlock[max_threads]();
inline size_t shared_size;

inline bool copies_early() {
    static bool early = getenv("TONIC_EMULATED_COPIES") && !strcmp(getenv("TONIC_EMULATED_COPIES"), "early");
    return early;
}

// The host's address and the records of an access whose bounds and alignment are right.
struct Place {
    unsigned char* bytes;
    Shadow* shadows;  // null for parameters
    bool shared;
};

inline Place place(StateSpace space, uint64_t address, unsigned bytes, unsigned thread, unsigned site) {
    if (address % bytes) found("a misaligned address", thread, site);
    if (space == StateSpace::param) {
        if (address - reinterpret_cast<uintptr_t>(block.args) > block.kernel->args_size - bytes)
            found("an access outside of the parameters", thread, site);
        return {(unsigned char*)address, nullptr, false};
    }
    if (space == StateSpace::shared) {
        uint64_t offset = address - shared_begin;
        if (offset + bytes > shared_size || offset > shared_size)
            found("an access at byte " + std::to_string((long long)offset) + " of " + std::to_string(shared_size) +
                      " of shared memory", thread, site);
        return {runtime.shared_memory + offset, shared_shadows + offset / granule, true};
    }
    ShadowPage* there = page_at(address);
    if (!there || address + bytes > there->end) {
        char text[200];
        describe(address, text, sizeof text);
        found("an access outside of allocations, at " + std::string(text), thread, site);
    }
    return {(unsigned char*)address, there->shadows + address % page / granule, false};
}

inline unsigned granules(unsigned bytes) { return (bytes + granule - 1) / granule; }

inline void check_in_flight(const Place& at, unsigned bytes, unsigned thread, unsigned site) {
    for (unsigned i = 0; i < granules(bytes) && at.shared; i++)
        if (at.shadows[i].in_flight)
            found("an access to bytes that a cp.async may still write", thread, site, at.shadows[i].in_flight - 1);
}

inline void read_by(unsigned thread, const Place& at, unsigned bytes, unsigned site) {
    if (!at.shadows) return;
    check_in_flight(at, bytes, thread, site);
    for (unsigned i = 0; i < granules(bytes); i++) {
        note_read(at.shadows[i], thread, site, at.shared);
        if (at.shared && at.shadows[i].write >> 32 < now.of_block && !at.shadows[i].in_flight)
            found("a read of shared memory that was never written", thread, site);
    }
}

inline void written_by(unsigned thread, const Place& at, unsigned bytes, const void* from, unsigned site) {
    if (!at.shadows) found("a write into the parameters", thread, site);
    if (bytes < granule) found("a write of one byte, which the race detector does not support", thread, site);
    check_in_flight(at, bytes, thread, site);
    bool same = memcmp(at.bytes, from, bytes) == 0;
    for (unsigned i = 0; i < granules(bytes); i++) note_write(at.shadows[i], thread, site, at.shared, same);
}

inline void ptx_load(StateSpace space, unsigned long long from, unsigned bytes, void* to, unsigned site) {
    Place at = place(space, from, bytes, block.current, site);
    read_by(block.current, at, bytes, site);
    memcpy(to, at.bytes, bytes);
}

inline void ptx_store(StateSpace space, unsigned long long to, unsigned bytes, const void* from, unsigned site) {
    Place at = place(space, to, bytes, block.current, site);
    written_by(block.current, at, bytes, from, site);
    memcpy(at.bytes, from, bytes);
}

// ---- cp.async ------------------------------------------------------------------------------------------------------

inline void ptx_copy(unsigned to, unsigned long long from, unsigned site) {
    unsigned thread = block.current;
    Place target = place(StateSpace::shared, to, copied_bytes, thread, site);
    Place source = place(StateSpace::global, from, copied_bytes, thread, site);
    read_by(thread, source, copied_bytes, site);
    check_in_flight(target, copied_bytes, thread, site);
    for (unsigned i = 0; i < granules(copied_bytes); i++) {
        note_write(target.shadows[i], thread, site, true, false);
        target.shadows[i].in_flight = site + 1;
    }
    if (copies_early()) memcpy(target.bytes, source.bytes, copied_bytes);
    threads_of_block[thread].copies.push_back({to, site, threads_of_block[thread].groups, from});
}

inline void ptx_commit() { threads_of_block[block.current].groups++; }

// The copy's thread may read the bytes from now on, and other threads after a barrier.
inline void finish(const Copy& copy, unsigned thread) {
    Place target = place(StateSpace::shared, copy.to, copied_bytes, thread, copy.site);
    Place source = place(StateSpace::global, copy.from, copied_bytes, thread, copy.site);
    read_by(thread, source, copied_bytes, copy.site);
    for (unsigned i = 0; i < granules(copied_bytes); i++) {
        target.shadows[i].in_flight = 0;
        note_write(target.shadows[i], thread, copy.site, true, true);
    }
    if (!copies_early()) memcpy(target.bytes, source.bytes, copied_bytes);
}

inline void ptx_wait(unsigned groups) {
    auto& own = threads_of_block[block.current];
    size_t left = 0;
    for (const Copy& copy : own.copies)
        if (copy.group + groups < own.groups) finish(copy, block.current);
        else own.copies[left++] = copy;
    own.copies.resize(left);
}

// ---- Barriers and blocks -------------------------------------------------------------------------------------------

inline void ptx_barrier(unsigned site) {
    threads_of_block[block.current].barrier_site = site;
    sync_threads();
}

inline void watch_launch(size_t shared) {
    shared_size = shared;
    begin_intervals_of_launch();
}

inline void watch_block() { begin_intervals_of_block(); }

// Called when all threads of the block have arrived at a barrier or ended. Warps may wait at different barriers, but
// the lanes of a warp may not.
inline void watch_barrier() {
    const unsigned none = ~0u;
    unsigned sites[max_threads / 32];
    std::fill_n(sites, max_threads / 32, none);
    for (unsigned i = 0; i < block.waiting_count; i++) {
        unsigned thread = block.waiting[i], site = threads_of_block[thread].barrier_site, &first = sites[thread / 32];
        if (block.live < block.threads) found("threads ended before a barrier that others wait at", thread, site);
        if (first != none && first != site) found("lanes of a warp wait at different barriers", thread, site, first);
        first = site;
    }
    now.interval++;
}

inline void watch_end_of_thread() {
    auto& own = threads_of_block[block.current];
    if (!own.copies.empty()) found("a thread ends without waiting for its copy", block.current, own.copies[0].site);
    own.groups = 0;
}

}  // namespace emulator
