//! CUDA graphs: work that is recorded once and replayed with one call to the driver instead of one for each launch.

use cudarc::driver::sys::{self, CUgraph, CUgraphExec, CUgraphInstantiate_flags, CUstreamCaptureMode};

use crate::error::Result;
use crate::gpu::device::{Device, check};
use crate::gpu::stream::Stream;

/// Recorded work. It keeps the arguments and addresses that it was recorded with: buffers that it uses must outlive its
/// replays.
#[derive(Debug)]
pub(crate) struct Graph {
    device: Device,
    raw: CUgraphExec,
}

// SAFETY: the driver takes a graph from any thread, though not from several at a time: it is not Sync.
unsafe impl Send for Graph {}

impl Stream {
    /// Records what `work` queues from this thread on this stream and on the `others`; nothing is executed. The work of
    /// the others starts after the earlier work of this stream and ends before the later.
    ///
    /// `work` must not allocate or free memory, read from the device or wait for it.
    ///
    /// # Errors
    /// That of `work`, or [`Error::Cuda`](crate::Error::Cuda). In either case recording is over, and the streams
    /// take work as before.
    pub(crate) fn capture(&self, others: &[&Stream], work: impl FnOnce() -> Result<()>) -> Result<Graph> {
        let fork = self.device().event(false)?;
        let joins = others.iter().map(|_| self.device().event(false)).collect::<Result<Vec<_>>>()?;
        self.device().activate()?;
        // By the documentation other threads may do anything. But drivers were seen to break a recording when another
        // thread waited for the device.
        let _alone = self.device().alone();
        let mode = CUstreamCaptureMode::CU_STREAM_CAPTURE_MODE_THREAD_LOCAL;
        // SAFETY: the stream is the driver's.
        check(unsafe { sys::cuStreamBeginCapture_v2(self.raw(), mode) }, || format!("record on {}", self.device()))?;
        let recording = Recording { stream: self };
        let forked = || -> Result<()> {
            self.record(&fork)?;
            others.iter().try_for_each(|other| other.wait(&fork))?;
            work()?;
            others.iter().zip(&joins).try_for_each(|(other, join)| {
                other.record(join)?;
                self.wait(join)
            })
        };
        let done = forked();
        let recorded = recording.end();
        done?;
        recorded?.ready(self.device())
    }

    /// Queues recorded work on this stream.
    ///
    /// # Errors
    /// [`Error::Cuda`](crate::Error::Cuda), also for errors of earlier work.
    pub(crate) fn replay(&self, graph: &Graph) -> Result<()> {
        self.device().activate()?;
        // SAFETY: both are the driver's, and the graph is of one thread.
        check(unsafe { sys::cuGraphLaunch(graph.raw, self.raw()) }, || format!("replay on {}", self.device()))
    }
}

/// A stream that records until this is dropped, which a panic does too.
struct Recording<'a> {
    stream: &'a Stream,
}

impl Recording<'_> {
    fn end(self) -> Result<Recorded> {
        let ended = self.stop();
        std::mem::forget(self);
        ended
    }

    fn stop(&self) -> Result<Recorded> {
        let device = self.stream.device();
        device.activate()?;
        let mut graph = std::ptr::null_mut();
        // SAFETY: the stream is the driver's, and began to record on this thread; the driver writes one handle or null.
        let code = unsafe { sys::cuStreamEndCapture(self.stream.raw(), &raw mut graph) };
        let recorded = Recorded(graph);
        check(code, || format!("record on {device}")).map(|()| recorded)
    }
}

impl Drop for Recording<'_> {
    fn drop(&mut self) {
        let _ = self.stop();
    }
}

/// A recorded graph that is not yet executable.
struct Recorded(CUgraph);

impl Recorded {
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

impl Drop for Recorded {
    fn drop(&mut self) {
        if !self.0.is_null() {
            // SAFETY: it is destroyed once. After a failure it stays until the process ends.
            let _ = unsafe { sys::cuGraphDestroy(self.0) };
        }
    }
}

impl Drop for Graph {
    fn drop(&mut self) {
        if self.device.activate().is_ok() {
            // SAFETY: it is destroyed once, and the driver lets a replay end first. After a failure it stays.
            let _ = unsafe { sys::cuGraphExecDestroy(self.raw) };
        }
    }
}
