//! Messages between ranks over MPI. This file is the only one that uses MPI.
//!
//! The function [`fold`] sends with two tags: `FORWARD` from each rank to the next rank, `BACK` from each rank to the
//! rank before. Every wait polls and has a time limit, because a wait inside MPI never ends if another process hangs.

use std::ops::Range;
use std::sync::Mutex;
use std::sync::PoisonError;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use mpi::environment::{Universe, processor_name};
use mpi::point_to_point::{Destination, Source};
use mpi::request::{Request, Scope, scope};
use mpi::topology::{Communicator, SimpleCommunicator};
use mpi::{Tag, Threading};
use tonic_base::{interrupt, say};

use crate::place::{Number, Place, Silence, Traffic};

const FORWARD: Tag = 1;
const BACK: Tag = 2;
/// Asks whether a rank still answers.
const PING: Tag = 3;
const PONG: Tag = 4;
/// Says that a rank reports an error and ends all ranks.
const END: Tag = 5;

/// Number of polls before a wait lets other threads run.
const SPINS: u32 = 2000;
/// After this time, a wait sleeps between two polls.
const SHORT: Duration = Duration::from_millis(2);
const NAP: Duration = Duration::from_micros(50);
/// How long a rank waits for answers to [`PING`].
const ANSWERS: Duration = Duration::from_millis(500);

/// Longest time between two polls that counts as waiting. During a longer one this process was suspended, as a
/// scheduler suspends a job, and could not have seen an answer.
const STEP: Duration = Duration::from_millis(50);

/// How long a rank with an error waits for the errors of smaller ranks.
const TURN: Duration = Duration::from_secs(1);
/// How long a rank waits for another rank to end it, before it ends all ranks itself.
const GRACE: Duration = Duration::from_secs(10);

static UNIVERSE: Mutex<Option<Universe>> = Mutex::new(None);
static SENT: AtomicU64 = AtomicU64::new(0);
static WAITED: AtomicU64 = AtomicU64::new(0);

/// Joins the processes that the launcher started. From now on, they stop together. Returns the number of this process
/// and the number of processes.
pub(crate) fn join() -> (usize, usize) {
    // `Multiple`, because any thread can call `abort`. Other threads than the main thread make no other calls.
    let (universe, _) = mpi::initialize_with_threading(Threading::Multiple).expect("MPI was not initialised before");
    let world = universe.world();
    let (rank, size) = (world.rank() as usize, world.size() as usize);
    *UNIVERSE.lock().unwrap_or_else(PoisonError::into_inner) = Some(universe);
    interrupt::hold(rank == 0);
    let before = std::panic::take_hook();
    // Without this hook, the other ranks would wait for messages from this rank, and this rank would wait for the other
    // ranks when MPI shuts down.
    std::panic::set_hook(Box::new(move |info| {
        say(&format!("rank {rank} of {size} panics, which ends all ranks:"));
        before(info);
        abort(PANICKED);
    }));
    (rank, size)
}

/// Exit code of a Rust program that panicked.
const PANICKED: u8 = 101;
/// Exit code of a rank that another rank should have ended.
const FAILED: u8 = 1;

pub(crate) fn leave() {
    drop(UNIVERSE.lock().unwrap_or_else(PoisonError::into_inner).take());
}

pub(crate) fn abort(code: u8) -> ! {
    SimpleCommunicator::world().abort(code.into())
}

/// Ends all ranks. If several ranks call this function at about the same time, only the smallest rank calls
/// `report`.
pub(crate) fn end_all(place: &Place, report: impl FnOnce() -> u8) -> ! {
    tell_end(place.rank + 1..place.size);
    let mut watch = Watch::start();
    while place.rank > 0 && watch.waited() < TURN {
        let_end();
        std::thread::sleep(NAP);
    }
    abort(report())
}

/// Tells other ranks that this rank reports an error and ends all ranks.
fn tell_end(ranks: impl IntoIterator<Item = usize>) {
    let world = SimpleCommunicator::world();
    ranks.into_iter().for_each(|rank| world.process_at_rank(rank as i32).send_with_tag(&0_u8, END));
}

/// If another rank reports an error, waits so that it can end this rank.
fn let_end() {
    if let Some(told) = SimpleCommunicator::world().any_process().immediate_probe_with_tag(END) {
        std::thread::sleep(GRACE);
        say(&format!("rank {} reported an error, but did not end the others", told.source_rank()));
        abort(FAILED);
    }
}

pub(crate) fn machine() -> String {
    processor_name().unwrap_or_default()
}

pub(crate) fn traffic() -> Traffic {
    let waited = Duration::from_nanos(WAITED.load(Ordering::Relaxed));
    Traffic { sent: SENT.load(Ordering::Relaxed), waited }
}

/// See [`Ranks::fold`](crate::Ranks::fold). Segments have `segment` values.
pub(crate) fn fold<T: Number>(
    place: &Place,
    values: &mut [T],
    segment: usize,
    mut own: impl FnMut(Range<usize>, &mut [T]),
) {
    let (rank, last) = (place.rank, place.size - 1);
    let parts = values.chunks_mut(segment);
    scope(|scope| {
        let mut sends = Vec::with_capacity(parts.len());
        for (i, part) in parts.enumerate() {
            if rank > 0 {
                receive(place, rank - 1, part, FORWARD);
            }
            own(i * segment..i * segment + part.len(), part);
            let (to, tag) = if rank < last { (rank + 1, FORWARD) } else { (rank - 1, BACK) };
            sends.push(send(scope, to, part, tag));
        }
        sends.into_iter().for_each(|send| wait(place, send));
    });
    if rank == last {
        return;
    }
    let parts = values.chunks_mut(segment);
    scope(|scope| {
        let mut sends = Vec::with_capacity(parts.len());
        for part in parts {
            receive(place, rank + 1, part, BACK);
            if rank > 0 {
                sends.push(send(scope, rank - 1, part, BACK));
            }
        }
        sends.into_iter().for_each(|send| wait(place, send));
    });
}

fn send<'a, S: Scope<'a>, T: Number>(scope: S, to: usize, part: &'a [T], tag: Tag) -> Request<'a, [T], S> {
    SENT.fetch_add(size_of_val(part) as u64, Ordering::Relaxed);
    SimpleCommunicator::world().process_at_rank(to as i32).immediate_send_with_tag(scope, part, tag)
}

fn receive<T: Number>(place: &Place, from: usize, part: &mut [T], tag: Tag) {
    scope(|scope| {
        let world = SimpleCommunicator::world();
        wait(place, world.process_at_rank(from as i32).immediate_receive_into_with_tag(scope, part, tag));
    });
}

/// Waits until a message is sent or received.
fn wait<'a, D: ?Sized, S: Scope<'a>>(place: &Place, mut request: Request<'a, D, S>) {
    let mut watch = None;
    let mut polls = 0;
    let mut is_second = false;
    while let Err(pending) = request.test() {
        request = pending;
        let watch = watch.get_or_insert_with(Watch::start);
        polls += 1;
        if polls < SPINS {
            std::hint::spin_loop();
            continue;
        }
        let waited = watch.waited();
        if waited < SHORT {
            std::thread::yield_now();
            continue;
        }
        std::thread::sleep(NAP);
        answer();
        if waited > place.patience {
            let answers = ask(place);
            if is_second || answers.contains(&false) {
                give_up(place, answers, waited);
            }
            // All ranks run, so one of them may only have been slow.
            is_second = true;
            watch.waited = Duration::ZERO;
        }
    }
    if let Some(watch) = watch {
        WAITED.fetch_add(watch.start.elapsed().as_nanos() as u64, Ordering::Relaxed);
    }
}

/// Measures how long this process has waited, without the times in which it was suspended.
struct Watch {
    start: Instant,
    last: Instant,
    waited: Duration,
}

impl Watch {
    fn start() -> Watch {
        let start = Instant::now();
        Watch { start, last: start, waited: Duration::ZERO }
    }

    /// Of the time between two calls, at most [`STEP`] counts.
    fn waited(&mut self) -> Duration {
        let now = Instant::now();
        self.waited += (now - self.last).min(STEP);
        self.last = now;
        self.waited
    }
}

/// Answers the ranks that ask whether this rank still runs. If another rank reports an error, waits until that rank
/// ends this one.
fn answer() {
    let_end();
    let world = SimpleCommunicator::world();
    while let Some(asked) = world.any_process().immediate_probe_with_tag(PING) {
        let asker = world.process_at_rank(asked.source_rank());
        let _: (u8, _) = asker.receive_with_tag(PING);
        asker.send_with_tag(&0_u8, PONG);
    }
}

/// Asks all other ranks whether they still answer. Returns the answers: true for each rank that does, and for this one.
fn ask(place: &Place) -> Vec<bool> {
    let world = SimpleCommunicator::world();
    listen(&mut vec![false; place.size], Duration::ZERO); // late answers to the question before
    for rank in others(place) {
        world.process_at_rank(rank as i32).send_with_tag(&0_u8, PING);
    }
    let mut answers: Vec<bool> = (0..place.size).map(|rank| rank == place.rank).collect();
    listen(&mut answers, ANSWERS);
    answers
}

/// Answers other ranks for some time. Sets the answers of the ranks that answer this one.
fn listen(answers: &mut [bool], time: Duration) {
    let world = SimpleCommunicator::world();
    let (mut watch, mut is_over) = (Watch::start(), false);
    while !is_over {
        is_over = watch.waited() >= time; // then look once more
        answer();
        while let Some(of) = world.any_process().immediate_probe_with_tag(PONG) {
            let _: (u8, _) = world.process_at_rank(of.source_rank()).receive_with_tag(PONG);
            answers[of.source_rank() as usize] = true;
        }
        std::thread::sleep(NAP);
    }
}

fn others(place: &Place) -> impl Iterator<Item = usize> + use<> {
    let Place { rank: own, size, .. } = *place;
    (0..size).filter(move |&rank| rank != own)
}

/// Reports the ranks that don't answer, if this is the smallest rank that does. Ends all ranks.
fn give_up(place: &Place, mut answers: Vec<bool>, waited: Duration) -> ! {
    if answers[..place.rank].contains(&true) {
        listen(&mut answers, 4 * ANSWERS); // until that rank has ended this one
    }
    let silent = others(place).filter(|&rank| !answers[rank]).collect();
    tell_end(others(place)); // a rank that is suspended reads this when it goes on
    abort((place.report)(&Silence { ranks: silent, size: place.size, waited }))
}
