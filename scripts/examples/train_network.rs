//! Trains a network on the CPU from a shard set and writes the model. The training loop is written out here.
//!
//! ```sh
//! cargo run --release --features train --example train_network -- demo/synth/train demo/synth/test model.safetensors
//! ```
//!
//! `tonic-train fit` also trains, but can use a GPU, and writes checkpoints, metrics and pictures.

use std::path::Path;

use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use tonic_toolkit::base::Verbosity;
use tonic_toolkit::loader::{CacheChoice, EpochOrder, Loader};
use tonic_toolkit::shard::ShardSet;
use tonic_toolkit::train::engine::{CpuEngine, Engine};
use tonic_toolkit::train::network::{Iaf, Model, Network, Parameters, Shape, write_model};
use tonic_toolkit::train::{Optimiser, OptimiserConfig};

const BATCH: usize = 128;
const EPOCHS: u64 = 8;
const SEED: u64 = 0;

fn main() -> anyhow::Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [train, test, model] = &arguments[..] else { anyhow::bail!("expected TRAIN TEST MODEL.safetensors") };
    let open = |dir: &str| -> anyhow::Result<Loader> {
        Ok(Loader::new(ShardSet::open(Path::new(dir))?, CacheChoice::Auto, Verbosity::Normal)?)
    };
    let (train, test) = (open(train)?, open(test)?);
    // Sets of different recipes, shapes or classes are refused.
    test.set().manifest().check_compatible(test.set().dir(), train.set().manifest(), train.set().dir())?;

    let manifest = train.set().manifest();
    let shape = Shape {
        inputs: manifest.description.shape.cells() as usize,
        hidden: vec![128; 3],
        classes: manifest.description.classes.len(),
    };
    // Every sample runs for the same number of steps, so that its result doesn't depend on its batch.
    let steps = manifest.totals.max_frames as usize;
    let mut network = Network::new(shape.iaf(Iaf::default()), &mut ChaCha8Rng::seed_from_u64(SEED));
    let mut gradients = Parameters::zeros(network.architecture().clone());
    let mut adam = Optimiser::new(OptimiserConfig::default(), gradients.flat().len());
    let mut engine = CpuEngine::new(&network);

    for epoch in 0..EPOCHS {
        let mut sum = 0.0;
        let order = EpochOrder::Shuffled { seed: SEED, epoch };
        train.epoch(order, BATCH, 0, |batch| -> anyhow::Result<bool> {
            let step = engine.step(&network, batch, steps, &mut gradients)?;
            adam.update(network.parameters.flat_mut(), gradients.flat());
            sum += step.loss * batch.len() as f64;
            Ok(true) // false would end the epoch
        })?;
        println!("epoch {:>2}  training loss {:.4}", epoch + 1, sum / train.set().len() as f64);
    }

    let mut correct = 0;
    test.epoch(EpochOrder::Sequential, BATCH, 0, |batch| -> anyhow::Result<bool> {
        correct += engine.evaluate(&network, batch, steps)?.correct;
        Ok(true)
    })?;
    println!("test accuracy {:.1}%", correct as f64 * 100.0 / test.set().len() as f64);

    let classes = manifest.description.classes.clone();
    write_model(Path::new(model), &Model { network, classes, steps })?;
    Ok(())
}
