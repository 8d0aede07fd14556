//! Records work on a GPU as a CUDA graph, and replays the graph.

use std::collections::HashMap;

use crate::error::Result;
use crate::gpu::{Graph, Stream};
use crate::kernel::batch_source::BatchSource;

/// CUDA graphs of the same work, for example a training step: one graph for each source of batches.
#[derive(Debug, Default)]
pub(super) struct Recorded {
    graphs: HashMap<u64, Graph>,
    /// Whether `run` was called before. The first call loads the kernels and records nothing.
    loaded: bool,
}

impl Recorded {
    /// Queues `work` for a batch from `source`.
    ///
    /// The first call queues the work directly. In later calls, the work is recorded as a CUDA graph once per source,
    /// and the graph is queued.
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
