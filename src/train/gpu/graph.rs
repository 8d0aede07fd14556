//! CUDA graphs: kernel launches that are recorded once and replayed with one call of the driver.

use cudarc::driver::sys::{self, CUgraph, CUgraphExec, CUgraphInstantiate_flags, CUstreamCaptureMode};

use crate::error::Result;
use crate::gpu::device::{Device, check};
use crate::gpu::stream::Stream;

/// A recorded CUDA graph. The buffers that the recorded work uses must live until the last replay has ended.
#[derive(Debug)]
pub(crate) struct Graph {
    device: Device,
    raw: CUgraphExec,
}

// SAFETY: the driver takes a graph from any thread, but not from several at a time. `Graph` is therefore not Sync.
unsafe impl Send for Graph {}

impl Stream {
    /// Records a graph of the work that `work` queues on this stream. The GPU doesn't execute this work yet. `work`
    /// must not allocate or free memory, read GPU memory, or wait for the GPU.
    ///
    /// To include work on a second stream:
    /// - before this work, make the second stream wait for an event of this stream
    /// - after this work, make this stream wait for an event of the second stream
    pub(crate) fn capture(&self, work: impl FnOnce() -> Result<()>) -> Result<Graph> {
        self.device().activate()?;
        // The documentation allows other threads to do anything meanwhile. But some drivers broke a recording when
        // another thread waited for the device.
        let _alone = self.device().alone();
        let mode = CUstreamCaptureMode::CU_STREAM_CAPTURE_MODE_THREAD_LOCAL;
        // SAFETY: the stream is the driver's.
        check(unsafe { sys::cuStreamBeginCapture_v2(self.raw(), mode) }, || format!("record on {}", self.device()))?;
        let capture = Capture { stream: self };
        let done = work();
        let recorded = capture.end();
        done?;
        recorded?.ready(self.device())
    }

    pub(crate) fn replay(&self, graph: &Graph) -> Result<()> {
        self.device().activate()?;
        // SAFETY: the graph and the stream are the driver's. `Graph` is not Sync, so only this thread uses the graph.
        check(unsafe { sys::cuGraphLaunch(graph.raw, self.raw()) }, || format!("replay on {}", self.device()))
    }
}

/// A stream that is recording a graph. Dropping this value ends the recording.
struct Capture<'a> {
    stream: &'a Stream,
}

impl Capture<'_> {
    fn end(self) -> Result<RawGraph> {
        let ended = self.stop();
        std::mem::forget(self);
        ended
    }

    fn stop(&self) -> Result<RawGraph> {
        let device = self.stream.device();
        device.activate()?;
        let mut graph = std::ptr::null_mut();
        // SAFETY: the stream is the driver's, and began to record on this thread; the driver writes one handle or null.
        let code = unsafe { sys::cuStreamEndCapture(self.stream.raw(), &raw mut graph) };
        let recorded = RawGraph(graph);
        check(code, || format!("record on {device}")).map(|()| recorded)
    }
}

impl Drop for Capture<'_> {
    fn drop(&mut self) {
        let _ = self.stop();
    }
}

/// A recorded graph that the driver has not yet prepared for replay.
struct RawGraph(CUgraph);

impl RawGraph {
    fn ready(self, device: &Device) -> Result<Graph> {
        let mut raw = std::ptr::null_mut();
        // Replayed work has the priority of the stream that it was recorded on, not of the stream that replays it.
        let flags = CUgraphInstantiate_flags::CUDA_GRAPH_INSTANTIATE_FLAG_USE_NODE_PRIORITY.0.into();
        // SAFETY: the graph is the driver's and complete; the driver writes one handle.
        let code = unsafe { sys::cuGraphInstantiateWithFlags(&raw mut raw, self.0, flags) };
        check(code, || format!("prepare what was recorded on {device}"))?;
        Ok(Graph { device: device.clone(), raw })
    }
}

impl Drop for RawGraph {
    fn drop(&mut self) {
        if !self.0.is_null() {
            // SAFETY: the graph is destroyed once, here. After a failure, the graph stays until the process ends.
            let _ = unsafe { sys::cuGraphDestroy(self.0) };
        }
    }
}

impl Drop for Graph {
    fn drop(&mut self) {
        if self.device.activate().is_ok() {
            // SAFETY: the graph is destroyed once, here, and the driver lets a replay end first. After a failure, the
            // graph stays.
            let _ = unsafe { sys::cuGraphExecDestroy(self.raw) };
        }
    }
}
