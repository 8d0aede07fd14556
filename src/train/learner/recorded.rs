//! Work on a GPU that is recorded as a CUDA graph once for each source of batches, and then replayed.

use std::collections::HashMap;

use crate::error::Result;
use crate::gpu::{Graph, Stream};
use crate::kernel::batch_source::BatchSource;

/// Recorded graphs of a step, one for each source of batches.
#[derive(Debug, Default)]
pub(super) struct Recorded {
    graphs: HashMap<u64, Graph>,
    /// Whether work was queued before. The first work is not recorded, because the driver loads the kernels with it.
    loaded: bool,
}

impl Recorded {
    /// Queues the work of a batch from `source`. The first call runs `work`, which queues directly. Later calls replay
    /// a graph of `work`. If the source has no graph yet, the call records it first.
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
