// The driver's calls for streams, events and graphs; driver.cpp has the others.
#include "api.h"

static std::set<Graph*> graphs;
struct GraphExec {
    std::shared_ptr<const Graph> graph;
};
static std::set<GraphExec*> execs;

extern "C" {

CUresult cuStreamCreate(Stream** handle, unsigned flags) {
    ENTER;
    CHECK(flags <= 1, CUDA_ERROR_INVALID_VALUE);
    streams.insert(*handle = new Stream{flags == 0, {}, nullptr});
    return CUDA_SUCCESS;
}

// Priorities change nothing: which stream goes first is chance anyway.
CUresult cuStreamCreateWithPriority(Stream** handle, unsigned flags, int) { return cuStreamCreate(handle, flags); }

CUresult cuStreamDestroy_v2(Stream* stream) {
    ENTER;
    CHECK(stream != &legacy_stream && streams.count(stream), CUDA_ERROR_INVALID_HANDLE);
    if (stream->capture) {
        Capture& capture = *stream->capture;
        capture.invalid = true;
        capture.tails.erase(stream);
        if (capture.origin == stream) captures.erase(stream->capture);
    }
    run_all(*stream);
    streams.erase(stream);
    delete stream;
    return CUDA_SUCCESS;
}

CUresult cuStreamSynchronize(Stream* handle) {
    ENTER;
    STREAM(handle);
    NOT_IN_CAPTURE;
    run_all(*stream);
    return CUDA_SUCCESS;
}

CUresult cuStreamWaitEvent(Stream* handle, Event* event, unsigned flags) {
    ENTER;
    STREAM(handle);
    EVENT(event);
    CHECK(flags == 0, CUDA_ERROR_INVALID_VALUE);
    return wait_event(*stream, *event);
}

CUresult cuStreamBeginCapture_v2(Stream* handle, int mode) {
    ENTER;
    STREAM(handle);
    return begin_capture(*stream, mode);
}

CUresult cuStreamEndCapture(Stream* handle, Graph** graph) {
    ENTER;
    STREAM(handle);
    CUresult result = end_capture(*stream, graph);
    if (*graph) graphs.insert(*graph);
    return result;
}

CUresult cuStreamIsCapturing(Stream* handle, int* status) {
    ENTER;
    STREAM(handle);
    *status = !stream->capture ? 0 : stream->capture->invalid ? 2 : 1;
    return CUDA_SUCCESS;
}

CUresult cuEventCreate(Event** event, unsigned flags) {
    ENTER;
    CHECK(flags < 4, CUDA_ERROR_INVALID_VALUE);
    events.insert(*event = new Event{!(flags & 2), nullptr});
    return CUDA_SUCCESS;
}

CUresult cuEventRecord(Event* event, Stream* handle) {
    ENTER;
    STREAM(handle);
    EVENT(event);
    return record_event(*event, *stream);
}

CUresult cuEventQuery(Event* event) {
    ENTER;
    EVENT(event);
    NOT_IN_CAPTURE;
    Record* record = event->record.get();
    if (!record || record->done) return CUDA_SUCCESS;
    CHECK(!record->capture, CUDA_ERROR_CAPTURED_EVENT);
    if (!std::exchange(record->asked, true)) return CUDA_ERROR_NOT_READY;
    run_until(*record->stream, record->number);
    return CUDA_SUCCESS;
}

CUresult cuEventSynchronize(Event* event) {
    ENTER;
    EVENT(event);
    NOT_IN_CAPTURE;
    Record* record = event->record.get();
    if (!record || record->done) return CUDA_SUCCESS;
    CHECK(!record->capture, CUDA_ERROR_CAPTURED_EVENT);
    run_until(*record->stream, record->number);
    return CUDA_SUCCESS;
}

CUresult cuEventElapsedTime_v2(float* milliseconds, Event* start, Event* end) {
    ENTER;
    EVENT(start);
    EVENT(end);
    CHECK(start->timed && end->timed && start->record && end->record, CUDA_ERROR_INVALID_HANDLE);
    CHECK(start->record->done && end->record->done, CUDA_ERROR_NOT_READY);
    *milliseconds = std::chrono::duration<float, std::milli>(end->record->time - start->record->time).count();
    return CUDA_SUCCESS;
}

CUresult cuEventElapsedTime(float* milliseconds, Event* start, Event* end) {
    return cuEventElapsedTime_v2(milliseconds, start, end);
}

CUresult cuEventDestroy_v2(Event* event) {
    ENTER;
    EVENT(event);
    events.erase(event);
    delete event;
    return CUDA_SUCCESS;
}

CUresult cuGraphInstantiateWithFlags(GraphExec** exec, Graph* graph, unsigned long long flags) {
    ENTER;
    CHECK(graphs.count(graph) && flags < 16, CUDA_ERROR_INVALID_VALUE);
    execs.insert(*exec = new GraphExec{std::make_shared<Graph>(*graph)});
    report.graphs++;
    return CUDA_SUCCESS;
}

CUresult cuGraphUpload(GraphExec* exec, Stream* handle) {
    ENTER;
    STREAM(handle);
    CHECK(execs.count(exec), CUDA_ERROR_INVALID_VALUE);
    return CUDA_SUCCESS;
}

CUresult cuGraphLaunch(GraphExec* exec, Stream* handle) {
    ENTER;
    STREAM(handle);
    CHECK(execs.count(exec), CUDA_ERROR_INVALID_VALUE);
    return launch_graph(exec->graph, *stream);
}

CUresult cuGraphDestroy(Graph* graph) {
    ENTER;
    CHECK(graphs.erase(graph), CUDA_ERROR_INVALID_VALUE);
    delete graph;
    return CUDA_SUCCESS;
}

CUresult cuGraphExecDestroy(GraphExec* exec) {
    ENTER;
    CHECK(execs.erase(exec), CUDA_ERROR_INVALID_VALUE);
    delete exec;
    return CUDA_SUCCESS;
}

}  // extern "C"
