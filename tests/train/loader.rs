//! Tests of the loader: each sample once, in the order that the format defines, and an error for a damaged set.

use std::fs::OpenOptions;
use std::path::Path;
use std::sync::mpsc;
use std::time::Duration;

use tempfile::TempDir;
use tonic_toolkit::base::free_memory;
use tonic_toolkit::base::{BaseFault, Error as BaseError, Verbosity, human_bytes};
use tonic_toolkit::loader::{Batch, CacheChoice, EpochOrder, Loader, host_bytes};
use tonic_toolkit::shard::{Error, Manifest, Result, ShardSet, WINDOW_SAMPLES};

use crate::sets::{self, CHANNELS, Sample, Spec};

/// Makes sample number `i`, with up to three frames. The last frame has one cell, with the count `i` + 1.
fn numbered(i: u64) -> Sample {
    let mut frames = vec![vec![]; (i % 3) as usize];
    frames.push(vec![(i as u32 % CHANNELS, i as u32 + 1)]);
    Sample { frames, label: (i * 7 % 3) as u32 }
}

fn set_of(samples: u64, chunk_samples: u32) -> TempDir {
    let dir = tempfile::tempdir().unwrap();
    Spec::new(samples, chunk_samples).write(dir.path(), numbered);
    dir
}

fn loader(dir: &Path, choice: CacheChoice) -> Result<Loader> {
    Loader::new(ShardSet::open(dir)?, choice, Verbosity::Quiet)
}

fn batches(loader: &Loader, order: EpochOrder, batch_size: usize, first: u64) -> Vec<Batch> {
    let mut batches = Vec::new();
    let each = |batch: &Batch| {
        batches.push(batch.clone());
        Ok::<_, Error>(true)
    };
    loader.epoch(order, batch_size, first, each).unwrap();
    batches
}

/// Computes the indices of an epoch's samples without a loader, in the order that the format defines.
fn numbers(set: &ShardSet, order: EpochOrder) -> Vec<u64> {
    let EpochOrder::Shuffled { seed, epoch } = order else { return (0..set.len()).collect() };
    let order = set.order(seed, epoch);
    let chunk_samples = u64::from(set.manifest().description.chunk_samples);
    let mut numbers = Vec::new();
    for window in (0..order.windows()).map(|w| order.window(w)) {
        let place = |(slot, inside): (usize, usize)| u64::from(window.chunks[slot]) * chunk_samples + inside as u64;
        numbers.extend(window.positions.clone().map(|position| place(window.at(position))));
    }
    numbers
}

fn batch_of(numbers: &[u64], order: EpochOrder) -> Batch {
    let mut batch = Batch::new(sets::widths());
    for &number in numbers {
        let sample = numbered(number);
        sets::push(&mut batch.frames, &sample);
        batch.labels.push(sample.label);
        batch.keys.push(order.key(number));
    }
    batch
}

/// Runs `f` on a thread and returns its result. Panics if `f` takes more than a minute.
fn within_a_minute<T: Send + 'static>(f: impl FnOnce() -> T + Send + 'static) -> T {
    let (done, result) = mpsc::channel();
    std::thread::spawn(move || done.send(f()));
    result.recv_timeout(Duration::from_secs(60)).expect("an epoch hangs or panics")
}

/// Runs an epoch that fails. Returns the number of samples before the error, and the error.
fn failing_epoch(loader: Loader, order: EpochOrder) -> (usize, Error) {
    within_a_minute(move || {
        let mut samples = 0;
        let each = |batch: &Batch| {
            samples += batch.len();
            Ok(true)
        };
        let error = loader.epoch(order, 10, 0, each).unwrap_err();
        (samples, error)
    })
}

const ORDERS: [EpochOrder; 3] =
    [EpochOrder::Sequential, EpochOrder::Shuffled { seed: 0, epoch: 0 }, EpochOrder::Shuffled { seed: 5, epoch: 3 }];

#[test]
fn both_caches_give_the_orders_batches_wherever_the_borders_fall() {
    let w = u64::from(WINDOW_SAMPLES);
    let sizes: [(u64, u32); 13] = [
        (1, 1),
        (1, 4),
        (3, 1),
        (7, 8),
        (8, 8),
        (9, 8),
        (100, 7),
        (w - 1, 128),
        (w, 128),
        (w + 1, 128),
        (2 * w + 77, 1000),
        (w + 900, 5000),
        (w + 900, w as u32 + 800),
    ];
    for (samples, chunk_samples) in sizes {
        let dir = set_of(samples, chunk_samples);
        let [stream, host] = [CacheChoice::Stream, CacheChoice::Host].map(|c| loader(dir.path(), c).unwrap());
        for order in ORDERS {
            let numbers = numbers(stream.set(), order);
            let mut sorted = numbers.clone();
            sorted.sort_unstable();
            assert!(sorted.into_iter().eq(0..samples), "{samples} samples in chunks of {chunk_samples}, {order:?}");
            for batch_size in [if samples < 1000 { 1 } else { 333 }, 7, 128, samples as usize, samples as usize + 1] {
                let expected: Vec<Batch> = numbers.chunks(batch_size).map(|numbers| batch_of(numbers, order)).collect();
                for loader in [&stream, &host] {
                    let case = format!("{samples} samples, chunks of {chunk_samples}, batches of {batch_size}");
                    assert!(batches(loader, order, batch_size, 0) == expected, "{case}, {order:?}, {}", loader.why());
                    assert_eq!(loader.batches(batch_size), expected.len() as u64, "{case}");
                }
            }
        }
    }
}

#[test]
fn an_epoch_from_a_later_batch_is_the_tail_of_the_epoch() {
    for (samples, chunk_samples, batch_size) in [(50, 4, 8), (2 * 8192 + 500, 1000, 100)] {
        let dir = set_of(samples, chunk_samples);
        for choice in [CacheChoice::Stream, CacheChoice::Host] {
            let loader = loader(dir.path(), choice).unwrap();
            for order in ORDERS {
                let all = batches(&loader, order, batch_size, 0);
                let n = all.len();
                for first in [1, n / 2, n * 2 / 3, n - 1, n, n + 1] {
                    let tail = batches(&loader, order, batch_size, first as u64);
                    assert!(tail == all[first.min(n)..], "from {first} of {n}, {order:?}, {choice:?}");
                }
                assert!(batches(&loader, order, batch_size, u64::MAX).is_empty());
            }
        }
    }
}

#[test]
fn epochs_and_seeds_differ_and_repeat_themselves() {
    let dir = set_of(300, 8);
    let loader = loader(dir.path(), CacheChoice::Stream).unwrap();
    let epoch = |seed, epoch| batches(&loader, EpochOrder::Shuffled { seed, epoch }, 16, 0);
    assert!(epoch(1, 1) == epoch(1, 1));
    assert!(epoch(1, 1) != epoch(1, 2) && epoch(1, 1) != epoch(2, 1) && epoch(1, 2) != epoch(2, 1));
}

fn dense_batches(loader: &Loader, order: EpochOrder, batch_size: usize, steps: usize) -> Vec<(Vec<f32>, Vec<u32>)> {
    let mut batches = Vec::new();
    let each = |dense: &[f32], labels: &[u32]| {
        batches.push((dense.to_vec(), labels.to_vec()));
        Ok::<_, Error>(true)
    };
    loader.dense_epoch(order, batch_size, 0, steps, each).unwrap();
    batches
}

#[test]
fn dense_batches_are_the_samples_dense_frames() {
    // A small batch follows a large one; a window ends within a batch; samples have one to three frames.
    for (samples, chunk_samples, batch_size) in [(20, 6, 7), (WINDOW_SAMPLES as u64 + 900, 5000, 3000)] {
        let dir = set_of(samples, chunk_samples);
        for choice in [CacheChoice::Stream, CacheChoice::Host] {
            let loader = loader(dir.path(), choice).unwrap();
            for (order, steps) in ORDERS.into_iter().zip([2, 3, 5]) {
                let dense = |batch: Batch| {
                    let dense = batch.samples().into_iter().flat_map(|sample| {
                        let mut dense: Vec<f32> = sample.to_dense(sets::shape());
                        dense.resize(steps * CHANNELS as usize, 0.0);
                        dense
                    });
                    (dense.collect(), batch.labels)
                };
                let expected: Vec<(Vec<f32>, Vec<u32>)> =
                    batches(&loader, order, batch_size, 0).into_iter().map(dense).collect();
                assert!(dense_batches(&loader, order, batch_size, steps) == expected, "{order:?}, {choice:?}");
            }
        }
    }
}

#[test]
fn the_last_batch_is_dropped_if_asked_and_only_where_it_is_smaller() {
    for (samples, batch_size, left) in [(100, 7, 14), (98, 7, 14), (5, 5, 1), (5, 6, 0), (1, 1, 1), (1, 2, 0)] {
        let dir = set_of(samples, 8);
        for order in ORDERS {
            let [stream, host] = [CacheChoice::Stream, CacheChoice::Host].map(|choice| {
                let all = loader(dir.path(), choice).unwrap();
                let mut whole = batches(&all, order, batch_size, 0);
                whole.truncate(left);
                let loader = all.drop_last(true);
                let case = format!("{samples} in batches of {batch_size}, {order:?}, {choice:?}");
                assert_eq!(loader.batches(batch_size), left as u64, "{case}");
                let dropped = batches(&loader, order, batch_size, 0);
                assert!(dropped == whole && dropped.iter().all(|batch| batch.len() == batch_size), "{case}");
                assert_eq!(dense_batches(&loader, order, batch_size, 1).len(), left, "{case}");
                assert!(batches(&loader, order, batch_size, left as u64).is_empty(), "{case}");
                dropped
            });
            assert!(stream == host);
        }
    }
}

#[test]
fn samples_without_an_event_are_samples_like_others() {
    for full in [u64::MAX, 5] {
        let dir = tempfile::tempdir().unwrap();
        let sample = |i| if i == full { numbered(i) } else { Sample { frames: vec![vec![]], label: 1 } };
        Spec::new(30, 4).write(dir.path(), sample);
        let [stream, host] = [CacheChoice::Stream, CacheChoice::Host].map(|c| loader(dir.path(), c).unwrap());
        for order in ORDERS {
            let events = |batches: &[Batch]| -> Vec<u64> {
                batches.iter().flat_map(|b| b.samples().into_iter().map(|s| s.events()).collect::<Vec<_>>()).collect()
            };
            let batches = [&stream, &host].map(|loader| batches(loader, order, 8, 0));
            let mut expected = vec![0; 30];
            if let Some(place) = numbers(stream.set(), order).iter().position(|&i| i == full) {
                expected[place] = full + 1;
            }
            assert!(batches[0] == batches[1] && events(&batches[0]) == expected, "{order:?}");
        }
    }
}

#[test]
fn a_cell_outside_the_frame_is_an_error_and_its_chunk_is_named() {
    // The checksums fit the damaged bytes, so that only unpacking finds the fault.
    let dir = tempfile::tempdir().unwrap();
    let sample = |i| if i == 42 { Sample { frames: vec![vec![(CHANNELS, 1)]], label: 0 } } else { numbered(i) };
    Spec::new(100, 10).write(dir.path(), sample);
    let named = |error: Error| {
        let error = error.to_string();
        assert!(error.contains("chunk 4 (samples 40 to 49): cells") && error.contains("below 12"), "{error}");
    };
    for order in ORDERS {
        named(failing_epoch(loader(dir.path(), CacheChoice::Stream).unwrap(), order).1);
        let stream = loader(dir.path(), CacheChoice::Stream).unwrap();
        named(stream.dense_epoch(order, 7, 0, 3, |_, _| Ok(true)).unwrap_err());
    }
    named(loader(dir.path(), CacheChoice::Host).unwrap_err());
}

#[test]
fn a_cache_is_chosen_by_its_size_and_says_why() {
    let dir = set_of(1000, 64);
    let why = |choice| loader(dir.path(), choice).map(|l| (l.host_cache().is_some(), l.why().to_owned()));
    assert_eq!(why(CacheChoice::Stream).unwrap(), (false, "stream: as asked".into()));
    let (cached, reason) = why(CacheChoice::Host).unwrap();
    assert!(cached && reason.starts_with("host: ") && reason.ends_with("as asked"), "{reason}");
    let (cached, reason) = why(CacheChoice::Auto).unwrap();
    assert!(cached && reason.starts_with("host: its ") && reason.contains("fit into half of the "), "{reason}");
    let error = why(CacheChoice::Device).unwrap_err();
    assert!(matches!(&error, Error::Base(BaseError::Unavailable { what, .. }) if what == "cache device"), "{error}");
    let host = loader(dir.path(), CacheChoice::Host).unwrap();
    assert_eq!(host_bytes(host.set()), host.host_cache().unwrap().bytes() as u64);

    // The same set, with a manifest that claims more than fits into any memory.
    let mut manifest = Manifest::read(dir.path()).unwrap();
    for entries in [1 << 50, u64::MAX] {
        manifest.totals.entries = entries;
        manifest.publish(dir.path()).unwrap();
        let needed = host_bytes(&ShardSet::open(dir.path()).unwrap());
        assert!(needed >= entries && free_memory().is_some_and(|free| free < needed));
        // A chunk is damaged. The loader must refuse before it reads that chunk.
        sets::corrupt_chunk(dir.path(), 3);
        let error = why(CacheChoice::Host).unwrap_err();
        assert!(matches!(&error, Error::Base(BaseError::Usage { what, .. }) if what == "cache host"), "{error}");
        let text = error.to_string();
        assert!(text.contains(&human_bytes(needed)), "{text}");
        let (cached, reason) = why(CacheChoice::Auto).unwrap();
        assert!(!cached && reason.starts_with("stream: its ") && reason.contains("exceed half of the "), "{reason}");
    }
}

#[test]
fn a_damaged_chunk_ends_the_epoch_and_is_named() {
    // A window has 8 chunks, so chunk 13 is in the second of three windows.
    let dir = set_of(17_000, 1000);
    for order in ORDERS {
        let open = loader(dir.path(), CacheChoice::Stream).unwrap();
        let shard = sets::corrupt_chunk(dir.path(), 13);
        let late = loader(dir.path(), CacheChoice::Stream).unwrap();
        for loader in [open, late] {
            let (samples, error) = failing_epoch(loader, order);
            let Error::Base(BaseError::Corrupt { path, place, .. }) = &error else { panic!("{error}") };
            assert!(*path == shard && place.starts_with("chunk 13 (samples 13000 to 13999)"), "{error}");
            assert!(order != EpochOrder::Sequential || (1..13_000).contains(&samples), "{samples} samples before it");
        }
        let error = loader(dir.path(), CacheChoice::Host).unwrap_err();
        assert!(error.to_string().contains("chunk 13 (samples 13000 to 13999)"), "{error}");
        sets::corrupt_chunk(dir.path(), 13); // Flips the same bit again, which restores the chunk.
    }
    assert_eq!(batches(&loader(dir.path(), CacheChoice::Host).unwrap(), ORDERS[0], 1000, 0).len(), 17);
}

#[test]
fn a_shard_cut_short_while_it_is_mapped_is_an_error_and_no_signal() {
    let dir = set_of(100, 10);
    for choice in [CacheChoice::Stream, CacheChoice::Host] {
        let set = ShardSet::open(dir.path()).unwrap();
        let path = set.shards()[1].path().to_owned();
        let bytes = std::fs::read(&path).unwrap();
        let cut = |length| OpenOptions::new().write(true).open(&path).unwrap().set_len(length).unwrap();
        let error = if choice == CacheChoice::Stream {
            let loader = Loader::new(set, choice, Verbosity::Quiet).unwrap();
            cut(bytes.len() as u64 / 2);
            failing_epoch(loader, ORDERS[0]).1
        } else {
            cut(0);
            Loader::new(set, choice, Verbosity::Quiet).unwrap_err()
        };
        let named = matches!(&error, Error::Base(BaseError::Corrupt { path: at, place, .. }) if *at == path && place.starts_with("file length"));
        assert!(named, "{error}");
        std::fs::write(&path, bytes).unwrap();
    }
}

#[test]
fn an_epoch_ends_when_its_batches_are_no_longer_wanted() {
    let dir = set_of(17_000, 1000);
    sets::corrupt_chunk(dir.path(), 16);
    let stop = |error: bool| {
        let loader = loader(dir.path(), CacheChoice::Stream).unwrap();
        within_a_minute(move || {
            let mut calls = 0;
            let result = loader.epoch(EpochOrder::Sequential, 100, 0, |_| {
                calls += 1;
                if error && calls == 3 { Err(Error::usage("batch", "no more", calls)) } else { Ok(calls < 3) }
            });
            (calls, result)
        })
    };
    // No error, although the last window has a damaged chunk: the epoch ended before it.
    let (calls, result) = stop(false);
    assert!(calls == 3 && result.is_ok(), "{result:?}");
    let (calls, result) = stop(true);
    assert!(calls == 3 && matches!(result, Err(Error::Base(BaseError::Usage { .. }))), "{result:?}");
}

/// Makes a command that may lock only 4 KiB of memory, even if it runs as root.
fn fit_with_little_to_lock(dir: &Path, others: &str) -> assert_cmd::Command {
    let drop_right =
        "command -v setpriv >/dev/null && [ $(id -u) = 0 ] && set -- setpriv --bounding-set=-ipc_lock \"$@\"";
    let mut command = assert_cmd::Command::new("sh");
    command.arg("-c").arg(format!("ulimit -l 4; {drop_right}; exec \"$@\"")).arg("sh");
    command.arg(env!("CARGO_BIN_EXE_tonic-train")).args(sets::fit_arguments(dir, "run", others));
    command.timeout(Duration::from_secs(120));
    command
}

#[test]
fn pinned_pages_are_told_and_a_limit_that_forbids_them_is_explained() {
    let dir = sets::task();
    let size = human_bytes(ShardSet::open(&dir.path().join("train")).unwrap().stored_bytes());
    let words = ["--pin is not available", "limit on locked memory is 4.1 kB", "ulimit -l", "go without", &size];
    let stderr = sets::fails(&mut fit_with_little_to_lock(dir.path(), "--pin --cache stream"), 2, &words);
    assert!(!stderr.contains("epoch 1"), "{stderr}");
    let told = sets::succeeds(&mut fit_with_little_to_lock(dir.path(), "--pin --cache host"));
    assert!(told.contains("pin      train  nothing"), "{told}");
    let told = sets::succeeds(&mut sets::fit(dir.path(), "pinned", "--pin --cache stream --epochs 1"));
    assert!(told.contains(&format!("pin      train  {size} of shards stay in memory")), "{told}");
    assert!(told.contains("cache    train  stream: as asked"), "{told}");
}

#[test]
fn a_fit_that_drops_the_last_batch_is_the_same_from_every_cache_and_says_so_in_its_configuration() {
    let dir = sets::task();
    let run = |name: &str, others: &str| {
        sets::succeeds(&mut sets::fit(dir.path(), name, &format!("--batch-size 50 {others}")));
        let read = |file: &str| std::fs::read_to_string(dir.path().join(name).join(file)).unwrap();
        let batches = read("metrics.jsonl").lines().count();
        (read("config.toml"), batches, std::fs::read(dir.path().join(name).join("model.safetensors")).unwrap())
    };
    let (stream, host) = (run("a", "--drop-last --cache stream"), run("b", "--drop-last --cache host"));
    let whole = run("c", "--cache host");
    assert!(stream == host && stream.2 != whole.2);
    assert!(stream.0.contains("drop_last = true") && whole.0.contains("drop_last = false"));
    // A run of an earlier version has no `drop_last` and no sums. Such a run continues with all its samples.
    let config = dir.path().join("c/config.toml");
    std::fs::write(&config, whole.0.replace("drop_last = false\n", "")).unwrap();
    std::fs::remove_file(dir.path().join("c/sums.json")).unwrap();
    let resume = |others: &str| sets::fit(dir.path(), "c", &format!("--batch-size 50 --cache host --resume {others}"));
    sets::succeeds(&mut resume("--epochs 3"));
    sets::fails(&mut resume("--epochs 4 --drop-last"), 4, &["drop_last", "differs"]);
    let error = ["--drop-last", "at least a batch, 121 samples", "120"];
    sets::fails(&mut sets::fit(dir.path(), "d", "--batch-size 121 --drop-last"), 2, &error);
}
