//! Test cases of the self-check: networks and batches for which float32 sums are exact.

use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use tonic_loader::Batch;
use tonic_shard::{Column, FrameShape, SampleFrames, Width, Widths};

use crate::feed::RandomFrames;
use crate::kernel::program::ColumnTypes;
use crate::network::{Iaf, Network, Shape};

/// A network and a batch, for comparing training steps on GPU and CPU.
pub(super) struct Case {
    pub(super) name: &'static str,
    pub(super) inputs: u32,
    pub(super) hidden: &'static [usize],
    pub(super) classes: usize,
    /// Number of frames of each sample. The batch has `times` different samples of each of these lengths.
    pub(super) lengths: &'static [usize],
    pub(super) times: usize,
    pub(super) steps: usize,
    pub(super) density: f64,
    pub(super) counts: Width,
    pub(super) min_v_mem: Option<f32>,
}

pub(super) const REFERENCE: Case = Case {
    name: "the reference network",
    inputs: 100,
    hidden: &[128, 128, 128],
    classes: 35,
    lengths: &[250, 31, 200, 1, 64, 65],
    times: 1,
    steps: 250,
    density: 0.12,
    counts: Width::U8,
    min_v_mem: None,
};

impl Case {
    /// Returns the number types of the batch's columns in GPU memory.
    pub(super) fn column_types(&self) -> ColumnTypes {
        let shape = FrameShape { polarities: 1, height: 1, width: self.inputs };
        ColumnTypes::of(shape, self.lengths.iter().copied().max().unwrap_or(0), [self.counts])
    }
}

/// Returns small cases with unusual shapes, extreme samples, and every number type for counts.
pub(super) fn cases() -> Vec<Case> {
    vec![
        REFERENCE,
        Case { name: "one sample, one step", lengths: &[1], steps: 1, density: 1.0, hidden: &[128, 128], ..REFERENCE },
        Case { name: "T = 251", lengths: &[251, 250], steps: 251, ..REFERENCE },
        Case { name: "700 channels", inputs: 700, lengths: &[60, 9], steps: 70, hidden: &[130, 70], ..REFERENCE },
        Case {
            name: "a camera's frames",
            inputs: 20_000,
            lengths: &[3, 2],
            steps: 3,
            density: 0.002,
            hidden: &[64],
            ..REFERENCE
        },
        Case { name: "samples without events", lengths: &[1, 40], steps: 40, density: 0.0, ..REFERENCE },
        Case { name: "dense input", lengths: &[70, 3], steps: 64, density: 1.0, hidden: &[96], ..REFERENCE },
        Case { name: "wide layers", hidden: &[320, 200], lengths: &[64, 20], steps: 40, classes: 300, ..REFERENCE },
        Case { name: "bounded neurons", min_v_mem: Some(-1.0), lengths: &[90, 128], steps: 100, ..REFERENCE },
        Case { name: "counts of two bytes", counts: Width::U16, lengths: &[80, 33], steps: 64, ..REFERENCE },
        Case { name: "counts of four bytes", counts: Width::U32, lengths: &[80, 33], steps: 64, ..REFERENCE },
        Case { name: "surfaces", counts: Width::F32, lengths: &[80, 33], steps: 64, ..REFERENCE },
        Case {
            name: "one cell, one class",
            inputs: 1,
            classes: 1,
            hidden: &[1, 65],
            lengths: &[66],
            steps: 5,
            ..REFERENCE
        },
    ]
}

/// Returns cases as large as in training, so that the kernels run with many CUDA blocks.
pub(super) fn large_cases() -> Vec<Case> {
    let lengths = &[250, 180, 233, 97];
    vec![
        Case { name: "a batch of 128", lengths, times: 32, ..REFERENCE },
        Case { name: "a batch of 1,024", lengths: &[20, 7, 13, 1], times: 256, steps: 20, ..REFERENCE },
        Case { name: "hidden 512", hidden: &[512, 512, 512], lengths, times: 4, ..REFERENCE },
        Case { name: "hidden 1,024", hidden: &[1024, 1024], lengths: &[64, 30], times: 4, steps: 64, ..REFERENCE },
    ]
}

pub(super) fn batch_of(case: &Case) -> Batch {
    let shape = FrameShape { polarities: 1, height: 1, width: case.inputs };
    let mut batch = Batch::new(Widths::of(shape, case.counts));
    for (i, &time_steps) in case.lengths.iter().cycle().take(case.lengths.len() * case.times).enumerate() {
        let random =
            RandomFrames { time_steps, channels: case.inputs, classes: case.classes as u32, density: case.density };
        let made = random.batch(i as u64, 1);
        let SampleFrames { frame_sizes, cells, counts } = made.frames.sample(0);
        let (sizes, cells): (Vec<u32>, Vec<u32>) = (frame_sizes.iter().collect(), cells.iter().collect());
        // Use large counts and fractions, if the column type can hold them.
        let counts: Vec<u32> = counts.iter().enumerate().map(|(i, n)| large(n, i, case.counts)).collect();
        let values: Vec<f32> = counts.iter().map(|&n| n as f32 * 0.25).collect();
        let column = if case.counts == Width::F32 { Column::F32(&values) } else { Column::U32(&counts) };
        batch.frames.push(&sizes, &cells, column).expect("counts within the width");
        batch.labels.push(made.labels[0]);
        batch.keys.push(made.keys[0]);
    }
    batch
}

fn large(count: u32, i: usize, width: Width) -> u32 {
    match width {
        Width::U16 if i.is_multiple_of(97) => 300 + count,
        Width::U32 if i.is_multiple_of(97) => 70_000 + count,
        _ => count,
    }
}

/// Returns the network of a case. Its weights are multiples of a power of two, so that float32 sums are exact.
pub(super) fn network_of(case: &Case) -> Network {
    let shape = Shape { inputs: case.inputs as usize, hidden: case.hidden.to_vec(), classes: case.classes };
    let neuron = Iaf { min_v_mem: case.min_v_mem, ..Iaf::default() };
    let mut network = Network::new(shape.iaf(neuron), &mut ChaCha8Rng::seed_from_u64(7));
    for layer in network.parameters.layers_mut() {
        // With many inputs, the initial weights are so small that rounding to multiples of 1/64 would make them all 0.
        let larger = (layer.inputs as f32 / 256.0).sqrt().max(1.0);
        layer.weight_t.iter_mut().for_each(|w| *w = (*w * larger * 64.0).round() / 64.0);
        layer.bias.iter_mut().for_each(|b| *b = (*b * 64.0).round() / 64.0);
    }
    if case.counts == Width::U32 {
        // No neuron may spike more than 256 times in a step, because bfloat16 rounds larger counts.
        network.parameters.layers_mut().take(1).for_each(|first| first.weight_t.iter_mut().for_each(|w| *w /= 512.0));
    }
    network
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::{CpuEngine, Engine};
    use crate::network::Parameters;

    #[test]
    fn cases_have_what_their_names_say() {
        for case in cases().into_iter().chain(large_cases()) {
            let batch = batch_of(&case);
            let frames = &batch.frames;
            assert_eq!(frames.len(), case.lengths.len() * case.times, "{}", case.name);
            if matches!(case.counts, Width::U16 | Width::U32) {
                assert!(frames.samples().any(|s| s.counts.max() > Some(255)), "{}", case.name);
            }
        }
    }
    /// If all gradients were zero, a kernel that does nothing would pass the self-check.
    #[test]
    fn cases_have_gradients_to_compare() {
        for case in cases().into_iter().filter(|case| case.classes > 1) {
            let (batch, network) = (batch_of(&case), network_of(&case));
            let mut gradients = Parameters::zeros(network.architecture().clone());
            let mut engine = CpuEngine::new(&network);
            engine.step(&network, &batch, case.steps, &mut gradients).unwrap();
            let first_with_some = if case.density == 0.0 { network.shape().hidden.len() + 1 } else { 0 };
            for (i, layer) in gradients.layers().enumerate() {
                assert!(layer.bias.iter().any(|&g| g != 0.0), "{}: biases of layer {i}", case.name);
                let some = layer.weight_t.iter().any(|&g| g != 0.0);
                assert!(some || i < first_with_some, "{}: weights of layer {i}", case.name);
            }
        }
    }
}
