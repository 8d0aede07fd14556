//! Records work on a GPU as a CUDA graph, once for each source of batches, and then replays the graph.

use std::collections::HashMap;

use crate::error::Result;
use crate::gpu::{Graph, Stream};
use crate::kernel::batch_source::BatchSource;

/// Recorded graphs of a piece of work, such as a step: one graph for each source of batches.
#[derive(Debug, Default)]
pub(super) struct Recorded {
    graphs: HashMap<u64, Graph>,
    /// Whether `run` was called before. The first call records nothing, because the driver loads the kernels during
    /// this call.
    loaded: bool,
}

impl Recorded {
    /// Queues the work of a batch from `source`. The very first call runs `work`, which queues its kernels on `stream`.
    /// Later calls replay a graph of `work`. If `source` has no graph yet, the call records the graph first.
    pub(super) fn run(&mut self, stream: &Stream, source: BatchSource, work: impl Fn() -> Result<()>) -> Result<()> {
        if !self.loaded {
            self.loaded = true;
            return work();
        }
        let graph = match self.graphs.remove(&source.id) {
            Some(graph) => graph,
            None => stream.capture(work)?,
        };
        stream.replay(self.graphs.entry(source.id).or_insert(graph))
    }
}
