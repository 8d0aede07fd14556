//! Tests of recordings with stray events, or with the events of two clocks.

use super::camera::Camera;
use super::clocks::{converted, refused, usual};
use super::recording::{Recording, Times, convert, fails, samples, says, scratch};

const HOUR: i64 = 3_600_000_000;

/// Returns the numbers that follow the occurrences of `word` in `text`.
fn after(text: &str, word: &str) -> Vec<i64> {
    let digits = |rest: &str| rest.split(|c: char| !c.is_ascii_digit() && c != '-').next().unwrap().parse().unwrap();
    text.split(word).skip(1).map(digits).collect()
}

/// Returns some events of `camera`. `keep` gets the index of an event and returns whether the event is kept.
fn kept(camera: &Camera, keep: impl Fn(usize) -> bool) -> Camera {
    let places: Vec<usize> = (0..camera.t.len()).filter(|&i| keep(i)).collect();
    let pick = |column: &[u16]| places.iter().map(|&i| column[i]).collect();
    Camera {
        t: places.iter().map(|&i| camera.t[i]).collect(),
        x: pick(&camera.x),
        y: pick(&camera.y),
        p: places.iter().map(|&i| camera.p[i]).collect(),
    }
}

#[test]
fn one_mask_removes_all_strays_and_only_these() {
    let dir = scratch();
    let path = |name: &str| dir.join(name);
    let every = |n: usize| (1..5_000).step_by(n).collect::<Vec<usize>>();
    // Each case: where the clock begins, the stray events, how far away their times are, and words of the error.
    for (from, strays, by, words) in [
        (
            0,
            vec![0, 4_999],
            40_000_000,
            "a stray time: 2 of 5000 events are 39 s or more from the others, the first is event 0",
        ),
        (0, vec![0, 2_500], 40_000_000, "a stray time: 2 of 5000 events are 39 s"),
        (HOUR, vec![0, 2_500], -HOUR, "2 of 5000 events are 1 hours"),
        (
            0,
            every(100),
            20 * HOUR,
            "a stray time: 50 of 5000 events are 20 hours or more from the others, the first is event 1",
        ),
        (0, every(5), 20 * HOUR, "1000 of 5000 events are 20 hours"),
        (0, every(250), 270_000_000, "20 of 5000 events are 4.5 minutes"),
        (0, every(25), 1 << 28, "200 of 5000 events are 4.5 minutes"),
        (1_700_000 * 1_000_000_000, every(500), -1_700_000 * 1_000_000_000, "10 of 5000 events are 19676 days"),
        (0, every(2), HOUR, "a second clock: 2500 of 5000 events are 1 hours or more"),
        (0, every(2), 20 * HOUR, "a second clock: 2500 of 5000 events are 20 hours"),
    ] {
        let mut camera = usual(101);
        camera.t.iter_mut().for_each(|t| *t += from);
        let healthy = kept(&camera, |i| !strays.contains(&i));
        strays.iter().for_each(|&i| camera.t[i] += by);
        let removed = format!(", which removes {} events", strays.len());
        let two = strays.len() == 2_500;
        let next = if two { "(2500 events); each clock by itself" } else { &removed };
        for file in [camera.npy(&path("a.npy")), camera.prophesee(&path("a.h5"))] {
            refused(&file, &path("none"), &[words, "each column c is c[keep]", next]);
        }
        let said = fails(convert(&[path("a.npy")], &path("none")).args(["--sensor", "40,30,2"]), 3);
        assert!(!said.contains("--time-unit"), "{said}");
        let masks: Vec<(i64, i64)> = after(&said, "(t >= ").into_iter().zip(after(&said, "(t <= ")).collect();
        assert_eq!(masks.len(), if two { 2 } else { 1 }, "{said}");
        let copies: Vec<Camera> =
            masks.iter().map(|&(low, high)| kept(&camera, |i| (low..=high).contains(&camera.t[i]))).collect();
        assert!(copies.iter().any(|copy| copy.t == healthy.t), "{said}");
        for copy in copies {
            assert_eq!(converted(&copy.npy(&path("copy.npy")), &path("set"), &[]).1, [""; 0]);
        }
        let notes =
            converted(&path("a.npy"), &path("set"), &["--allow-clock-trouble", "--time-window", "1000000000000"]).1;
        assert!(notes.iter().any(|note| note.ends_with("; taken as it is")), "{notes:?}");
    }
    // The error also gives the times correctly if their unit is seconds.
    let mut camera = usual(102);
    [0, 2_500].iter().for_each(|&i| camera.t[i] += HOUR);
    refused(&camera.mvsec(&path("s.h5")), &path("none"), &["t: the times in s,", "& (t <= 1.5", "removes 2 events"]);
}

#[test]
fn strays_of_a_row_are_removed_by_their_indices() {
    let dir = scratch();
    let path = |name: &str| dir.join(name);
    let good: Vec<(f64, i64)> = (0..400).map(|i| (f64::from(i) / 500.0, 5)).collect();
    for (strays, ranges) in [
        (vec![0, 399], "numpy.r_[0:1, 399:400]"),
        (vec![0, 200], "numpy.r_[0:1, 200:201]"),
        (
            (1..400).step_by(20).collect(),
            "numpy.r_[1:2, 21:22, 41:42, 61:62, 81:82, 101:102, 121:122, 141:142, 161:162,",
        ),
    ] {
        let mut row = good.clone();
        strays.iter().for_each(|&i: &usize| row[i].0 += 40.0);
        let speech = Recording { times_as: Times::F64, ..Recording::of(vec![good.clone(), row, good.clone()]) };
        let said = fails(&mut convert(&[&speech.write(&path("a.h5"))], &path("none")), 3);
        says(&said, &["sample 1: times: expected a clock that goes on, got a stray time: ", ranges]);
    }
}

#[test]
fn events_a_minute_late_are_refused_and_healthy_orders_are_not() {
    let dir = scratch();
    let path = |name: &str| dir.join(name);
    let long = Camera::random(103, 5_000, 1_000_000_000);
    let mut late = long.clone();
    (1_500..3_000).step_by(30).for_each(|i| late.t[i] -= 1 << 28);
    let words = ["a disorder: 50 events are out of order, by up to 4.5 minutes, before event", "--allow-clock-trouble"];
    refused(&late.npy(&path("late.npy")), &path("none"), &words);
    let window = ["--time-window", "1000000000", "--allow-clock-trouble"];
    let notes = converted(&path("late.npy"), &path("set"), &window).1;
    says(&notes[0], &["disorder: 50 events are out of order", "; it was sorted"]);
    // Recordings without stray events: trials with pauses of 50 s, late packets, and events in random order.
    let mut trials = usual(104);
    trials.t.iter_mut().enumerate().for_each(|(i, t)| *t += i as i64 / 1_000 * 50_000_000);
    trials.t[1_500] -= 90_000;
    let mut jittered = long.clone();
    (1_000..4_000).step_by(9).for_each(|i| jittered.t[i] -= 900_000);
    let mut order: Vec<usize> = (0..5_000).collect();
    order.sort_by_key(|i| (i * i * 7_919 + i * 31) % 4_999);
    let shuffled = Camera { t: order.iter().map(|&i| trials.t[i]).collect(), ..trials.clone() };
    for camera in [trials, jittered, shuffled] {
        let notes = converted(&camera.npy(&path("a.npy")), &path("set"), &window[..2]).1;
        assert!(notes.iter().any(|note| note.contains("they were sorted")), "{notes:?}");
        assert_eq!(samples(&path("set"))[0].flags, tonic_toolkit::shard::FLAG_SORTED);
    }
}
