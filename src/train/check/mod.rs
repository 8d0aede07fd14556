//! The self-check of a GPU: compares the results of every kernel with the CPU's.
//!
//! Spikes and logits must have the same bits. Gradients may differ slightly, because GPU and CPU round e^x differently.
//! In networks with norms or other neurons, logits may differ slightly too.

mod cases;
mod layers;
mod verdict;

use std::sync::Arc;

use rayon::prelude::*;
use serde::Serialize;
use tonic_base::Error as BaseError;
use tonic_shard::{FrameShape, Order, Width};

use crate::check::verdict::{Verdict, relative_difference};
use crate::engine::{CpuEngine, Engine, Extent, GpuEngine, GpuNetwork};
use crate::error::{Error, Result};
use crate::feed::{Inflation, StagedBatch};
use crate::gpu::{Address, Device, nvrtc_version};
use crate::kernel::batch_source::BatchSource;
use crate::kernel::interface::{DrawOrder, Sample, SampleColumns};
use crate::kernel::program::{ColumnTypes, MatmulPrecision, Program};
use crate::kernel::{Optimiser, OptimiserConfig};
use crate::network::Parameters;
use cases::{Case, REFERENCE, batch_of, large_cases, network_of};

/// Result of the self-check.
#[derive(Clone, Debug, Serialize)]
pub struct CheckReport {
    /// The GPU, and the versions of its driver and compiler.
    pub device: DeviceFacts,
    /// Results of the checks, in the order in which the checks ran.
    pub checks: Vec<Check>,
    /// Number of checks that passed.
    pub passed: usize,
    /// Number of checks that failed.
    pub failed: usize,
}

/// Properties of a GPU, its driver and its compiler.
#[derive(Clone, Debug, Serialize)]
pub struct DeviceFacts {
    /// Product name of the GPU.
    pub name: String,
    /// Compute capability of the GPU, for example "9.0".
    pub capability: String,
    /// Number of multiprocessors of the GPU.
    pub multiprocessors: usize,
    /// Total memory of the GPU in bytes.
    pub memory_bytes: u64,
    /// Newest CUDA version that the driver supports, for example "13.0".
    pub driver: String,
    /// Version of NVRTC, which compiles the kernels.
    pub nvrtc: String,
}

/// Result of one check.
#[derive(Clone, Debug, Serialize)]
pub struct Check {
    /// Name of the check: what it compares with the CPU.
    pub name: String,
    /// Whether GPU and CPU agree.
    pub passed: bool,
    /// How well GPU and CPU agree, or how they differ.
    pub detail: String,
}

/// The precisions to check, each with the largest allowed relative difference between the gradients of GPU and CPU.
const PRECISIONS: [(MatmulPrecision, f64); 3] =
    [(MatmulPrecision::Highest, 1e-5), (MatmulPrecision::High, 1e-3), (MatmulPrecision::Medium, 3e-2)];

/// Runs the checks on a GPU, without large cases if `quick` is set. After every check, calls `each` with all results
/// so far.
///
/// # Errors
/// [`Unavailable`](tonic_base::Error::Unavailable) if the checks cannot run, for example without NVRTC. A failed check
/// is not an error, but a result in the report.
pub fn check(device: &Device, quick: bool, mut each: impl FnMut(&CheckReport)) -> Result<CheckReport> {
    let mut cases = cases::cases();
    if !quick {
        cases.extend(large_cases());
    }
    // Every choice of column types needs its own program, so lower precisions are checked with two choices only.
    let plain = |case: &Case| case.inputs <= 256 && matches!(case.counts, Width::U8 | Width::F32);
    let all = PRECISIONS.iter().flat_map(|&precision| cases.iter().map(move |case| (precision, case)));
    let steps: Vec<_> =
        all.filter(|((precision, _), case)| *precision == MatmulPrecision::Highest || plain(case)).collect();
    // NVRTC takes seconds for each program, on one thread, so all programs are compiled in parallel. If one doesn't
    // compile, the checks that need it fail.
    let mut variants = Vec::new();
    for ((precision, _), case) in &steps {
        if !variants.contains(&(case.column_types(), *precision)) {
            variants.push((case.column_types(), *precision));
        }
    }
    variants.par_iter().for_each(|&(column_types, precision)| drop(Program::compile(device, column_types, precision)));
    let mut report = CheckReport { device: facts(device)?, checks: Vec::new(), passed: 0, failed: 0 };
    // If the device fails in one check, the other checks still run.
    let mut add = |name: String, found: Result<Verdict>| -> Result<()> {
        let outcome = match found {
            Err(error @ Error::Base(BaseError::Unavailable { .. })) => return Err(error),
            Err(error) => Err(error.to_string()),
            Ok(outcome) => outcome,
        };
        let passed = outcome.is_ok();
        report.checks.push(Check { name, passed, detail: outcome.unwrap_or_else(|fault| fault) });
        report.passed += usize::from(passed);
        report.failed += usize::from(!passed);
        each(&report);
        Ok(())
    };
    for ((precision, tolerance), case) in steps {
        let name = format!("a step, {precision:?} precision: {}", case.name).to_lowercase();
        add(name, check_step(device, precision, case, tolerance))?;
    }
    let networks: Vec<_> = layers::NETWORKS.into_iter().chain((!quick).then_some(layers::WIDE)).collect();
    for (precision, tolerance) in PRECISIONS {
        for (name, text) in &networks {
            let found = layers::check_layers(device, precision, text, tolerance);
            add(format!("a step, {precision:?} precision, other layers: {name}").to_lowercase(), found)?;
        }
    }
    add("dense frames".into(), check_inflation(device))?;
    add("the order of an epoch".into(), check_order(device))?;
    add("training, recorded and replayed".into(), check_training(device))?;
    Ok(report)
}

fn facts(device: &Device) -> Result<DeviceFacts> {
    let version = |(major, minor): (u32, u32)| format!("{major}.{minor}");
    Ok(DeviceFacts {
        name: device.name().into(),
        capability: version(device.capability()),
        multiprocessors: device.multiprocessors(),
        memory_bytes: device.total_memory(),
        driver: version(device.driver_version()),
        nvrtc: version(nvrtc_version()?),
    })
}

fn check_step(device: &Device, precision: MatmulPrecision, case: &Case, tolerance: f64) -> Result<Verdict> {
    let mut engine = GpuEngine::new(device, precision)?;
    let (batch, network) = (batch_of(case), network_of(case));
    let mut cpu = CpuEngine::new(&network);
    let (mut ours, mut theirs) =
        (Parameters::zeros(network.architecture().clone()), Parameters::zeros(network.architecture().clone()));
    let expected = cpu.step(&network, &batch, case.steps, &mut theirs)?;
    let got = engine.step(&network, &batch, case.steps, &mut ours)?;
    if engine.logits() != cpu.logits() {
        let apart = engine.logits().iter().zip(cpu.logits()).filter(|(a, b)| a != b).count();
        return Ok(Err(format!("{apart} of {} logits differ", cpu.logits().len())));
    }
    if got.correct != expected.correct || (got.loss - expected.loss).abs() > 1e-6 * expected.loss.abs().max(1.0) {
        return Ok(Err(format!("loss {} where {} is right", got.loss, expected.loss)));
    }
    let first = ours.clone();
    engine.step(&network, &batch, case.steps, &mut ours)?;
    if first != ours {
        return Ok(Err("the gradients of the same step differ from run to run".into()));
    }
    if engine.spikes(&network, &batch, case.steps)? != cpu.spikes(&network, &batch, case.steps)? {
        return Ok(Err("the numbers of spikes differ".into()));
    }
    let apart = ours.layers().zip(theirs.layers()).flat_map(|(ours, theirs)| {
        [relative_difference(ours.weight_t, theirs.weight_t), relative_difference(ours.bias, theirs.bias)]
    });
    let apart = apart.fold(0.0, f64::max);
    let words = format!("logits and spikes equal, gradients apart by {apart:.1e} at most, {tolerance:.0e} allowed");
    Ok(if apart <= tolerance { Ok(words) } else { Err(words) })
}

fn check_inflation(device: &Device) -> Result<Verdict> {
    let mut batches = 0;
    for (inputs, counts, steps) in
        [(100, Width::U8, 250), (700, Width::U16, 33), (20_000, Width::F32, 40), (3, Width::U32, 1)]
    {
        let lengths: &[usize] = if inputs > 1000 { &[40, 1] } else { &[250, 31, 1, 64] };
        let density = if inputs > 1000 { 0.001 } else { 0.1 };
        let case = Case { inputs, counts, lengths, density, ..REFERENCE };
        let batch = batch_of(&case);
        let shape = FrameShape { polarities: 1, height: 1, width: inputs };
        let column_types = ColumnTypes::of(shape, 250, [counts]);
        let program = Program::new(device, column_types, MatmulPrecision::Highest)?;
        let stream = device.stream()?;
        let staged = StagedBatch::new(&stream, column_types, &batch, case.classes)?;
        let dense = device.buffer(batch.len() * steps * inputs as usize)?;
        stream.fill(&dense, 0xff)?;
        let inflation = Inflation { steps, batch_size: batch.len() };
        inflation.launch(&program, &stream, staged.source(), inputs as usize, 0, &dense)?;
        let got = dense.read()?;
        let mut expected = vec![0.0f32; steps * inputs as usize];
        for (i, (sample, got)) in batch.frames.samples().zip(got.chunks_exact(expected.len())).enumerate() {
            expected.fill(0.0);
            sample.write_dense(shape, &mut expected);
            if got != expected {
                return Ok(Err(format!("sample {i} of {inputs} cells, {steps} steps, differs")));
            }
        }
        batches += 1;
    }
    Ok(Ok(format!("{batches} batches equal")))
}

/// Compares the order in which the GPU draws samples with the order that [`Order`] computes on the CPU.
fn check_order(device: &Device) -> Result<Verdict> {
    const BATCH: usize = 100;
    let column_types = ColumnTypes { frame_ends: Width::U16, cells: Width::U8, counts: Width::U8 };
    let program = Arc::new(Program::new(device, column_types, MatmulPrecision::Highest)?);
    let case = Case { lengths: &[1], hidden: &[1], inputs: 1, classes: 1, ..REFERENCE };
    let network = network_of(&case);
    let stream = device.stream()?;
    let mut drawn = 0;
    for (samples, chunk_samples) in [(1, 64), (1000, 64), (20_001, 5000), (9000, 7)] {
        let order = Order::new([9; 32], samples, chunk_samples, 7, 2);
        let parts = order.parts();
        let within: Vec<_> = parts.window_permutations.iter().map(Into::into).collect();
        let within = device.buffer_from(&within)?;
        let order_there = device.buffer_from(&[DrawOrder::shuffled(&parts, within.address(), samples, 0)])?;
        // Every sample is one empty frame. Its label is its number.
        let table: Vec<Sample> = (0..samples)
            .map(|i| Sample { first_frame: 0, first_entry: 0, frames: 1, label: i as u32, key: i })
            .collect();
        let (table, ends) = (device.buffer_from(&table)?, device.buffer_from(&[0_u8; 2])?);
        let columns = SampleColumns {
            frame_ends: ends.address(),
            cells: Address::null(),
            counts: Address::null(),
            samples: table.address(),
        };
        let source = BatchSource::new(columns, order_there.address());
        let extent = Extent { batch: BATCH, longest: 1, trains: false, kept: 0, batches: 0 };
        let mut on_device = GpuNetwork::new(program.clone(), &network, extent)?;
        on_device.load(&stream, &network, None)?;
        on_device.begin(&stream, 0, 0)?;
        let mut got = Vec::new();
        while got.len() < samples as usize {
            on_device.draw(&stream, source, Some(1))?;
            let here = BATCH.min(samples as usize - got.len());
            got.extend(on_device.drawn(here)?.iter().map(|sample| u64::from(sample.label)));
        }
        let expected = (0..order.windows()).map(|w| order.window(w)).flat_map(|window| {
            let at = |position| {
                let (slot, inside) = window.at(position);
                u64::from(window.chunks[slot]) * u64::from(chunk_samples) + inside as u64
            };
            window.positions.clone().map(at).collect::<Vec<_>>()
        });
        if !expected.eq(got.iter().copied()) {
            return Ok(Err(format!("{samples} samples in chunks of {chunk_samples} come in another order")));
        }
        drawn += samples;
    }
    Ok(Ok(format!("{drawn} samples drawn")))
}

/// Compares training steps with and without a CUDA graph. Also compares one parameter update on the GPU with Adam on
/// the CPU.
fn check_training(device: &Device) -> Result<Verdict> {
    let case = Case { lengths: &[70, 20, 64], steps: 70, ..REFERENCE };
    let (batch, network) = (batch_of(&case), network_of(&case));
    let column_types = case.column_types();
    let program = Arc::new(Program::new(device, column_types, MatmulPrecision::Highest)?);
    let stream = device.stream()?;
    let staged = StagedBatch::new(&stream, column_types, &batch, case.classes)?;
    let source = staged.source();
    let adam = Optimiser::new(OptimiserConfig::default(), network.parameters.flat().len());
    let extent = Extent { batch: batch.len(), longest: case.steps, trains: true, kept: 0, batches: 4 };
    let train = |recorded: bool, steps: usize| -> Result<(Vec<f32>, Parameters)> {
        let mut on_device = GpuNetwork::new(program.clone(), &network, extent)?;
        on_device.load(&stream, &network, Some(&adam))?;
        on_device.begin(&stream, 0, 0)?;
        let step = || on_device.step(&stream, source, Some(case.steps));
        if recorded {
            let graph = stream.capture(step)?;
            (0..steps).try_for_each(|_| stream.replay(&graph))?;
        } else {
            (0..steps).try_for_each(|_| step())?;
        }
        let mut gradients = Parameters::zeros(network.architecture().clone());
        on_device.read_gradients(&mut gradients)?;
        Ok((on_device.parameters()?, gradients))
    };
    let (eager, replayed) = (train(false, 4)?.0, train(true, 4)?.0);
    if eager != replayed {
        return Ok(Err("replayed steps come to other parameters".into()));
    }
    let (updated, gradients) = train(false, 1)?;
    let mut expected = network.parameters.clone();
    adam.clone().update(expected.flat_mut(), gradients.flat());
    let apart = relative_difference(&updated, expected.flat());
    let words = format!("parameters apart by {apart:.1e} after an update, 1e-7 allowed");
    Ok(if apart <= 1e-7 && eager.iter().all(|w| w.is_finite()) { Ok(words) } else { Err(words) })
}
