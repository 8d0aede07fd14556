//! Makes the frames of samples, one sample at a time.

use tonic_shard::{ColumnBuf, Width};

use crate::events::{Events, SensorSize};
use crate::fault::Checked;
use crate::framing::named::Framing;
use crate::framing::rule::{FramedSample, MakeFrames};

/// Makes the frames of samples. Each thread needs a framer of its own.
pub struct Framer {
    maker: Box<dyn MakeFrames>,
    sample: FramedSample,
}

impl Framer {
    /// Makes a framer for events of `sensor`.
    pub fn new(sensor: SensorSize, framing: &Framing) -> Framer {
        let counts = ColumnBuf::new(if framing.values() == Width::F32 { Width::F32 } else { Width::U32 });
        let sample = FramedSample { frame_sizes: Vec::new(), cells: Vec::new(), counts, binned: 0, cut: 0 };
        Framer { maker: framing.rule().maker(sensor), sample }
    }

    /// Makes the frames of one sample. A sample without events gets empty frames: the framing's fixed number of frames,
    /// or else one.
    ///
    /// # Errors
    /// If the sample has more than 2^24 frames; for `ToFrame` and `ToTimesurface`, also if its frames have more than
    /// 2^28 nonzero cells in all.
    pub fn frame(&mut self, events: &Events) -> Checked<&FramedSample> {
        let out = &mut self.sample;
        out.frame_sizes.clear();
        out.cells.clear();
        out.counts.clear();
        (out.binned, out.cut) = (0, 0);
        self.maker.frame(events, out)?;
        Ok(&self.sample)
    }
}
