//! Recognises stray events and the events of a second clock. In both cases, the times jump far away from all other
//! times, and return.

use crate::source::times::clock::bounds::{FEW, MINUTE, ORDERED, PAUSE};

/// Maximum number of clusters that are kept. If there are more, clusters that are near each other are joined.
const MOST: usize = 1 << 12;
/// If the times step back across a short hole (a range without times) at least this often, there are stray events or
/// a second clock. A short hole lasts at most a minute, and at most ten times as long as the largest cluster.
const OFTEN: i64 = 8;

/// The times of a recording, grouped into clusters. Between the clusters are long holes (ranges without times).
#[derive(Clone, Debug)]
pub(crate) struct Clusters {
    /// The clusters in ascending order of time.
    all: Vec<Cluster>,
    /// Index of the cluster of the last event.
    last: usize,
    /// Clusters with at most this many microseconds between them are joined.
    apart: i64,
    /// Time of the first and of the last event, in microseconds.
    ends: (i64, i64),
    /// For each step back from one cluster to another, the index of the event after the step. Only for the first
    /// [`ORDERED`]^2 of these steps.
    returns: Vec<u64>,
}

/// Events whose times are near each other. Times are in microseconds.
#[derive(Clone, Copy, Debug)]
struct Cluster {
    low: i64,
    high: i64,
    events: u64,
    /// Index of the cluster's first event.
    first: u64,
    /// Time of the last event that was added.
    latest: i64,
    /// Number of events with a lower time than the previous event of the cluster.
    backward: u64,
    /// Number of steps back in time that begin in this cluster, minus the number of those that end in it. The sum over
    /// all clusters above a hole, which is a range without times, is the number of steps back across the hole.
    falls: i64,
}

/// Events whose times are far from those of most events: stray events, or the events of other clocks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Scatter {
    /// Lowest time and highest time of each clock in microseconds, and its number of events. The clock with the most
    /// events comes first. It is the only one if all other events are stray.
    pub clocks: Vec<(i64, i64, u64)>,
    /// Number of events that do not belong to the clock with the most events.
    pub others: u64,
    /// Index of the first event that does not belong to the clock with the most events.
    pub at: u64,
    /// Length in microseconds of a hole (a range without times) before or after the times of the clock with the most
    /// events. If there are holes on both sides, the length of the shorter one.
    pub hole: i64,
    /// Indices of some of the events at which the times step back across a hole.
    pub returns: Vec<u64>,
}

impl Default for Clusters {
    fn default() -> Clusters {
        Clusters { all: Vec::new(), last: 0, apart: PAUSE / 2, ends: (0, 0), returns: Vec::new() }
    }
}

impl Clusters {
    /// Adds event `at`. `time` is in microseconds.
    pub(crate) fn see(&mut self, at: u64, time: i64) {
        if at == 0 {
            self.ends.0 = time;
        }
        let before = std::mem::replace(&mut self.ends.1, time);
        match self.all.get_mut(self.last) {
            Some(cluster) if (cluster.low..=cluster.high).contains(&time) => cluster.add(time, 1),
            _ => self.place(at, before, time),
        }
    }

    /// Adds `events` events in order of time to the cluster of the last event. `time` is the time of the last added
    /// event, in microseconds.
    pub(crate) fn extend_to(&mut self, time: i64, events: u64) {
        let Some(cluster) = self.all.get_mut(self.last) else { return };
        cluster.add(time, events);
        self.ends.1 = time;
        self.join_neighbours(time);
    }

    /// Adds event `at`, whose time `time` is outside the cluster of the last event. The last event has the time
    /// `before`.
    fn place(&mut self, at: u64, before: i64, time: i64) {
        let from = self.all.get(self.last).copied();
        let i = self.all.partition_point(|cluster| cluster.high.saturating_add(self.apart) < time);
        match self.all.get_mut(i).filter(|cluster| cluster.low.saturating_sub(self.apart) <= time) {
            Some(cluster) => cluster.add(time, 1),
            None => {
                let new = Cluster { low: time, high: time, events: 1, first: at, latest: time, backward: 0, falls: 0 };
                self.all.insert(i, new);
            }
        }
        if from.is_some_and(|from| time < from.low.saturating_sub(self.apart)) {
            self.all[i].falls -= 1;
            let from = self.index(before);
            self.all[from].falls += 1;
            if (self.returns.len() as u64) < ORDERED * ORDERED {
                self.returns.push(at);
            }
        }
        self.last = i;
        self.join_neighbours(time);
        while self.all.len() > MOST {
            self.join(self.apart.saturating_mul(2));
            self.last = self.index(time);
        }
    }

    /// Returns the index of the cluster that has this time.
    fn index(&self, time: i64) -> usize {
        self.all.partition_point(|cluster| cluster.high < time)
    }

    /// Joins the cluster of the last event with the neighbouring clusters that are near it. `time` is the time of this
    /// event.
    fn join_neighbours(&mut self, time: i64) {
        let near = |pair: &[Cluster]| pair[1].low.saturating_sub(pair[0].high) <= self.apart;
        let around = self.last.saturating_sub(1)..(self.last + 2).min(self.all.len());
        if self.all[around].windows(2).any(near) {
            self.join(self.apart);
            self.last = self.index(time);
        }
    }

    /// Joins clusters with at most `apart` microseconds between them.
    fn join(&mut self, apart: i64) {
        self.apart = apart;
        self.all.dedup_by(|next, cluster| {
            let near = next.low.saturating_sub(cluster.high) <= apart;
            if near {
                cluster.high = next.high;
                cluster.events += next.events;
                cluster.first = cluster.first.min(next.first);
                cluster.latest = next.latest;
                cluster.backward += next.backward;
                cluster.falls += next.falls;
            }
            near
        });
    }

    /// Returns the index of the cluster with the most events. If several have the most, returns the first.
    fn largest(&self) -> Option<usize> {
        (0..self.all.len()).rev().max_by_key(|&i| self.all[i].events)
    }

    /// Returns the stray events of the recording, or the events of other clocks. Call this function after all events
    /// were added. `None` if there are no such events, if they are too few, or if they are too near to be certain.
    pub(crate) fn scatter(mut self) -> Option<Scatter> {
        let main = loop {
            let (main, clusters) = (self.all[self.largest()?], self.all.len());
            let hole = (main.span() / 8).clamp(PAUSE, MINUTE).max(main.mean().saturating_mul(100));
            self.join(hole.max(self.apart));
            if self.all.len() == clusters {
                break main;
            }
        };
        let seen: u64 = self.all.iter().map(|cluster| cluster.events).sum();
        let (few, others) = (seen < FEW, seen - main.events);
        let enough = (seen / 4).min(FEW.max(seen / 16)).max(2 * ORDERED);
        if others == 0 || main.events < enough || main.backward * ORDERED > main.events {
            return None;
        }
        let holes = self.all.windows(2).map(|pair| pair[1].low.saturating_sub(pair[0].high));
        // Steps back across a hole begin above it and end below it.
        let backs = (1..self.all.len()).map(|i| self.all[i..].iter().map(|cluster| cluster.falls).sum());
        // Whether the recording begins with stray events. If it does, a single step back across a hole is enough if
        // the times also jump ahead across the hole.
        let (first, last) = (self.index(self.ends.0), self.index(self.ends.1));
        let stray_start = !main.has(self.ends.0) && others <= seen / 8;
        let certain = |(i, (hole, backs)): (usize, (i64, i64))| {
            let far = hole > MINUTE || (!few && hole > main.span().saturating_mul(10));
            let returned = backs == 1 && stray_start && (first <= i || last > i);
            (far && (backs > 1 || returned)) || (!few && backs >= OFTEN)
        };
        if !holes.zip(backs).enumerate().any(certain) {
            return None;
        }
        let beside = self.all.windows(2).filter(|pair| pair.iter().any(|cluster| cluster.first == main.first));
        let hole = beside.map(|pair| pair[1].low.saturating_sub(pair[0].high)).min()?;
        let at = self.all.iter().filter(|cluster| cluster.first != main.first).map(|cluster| cluster.first).min()?;
        let mut clocks: Vec<(i64, i64, u64)> = self.all.iter().map(|c| (c.low, c.high, c.events)).collect();
        clocks.sort_by_key(|(_, _, events)| std::cmp::Reverse(*events));
        clocks.retain(|(_, _, events)| *events == main.events || (4 * events >= seen));
        Some(Scatter { clocks, others, at, hole, returns: self.returns })
    }
}

impl Cluster {
    /// Adds `events` events in order of time. `time` is the time of the last one.
    fn add(&mut self, time: i64, events: u64) {
        self.backward += u64::from(time < self.latest);
        (self.low, self.high, self.latest) = (self.low.min(time), self.high.max(time), time);
        self.events += events;
    }

    fn has(&self, time: i64) -> bool {
        (self.low..=self.high).contains(&time)
    }

    fn span(&self) -> i64 {
        self.high.saturating_sub(self.low)
    }

    /// Returns the mean time between the events of the cluster.
    fn mean(&self) -> i64 {
        self.span() / self.events as i64
    }
}
