//! Runs numbered tasks on several threads, and takes their results in the order of the numbers ([`in_order`]).

use std::collections::BTreeMap;
use std::ops::Range;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicU64, Ordering};

use crossbeam_channel::unbounded;

use crate::error::Error;
use crate::interrupt;

/// Calls `make` for every number in `numbers`, on worker threads. Calls `take` with each result, on the calling thread
/// and in the order of the numbers. Each worker thread first calls `fresh`, which makes a state for the thread's calls
/// of `make`.
///
/// # Errors
/// - The first error of `make` or `take` in the order of the numbers, or an error of `fresh`.
/// - [`Error::Interrupted`] with the text `saved` after Ctrl-C or another signal to stop.
/// - [`Error::WorkerLost`] if `fresh` or `make` panicked.
pub fn in_order<S, T: Send, E: From<Error> + Send>(
    numbers: Range<u64>,
    threads: usize,
    saved: &str,
    fresh: impl Fn() -> Result<S, E> + Sync,
    make: impl Fn(&mut S, u64) -> Result<T, E> + Sync,
    mut take: impl FnMut(T) -> Result<(), E>,
) -> Result<(), E> {
    let (ask, asked) = unbounded::<u64>();
    let (out, made) = unbounded();
    std::thread::scope(|scope| {
        // Move `ask` and `made` into this scope, so that an early return drops them. That ends the threads.
        let (ask, made) = (ask, made);
        for _ in 0..threads.max(1) {
            let (asked, out, fresh, make) = (asked.clone(), out.clone(), &fresh, &make);
            scope.spawn(move || {
                // If `fresh` panics, the message is already printed. Send an error too, or the receiver would wait
                // forever.
                let mut state = match outcome(fresh) {
                    Ok(state) => state,
                    Err(error) => {
                        // The error takes the place of the first number that this thread receives.
                        let _ = asked.recv().map(|number| out.send((number, Err(error))));
                        return;
                    }
                };
                for number in asked {
                    if out.send((number, outcome(|| make(&mut state, number)))).is_err() {
                        return;
                    }
                }
            });
        }
        drop((asked, out));
        let mut next = numbers.clone();
        let mut ask_next = || {
            if let Some(number) = next.next() {
                let _ = ask.send(number); // a thread that has ended is noticed below, where its result is missing
            }
        };
        (0..threads.max(1) * 2 + 2).for_each(|_| ask_next());
        let mut waiting = BTreeMap::new();
        for number in numbers {
            let value = loop {
                if let Some(value) = waiting.remove(&number) {
                    break value;
                }
                let Ok((n, value)) = made.recv() else {
                    return Err(LOST.into());
                };
                waiting.insert(n, value);
            };
            interrupt::check(saved)?;
            take(value?)?;
            ask_next();
        }
        Ok(())
    })
}

const LOST: Error = Error::WorkerLost { doing: "work on chunks" };

fn outcome<T, E: From<Error>>(work: impl FnOnce() -> Result<T, E>) -> Result<T, E> {
    catch_unwind(AssertUnwindSafe(work)).unwrap_or_else(|_| Err(LOST.into()))
}

/// Calls `add` once for every number below `count`, on all cores. Each thread first calls `fresh`, which makes a state
/// for the thread's calls of `add`. Returns the states of all threads, in no particular order.
///
/// # Errors
/// The error of `add`. If several calls fail, the error for the lowest number.
pub fn gather<S: Send, E: Send>(
    count: u64,
    fresh: impl Fn() -> S + Sync,
    add: impl Fn(&mut S, u64) -> Result<(), E> + Sync,
) -> Result<Vec<S>, E> {
    let next = AtomicU64::new(0);
    let states = rayon::broadcast(|_| {
        let mut state = fresh();
        loop {
            let number = next.fetch_add(1, Ordering::Relaxed);
            if number >= count {
                return (None, state);
            }
            if let Err(fault) = add(&mut state, number) {
                next.fetch_max(count, Ordering::Relaxed);
                return (Some((number, fault)), state);
            }
        }
    });
    let (faults, states): (Vec<_>, Vec<S>) = states.into_iter().unzip();
    match faults.into_iter().flatten().min_by_key(|(number, _): &(u64, E)| *number) {
        None => Ok(states),
        Some((_, fault)) => Err(fault),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panic_is_an_error_in_its_place() {
        let make = |(): &mut (), number: u64| if number == 5 { panic!("made to") } else { Ok::<_, Error>(number) };
        let mut taken = Vec::new();
        let came = in_order(
            0..900,
            2,
            "nothing",
            || Ok(()),
            make,
            |number| {
                taken.push(number);
                Ok(())
            },
        );
        assert!(matches!(came, Err(Error::WorkerLost { .. })), "{came:?}");
        assert_eq!(taken, [0, 1, 2, 3, 4]);
        let came = in_order::<(), _, Error>(0..9, 2, "nothing", || panic!("made to"), |(), n| Ok(n), |_| Ok(()));
        assert!(matches!(came, Err(Error::WorkerLost { .. })), "{came:?}");
    }
}
