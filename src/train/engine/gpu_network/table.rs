//! The table of a network's tensors on a GPU. The kernels `update` and `pack` read the tensors' sizes, and the
//! addresses of their weights and gradients, from this table.

use crate::engine::gpu_network::buffers::put;
use crate::error::Result;
use crate::gpu::{Address, Buffer, Device, Stream};
use crate::kernel::Group;
use crate::kernel::program::{UPDATE_COLUMNS, UPDATE_ROWS};
use crate::kernel::update_interface::UpdatedLayer;

/// Records of all linear layers and other tensors.
#[derive(Debug)]
pub(super) struct Table {
    records: Vec<UpdatedLayer>,
    on_device: Buffer<UpdatedLayer>,
    /// Number of CUDA blocks for all parameters.
    pub(super) blocks: usize,
}

impl Table {
    /// Copies the records to the GPU, and divides the CUDA blocks among them.
    pub(super) fn new(device: &Device, mut records: Vec<UpdatedLayer>) -> Result<Table> {
        let mut blocks = 0;
        for record in &mut records {
            record.first_block = blocks as u32;
            blocks += (record.rows as usize).div_ceil(UPDATE_ROWS) * (record.outputs as usize).div_ceil(UPDATE_COLUMNS);
        }
        Ok(Table { on_device: device.buffer_from(&records)?, records, blocks })
    }

    pub(super) fn address(&self) -> Address<UpdatedLayer> {
        self.on_device.address()
    }

    pub(super) fn len(&self) -> usize {
        self.records.len()
    }

    /// Sets which parameters keep their values, after all work already queued on `stream`.
    pub(super) fn freeze(&mut self, stream: &Stream, groups: &[Group]) -> Result<()> {
        let frozen = |at: usize| groups.iter().any(|group| group.frozen && group.range.contains(&at));
        for record in &mut self.records {
            let (at, weights) = (record.at as usize, record.inputs as usize * record.outputs as usize);
            record.frozen_weights = frozen(at).into();
            record.frozen_row = frozen(at + weights).into();
        }
        put(stream, &self.on_device, &self.records)
    }
}
