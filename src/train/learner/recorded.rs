//! Records work on a GPU as a CUDA graph, once for each source of batches, and then replays the graph.

use std::collections::HashMap;

use crate::error::Result;
use crate::gpu::{Graph, Stream};
use crate::kernel::batch_source::BatchSource;

/// CUDA graphs that record the same work, for example a training step. Each graph takes its batches from another
/// source.
#[derive(Debug, Default)]
pub(super) struct Recorded {
    graphs: HashMap<u64, Graph>,
    /// Whether `run` was called before. The driver loads the kernels during the first call, which therefore records
    /// nothing.
    loaded: bool,
}

impl Recorded {
    /// Queues the work for a batch from `source`. The very first call only runs `work`. Later calls record `work` once
    /// for each source, and replay the recording.
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
