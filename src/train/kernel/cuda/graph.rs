//! A step's work, recorded once and replayed as a whole: one call to the driver instead of one for each launch.

use cudarc::driver::sys::{self, CUgraph, CUgraphExec, CUgraphInstantiate_flags, CUstreamCaptureMode};

use super::device::{Device, check};
use super::stream::Stream;
use crate::error::Result;

/// Recorded work. The arguments and addresses in it are those of the time when it was recorded: buffers that it uses
/// have to outlive its replays.
#[derive(Debug)]
pub struct Graph {
    device: Device,
    raw: CUgraphExec,
}

// SAFETY: the driver takes a graph from any thread, though not from several at a time: it is not Sync.
unsafe impl Send for Graph {}

impl Stream {
    /// Records the work that is given to this stream, and to the `others`, by this thread in `work`: nothing of it is
    /// done yet. The others' work comes after what this stream had before, and ends before what this stream has next.
    ///
    /// Meanwhile this thread must not take or free memory, read from the device or wait for it.
    ///
    /// # Errors
    /// That of `work`, or [`Error::Cuda`](crate::error::Error::Cuda). In either case recording is over, and the streams
    /// take work as before.
    pub fn capture(&self, others: &[&Stream], work: impl FnOnce() -> Result<()>) -> Result<Graph> {
        let fork = self.device().event(false)?;
        let joins = others.iter().map(|_| self.device().event(false)).collect::<Result<Vec<_>>>()?;
        self.device().activate()?;
        // Other threads may do as they like, by the documentation; drivers were seen to spoil a recording even so, where
        // one of them waits for the device.
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

    /// Does what was recorded, after the work that this stream has.
    ///
    /// # Errors
    /// [`Error::Cuda`](crate::error::Error::Cuda), also for what went wrong in work before it.
    pub fn replay(&self, graph: &Graph) -> Result<()> {
        self.device().activate()?;
        // SAFETY: both are the driver's, and the graph is of one thread.
        check(unsafe { sys::cuGraphLaunch(graph.raw, self.raw()) }, || format!("replay on {}", self.device()))
    }
}

/// A stream that records, until this is dropped, be it by a panic.
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

/// A graph that cannot be run yet.
struct Recorded(CUgraph);

impl Recorded {
    fn ready(self, device: &Device) -> Result<Graph> {
        let mut raw = std::ptr::null_mut();
        // Work keeps the priority of the stream that it was recorded on, whatever stream it is replayed on.
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
            // SAFETY: it is destroyed once. A failure leaves it to the end of the process.
            let _ = unsafe { sys::cuGraphDestroy(self.0) };
        }
    }
}

impl Drop for Graph {
    fn drop(&mut self) {
        if self.device.activate().is_ok() {
            // SAFETY: it is destroyed once; the driver lets a replay end first. A failure leaves it to the end.
            let _ = unsafe { sys::cuGraphExecDestroy(self.raw) };
        }
    }
}
