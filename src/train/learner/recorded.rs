//! Work on a GPU that is recorded once for each source of batches, and then replayed.

use std::collections::HashMap;

use crate::error::Result;
use crate::gpu::{Graph, Stream};
use crate::kernel::batch_source::BatchSource;

/// Recorded graphs of a step, one for each source of batches.
#[derive(Debug, Default)]
pub(super) struct Recorded {
    graphs: HashMap<u64, Graph>,
    /// Whether the driver has loaded the kernels, which the first work does. It is not recorded.
    loaded: bool,
}

impl Recorded {
    /// Queues the work of a batch. The first batch of all is queued directly. After that, the first batch of each
    /// source records the work, and every batch replays it.
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
