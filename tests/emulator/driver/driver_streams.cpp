// Entry points of the emulated driver for streams, events and graphs. driver.cpp has the others.
#include "api.h"

static std::set<Graph*> graphs;
struct GraphExec {
    std::shared_ptr<const Graph> graph;
};
static std::set<GraphExec*> execs;

extern "C" {

// The host makes non-blocking streams only. Priorities change nothing: streams run in no particular order anyway.
CUresult cuStreamCreateWithPriority(Stream** handle, unsigned flags, int) {
    ENTER;
    CHECK(flags == 1, CUDA_ERROR_INVALID_VALUE);  // CU_STREAM_NON_BLOCKING
    streams.insert(*handle = new Stream{{}, nullptr});
    return CUDA_SUCCESS;
}

CUresult cuStreamDestroy_v2(Stream* stream) {
    ENTER;
    STREAM(stream);
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

CUresult cuStreamSynchronize(Stream* stream) {
    ENTER;
    STREAM(stream);
    NOT_IN_CAPTURE;
    run_all(*stream);
    return CUDA_SUCCESS;
}

CUresult cuStreamWaitEvent(Stream* stream, Event* event, unsigned flags) {
    ENTER;
    STREAM(stream);
    EVENT(event);
    CHECK(flags == 0, CUDA_ERROR_INVALID_VALUE);
    return wait_event(*stream, *event);
}

CUresult cuStreamBeginCapture_v2(Stream* stream, int mode) {
    ENTER;
    STREAM(stream);
    CHECK(mode == 1, CUDA_ERROR_INVALID_VALUE);  // CU_STREAM_CAPTURE_MODE_THREAD_LOCAL
    return begin_capture(*stream);
}

CUresult cuStreamEndCapture(Stream* stream, Graph** graph) {
    ENTER;
    STREAM(stream);
    CUresult result = end_capture(*stream, graph);
    if (*graph) graphs.insert(*graph);
    return result;
}

CUresult cuStreamIsCapturing(Stream* stream, int* status) {
    ENTER;
    STREAM(stream);
    *status = !stream->capture ? 0 : stream->capture->invalid ? 2 : 1;
    return CUDA_SUCCESS;
}

CUresult cuEventCreate(Event** event, unsigned flags) {
    ENTER;
    CHECK(flags == 0 || flags == 2, CUDA_ERROR_INVALID_VALUE);  // CU_EVENT_DEFAULT, CU_EVENT_DISABLE_TIMING
    events.insert(*event = new Event{flags == 0, nullptr});
    return CUDA_SUCCESS;
}

CUresult cuEventRecord(Event* event, Stream* stream) {
    ENTER;
    STREAM(stream);
    EVENT(event);
    return record_event(*event, *stream);
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

CUresult cuEventDestroy_v2(Event* event) {
    ENTER;
    EVENT(event);
    events.erase(event);
    delete event;
    return CUDA_SUCCESS;
}

CUresult cuGraphInstantiateWithFlags(GraphExec** exec, Graph* graph, unsigned long long flags) {
    ENTER;
    CHECK(graphs.count(graph) && flags == 8, CUDA_ERROR_INVALID_VALUE);  // USE_NODE_PRIORITY
    execs.insert(*exec = new GraphExec{std::make_shared<Graph>(*graph)});
    report.graphs++;
    return CUDA_SUCCESS;
}

CUresult cuGraphLaunch(GraphExec* exec, Stream* stream) {
    ENTER;
    STREAM(stream);
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
