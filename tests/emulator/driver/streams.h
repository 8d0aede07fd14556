// Streams, events and graphs that run work as late as CUDA allows: only when something waits for it. A missing wait, or
// a staging buffer that is overwritten too early, then gives wrong results every time.
#pragma once

#include <chrono>
#include <deque>
#include <functional>
#include <memory>
#include <set>
#include <thread>

#include "errors.h"
#include "faults.h"

namespace emulator {

using Work = std::function<void()>;

struct Stream;

// A piece of work in a graph, and the nodes that it depends on.
struct Node {
    Work work;
    std::vector<size_t> after;
};

// A graph that is being recorded, from one thread. `tails`: the last nodes of each stream that takes part.
struct Capture {
    Stream* origin;
    std::thread::id thread;
    bool invalid;
    std::vector<Node> nodes;
    std::map<Stream*, std::vector<size_t>> tails;
};

struct Operation {
    uint64_t number;
    Work work;
};

struct Stream {
    std::deque<Operation> queue;
    std::shared_ptr<Capture> capture;
};

// What an event stands for: the work in the stream up to `number`, or the last nodes of a capture.
struct Record {
    Stream* stream;
    uint64_t number;
    bool done;
    std::chrono::steady_clock::time_point time;
    std::shared_ptr<Capture> capture;
    std::vector<size_t> nodes;
};

struct Event {
    bool timed;
    std::shared_ptr<Record> record;
};

// Work in the order of the host's calls, and the latest order that its dependencies allow.
struct Graph {
    std::vector<Work> works;
    std::vector<size_t> lazy_order;
};

inline std::set<Stream*> streams;
inline std::set<Event*> events;
inline std::set<std::shared_ptr<Capture>> captures;
inline uint64_t last_number;

inline void run(const Work& work) {
    catch_faults();
    const char* outer = std::exchange(running, "a copy or memset");
    work();
    running = outer;
}

inline void run_until(Stream& stream, uint64_t number) {
    while (!stream.queue.empty() && stream.queue.front().number <= number) {
        Operation operation = std::move(stream.queue.front());
        stream.queue.pop_front();
        run(operation.work);
    }
}

inline void run_all(Stream& stream) { run_until(stream, ~0ull); }

inline void run_everything() {
    for (Stream* stream : streams) run_all(*stream);
}

// Whether a call that may not happen in a capture happens in one; the capture is invalid then. CUDA documents that a
// call breaks only the captures of its own thread, but drivers were seen to break those of others where a call waits
// for the whole device.
inline bool breaks_capture(bool of_any_thread = false) {
    bool breaks = false;
    for (auto& capture : captures)
        if (of_any_thread || capture->thread == std::this_thread::get_id()) breaks = capture->invalid = true;
    return breaks;
}

inline CUresult submit(Stream& stream, Work work) {
    if (stream.capture) {
        Capture& capture = *stream.capture;
        if (capture.invalid) return CUDA_ERROR_STREAM_CAPTURE_INVALIDATED;
        std::vector<size_t>& tail = capture.tails[&stream];
        capture.nodes.push_back({std::move(work), tail});
        tail = {capture.nodes.size() - 1};
        return CUDA_SUCCESS;
    }
    stream.queue.push_back({++last_number, std::move(work)});
    return CUDA_SUCCESS;
}

inline CUresult record_event(Event& event, Stream& stream) {
    auto record = std::make_shared<Record>();
    record->stream = &stream;
    if (stream.capture) {
        record->capture = stream.capture;
        record->nodes = stream.capture->tails[&stream];
    } else {
        CUresult result = submit(stream, [record] {
            record->done = true;
            record->time = std::chrono::steady_clock::now();
        });
        if (result != CUDA_SUCCESS) return result;
        record->number = last_number;
    }
    event.record = std::move(record);
    return CUDA_SUCCESS;
}

inline CUresult wait_event(Stream& stream, const Event& event) {
    std::shared_ptr<Record> record = event.record;
    if (record && record->capture) {
        if (!captures.count(record->capture)) return CUDA_ERROR_INVALID_VALUE;
        if (stream.capture && stream.capture != record->capture) return CUDA_ERROR_STREAM_CAPTURE_MERGE;
        stream.capture = record->capture;
        std::vector<size_t>& tail = stream.capture->tails[&stream];
        tail.insert(tail.end(), record->nodes.begin(), record->nodes.end());
        return CUDA_SUCCESS;
    }
    if (stream.capture) return record ? CUDA_ERROR_STREAM_CAPTURE_ISOLATION : CUDA_SUCCESS;
    if (!record) return CUDA_SUCCESS;
    return submit(stream, [record] {
        if (!record->done) run_until(*record->stream, record->number);
    });
}

inline CUresult begin_capture(Stream& stream) {
    if (stream.capture) return CUDA_ERROR_ILLEGAL_STATE;
    stream.capture = std::make_shared<Capture>(Capture{&stream, std::this_thread::get_id(), false, {}, {}});
    stream.capture->tails[&stream] = {};
    captures.insert(stream.capture);
    return CUDA_SUCCESS;
}

// The nodes that the origin's last nodes depend on, each after its dependencies. A stream's own nodes come before those
// of streams that it waits for, so that forked work runs as late as it may.
inline std::vector<size_t> lazy_order(const Capture& capture) {
    std::vector<size_t> order, stack;
    std::vector<bool> done(capture.nodes.size());
    auto push = [&](const std::vector<size_t>& nodes) {
        size_t before = stack.size();
        std::copy_if(nodes.rbegin(), nodes.rend(), std::back_inserter(stack), [&](size_t node) { return !done[node]; });
        return stack.size() > before;
    };
    push(capture.tails.at(capture.origin));
    while (!stack.empty()) {
        size_t node = stack.back();
        if (push(capture.nodes[node].after)) continue;
        stack.pop_back();
        if (!done[node]) order.push_back(node);
        done[node] = true;
    }
    return order;
}

inline CUresult end_capture(Stream& stream, Graph** graph) {
    *graph = nullptr;
    std::shared_ptr<Capture> capture = stream.capture;
    if (!capture) return CUDA_ERROR_ILLEGAL_STATE;
    if (capture->origin != &stream) return CUDA_ERROR_STREAM_CAPTURE_UNMATCHED;
    if (capture->thread != std::this_thread::get_id()) return CUDA_ERROR_STREAM_CAPTURE_WRONG_THREAD;
    for (auto& [participant, tail] : capture->tails) participant->capture = nullptr;
    captures.erase(capture);
    if (capture->invalid) return CUDA_ERROR_STREAM_CAPTURE_INVALIDATED;
    std::vector<size_t> order = lazy_order(*capture);
    if (order.size() != capture->nodes.size()) return CUDA_ERROR_STREAM_CAPTURE_UNJOINED;
    *graph = new Graph{{}, std::move(order)};
    for (Node& node : capture->nodes) (*graph)->works.push_back(std::move(node.work));
    return CUDA_SUCCESS;
}

// Every other launch runs the works in the order of the host's calls, the others as late as the dependencies allow.
inline CUresult launch_graph(std::shared_ptr<const Graph> graph, Stream& stream) {
    if (stream.capture) return CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED;
    static unsigned launches;
    bool lazily = ++launches % 2;
    return submit(stream, [graph, lazily] {
        for (size_t i = 0; i < graph->works.size(); i++) graph->works[lazily ? graph->lazy_order[i] : i]();
    });
}

}  // namespace emulator
