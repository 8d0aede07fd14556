//! Tests that the faults of synthetic clocks are found.

use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

use super::*;

mod any_times;

/// Looks for faults of a clock. `times` are in microseconds.
fn observe(times: &[i64]) -> Findings {
    let mut clock = Clock::new(TimeUnit::Microseconds);
    clock.see(times);
    clock.finish()
}

fn reset(at: u64, by: i64) -> Break {
    Break { kind: BreakKind::Reset, at, until: None, by }
}

fn gap(at: u64, by: i64) -> Break {
    Break { kind: BreakKind::Gap, at, until: None, by }
}

/// Makes the times of `n` events with random steps of 0 to `step` microseconds.
fn steady(seed: u64, n: usize, step: i64) -> Vec<i64> {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let steps = (0..n).map(|_| rng.random_range(0..=step));
    let sum = |time: &mut i64, step| {
        *time += step;
        Some(*time)
    };
    steps.scan(0, sum).collect()
}

/// Makes the times of 5,000 events within about a second.
fn usual(seed: u64) -> Vec<i64> {
    steady(seed, 5_000, 380)
}

#[test]
fn nothing_is_found_in_nothing() {
    assert_eq!(observe(&[]), Findings::default());
    assert_eq!(observe(&[7]), Findings { events: 1, extent: Some((7, 7)), ..Findings::default() });
    let ends = observe(&[i64::MIN, i64::MAX]);
    assert_eq!((ends.events, ends.extent, ends.jitter), (2, Some((i64::MIN, i64::MAX)), None));
    assert_eq!(observe(&[i64::MAX, i64::MIN, i64::MAX, 0]).breaks.len(), 2);
}

#[test]
fn late_packets_are_jitter() {
    let mut times: Vec<i64> = (0..20_000).map(|i| 50 * i).collect();
    times[10_000..10_005].iter_mut().for_each(|t| *t -= 99_000);
    let found = observe(&times);
    assert_eq!(found.jitter, Some(Jitter { events: 5, largest: 98_950, at: 10_000 }));
    assert!(found.breaks.is_empty() && found.wrap.is_none());
    // An early packet, and one that is late by more than half a second.
    let mut times: Vec<i64> = (0..20_000).map(|i| 50 * i).collect();
    times[5_000..5_007].iter_mut().for_each(|t| *t += 150_000);
    times[19_000..19_900].iter_mut().for_each(|t| *t -= 600_000);
    let found = observe(&times);
    assert_eq!((found.jitter.unwrap().events, found.jitter.unwrap().at), (907, 19_000));
    assert!(found.breaks.is_empty());
    // Silence, and then the clock starts again: no early packet.
    let mut times: Vec<i64> = (0..20_000).map(|i| 50 * i + if i < 2_000 { 0 } else { 400_000 }).collect();
    times[12_000..].iter_mut().for_each(|t| *t -= 1_000_000);
    assert_eq!(observe(&times).breaks, [reset(12_000, 999_950)]);
    // Times in no order at all.
    let mut rng = ChaCha8Rng::seed_from_u64(1);
    let times: Vec<i64> = (0..20_000).map(|_| rng.random_range(0..10_000_000)).collect();
    let found = observe(&times);
    assert!(found.breaks.is_empty() && found.jitter.unwrap().largest > 9_000_000, "{found:?}");
}

#[test]
fn stale_and_stray_events_are_gaps() {
    let head = [(0..40).collect(), (0..20_000).map(|i| 3_000_000_000 + 50 * i).collect::<Vec<i64>>()].concat();
    assert_eq!(observe(&head).breaks, [gap(40, 2_999_999_961)]);
    let mut stray: Vec<i64> = (0..5_000).map(|i| 50 * i).collect();
    stray[700] += 1 << 40;
    let by = (1 << 40) + 50;
    assert_eq!(observe(&stray).breaks, [Break { kind: BreakKind::Ahead, until: Some(701), ..gap(700, by) }]);
    let days: Vec<i64> = (0..3_000).map(|i| 500 * i + 3 * 24 * HOUR * (i / 1_500)).collect();
    assert_eq!(observe(&days).breaks, [gap(1_500, 3 * 24 * HOUR + 500)]);
    // No gaps: a second of silence, a minute of silence in 50 minutes, and one event every two minutes.
    let silent = |at: i64, by: i64, step: i64| (0..3_000).map(|i| step * i + if i < at { 0 } else { by }).collect();
    for times in [silent(1_500, 1_000_000, 500), silent(9, MINUTE, 1_000_000), silent(0, 0, 2 * MINUTE)] {
        let times: Vec<i64> = times;
        assert_eq!(observe(&times).breaks, []);
    }
}

#[test]
fn wraps_of_other_units_are_found() {
    // 2^32 ns, as whole microseconds; and a signed counter of 32 bits.
    let all: Vec<i64> = (0..20_000).map(|i| 4_000_000_000 + 99_999 * i).collect();
    let mut us: Vec<i64> = all.iter().map(|ns| ns % (1 << 32) / 1_000).collect();
    let mut clock = Clock::new(TimeUnit::Nanoseconds);
    clock.see(&us);
    let wrap = clock.finish().wrap.unwrap();
    assert!(wrap.describe(0).contains("2^32 ns (4.3 s), once before event 2950"), "{}", wrap.describe(0));
    wrap.unwrap(0, &mut us);
    assert!(us.iter().zip(&all).all(|(us, ns)| (us - ns / 1_000).abs() <= 1));
    let all: Vec<i64> = (0..9_000).map(|i| (1 << 31) - 300_000 + 50 * i).collect();
    let mut signed: Vec<i64> = all.iter().map(|&t| i64::from(t as i32)).collect();
    observe(&signed).wrap.unwrap().unwrap(0, &mut signed);
    assert_eq!(signed, all);
}

#[test]
fn a_counter_that_is_exceeded_does_not_wrap() {
    let times: Vec<i64> = (0..40_000).map(|i| 500 * (i % 34_000)).collect();
    let longer = [&times[..33_554], &times].concat();
    let found = observe(&longer);
    assert!(found.wrap.is_none() && found.breaks[0].at == 33_554, "{found:?}");
}

#[test]
fn one_time_from_another_lap_is_no_wrap() {
    let mut times: Vec<i64> = (0..9_000).map(|i| (1 << 24) - 450_500 + 50 * i).collect();
    times[8_990] = 3;
    let found = observe(&times);
    let stray =
        Break { kind: BreakKind::Behind, at: 8_990, until: Some(8_991), by: (1 << 24) - 450_500 + 50 * 8_989 - 3 };
    assert_eq!((found.wrap, found.breaks, found.jitter), (None, vec![stray], None));
}

/// Makes sorted random times of `n` events, from 0 to just below `lasts` microseconds.
fn random(seed: u64, n: usize, lasts: i64) -> Vec<i64> {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let mut times: Vec<i64> = (0..n).map(|_| rng.random_range(0..lasts)).collect();
    times.sort_unstable();
    times
}

#[test]
fn wraps_with_few_events_between_them_are_found_or_refused() {
    let mut undone = [0; 6];
    for (case, bits, n, lasts) in [
        (0, 15, 20_000, 10_000_000),
        (1, 16, 20_000, 10_000_000),
        (2, 18, 4_000, 10_000_000),
        (3, 24, 600, 100_000_000),
        (4, 24, 300, 30_000_000),
        (5, 15, 2_000, 10_000_000),
    ] {
        for seed in 0..40 {
            let times = random(seed, n, lasts);
            let mut raw: Vec<i64> = times.iter().map(|t| t % (1 << bits)).collect();
            let found = observe(&raw);
            match found.wrap {
                Some(wrap) => {
                    wrap.unwrap(0, &mut raw);
                    let first = times[0] - raw[0];
                    assert!(raw.iter().zip(&times).all(|(a, b)| a + first == *b), "2^{bits} of {n}, {seed}");
                    undone[case] += 1;
                }
                None => assert!(!found.breaks.is_empty() || found.disorder.is_some(), "2^{bits} of {n}, {seed}"),
            }
        }
    }
    assert!(undone[..4].iter().all(|&n| n > 35) && undone[4] > 25, "{undone:?}");
}

#[test]
fn clocks_that_start_again_do_not_wrap() {
    // Trials of 1 or 8 seconds, one after the other, with many events or few.
    for (n, lasts) in [(2_000, 1_000_000), (70, 1_000_000), (30, 1_000_000), (2_000, 8_000_000)] {
        let times: Vec<i64> = (0..12).flat_map(|trial| random(trial, n, lasts)).collect();
        let found = observe(&times);
        assert!(found.wrap.is_none(), "{found:?}");
        assert!(!found.breaks.is_empty() || found.disorder == Some(Disorder::Sawtooth(11)), "{found:?}");
    }
    // The clock starts again near the end of the recording.
    for last in [1, 5, 60] {
        let times = [&random(1, 20_000, 10_000_000)[..], &random(2, last, 500 * last as i64)].concat();
        let found = observe(&times);
        assert!(found.breaks[0].at == 20_000 && found.breaks[0].kind == BreakKind::Reset, "{found:?}");
        assert!(found.jitter.is_none() && found.wrap.is_none());
    }
    // Late events at the end are jitter.
    let mut times = random(3, 20_000, 10_000_000);
    times[19_990..].iter_mut().for_each(|t| *t -= 300_000);
    let found = observe(&times);
    assert!(found.breaks.is_empty() && found.jitter.unwrap().events == 10, "{found:?}");
}

#[test]
fn few_events_are_trouble_only_if_that_is_certain() {
    let shifted = |n: usize, at: usize, by: i64| {
        let mut times: Vec<i64> = (0..n as i64).map(|i| 20_000 * i).collect();
        times[at..].iter_mut().for_each(|t| *t += by);
        times
    };
    let (hour, second) = (HOUR + 1, 1_000_000);
    // Resets: with at least four events on both sides; near the end, by nearly the whole duration; and twice.
    for (times, starts) in [
        (shifted(50, 25, -second / 2), vec![25]),
        (shifted(12, 6, -120_000), vec![6]),
        (shifted(50, 48, -960_000), vec![48]),
        ([shifted(16, 16, 0), shifted(16, 16, 0), shifted(16, 16, 0)].concat(), vec![16, 32]),
    ] {
        let found = observe(&times);
        assert!(found.breaks.iter().all(|found| found.kind == BreakKind::Reset), "{found:?}");
        assert_eq!(found.breaks.iter().map(|found| found.at).collect::<Vec<_>>(), starts, "{found:?}");
    }
    // Gaps, and stray events at the start or the end. No faults (second loop): jumps of less than a minute, and jumps
    // of less than an hour in a recording of at most four events.
    for (n, at, by, kind) in [
        (50, 9, 70 * second, BreakKind::Gap),
        (50, 1, 4_294 * second, BreakKind::Behind),
        (50, 1, -4_294 * second, BreakKind::Ahead),
        (50, 49, 70 * second, BreakKind::Ahead),
        (2, 1, hour, BreakKind::Gap),
        (5, 1, 70 * second, BreakKind::Behind),
    ] {
        let found = observe(&shifted(n, at, by));
        assert!(found.breaks.len() == 1 && found.breaks[0].kind == kind, "{n} {at} {by} {found:?}");
    }
    for (n, at, by) in [(50, 9, 59 * second), (50, 1, 10 * second), (4, 2, 70 * second), (2, 1, hour - second)] {
        let found = observe(&shifted(n, at, by));
        assert!(found.breaks.is_empty() && found.pauses.len() == usize::from(n == 50), "{n} {at} {by} {found:?}");
    }
    for n in 2..99 {
        let found = observe(&(0..n).map(|i| i * 70 * second).collect::<Vec<_>>());
        assert!(found.breaks.is_empty() && found.pauses.is_empty(), "{n} {found:?}");
    }
    // A wrap is certain if the time before it is close to the counter's top, and the time after it is close to 0.
    // Otherwise, the step back may be a reset or a wrap.
    let wrapped = |bits: u32, n: i64, step: i64| -> Vec<i64> {
        (0..n).map(|i| ((1 << bits) - n / 2 * step - step / 2 + i * step) % (1 << bits)).collect()
    };
    for (bits, n, step) in [(32, 50, 20_000), (24, 60, 100_000), (20, 90, 9_000), (16, 40, 900), (32, 9, 60_000)] {
        let (found, mut times) = (observe(&wrapped(bits, n, step)), wrapped(bits, n, step));
        found.wrap.unwrap_or_else(|| panic!("2^{bits}")).unwrap(0, &mut times);
        assert!(times.windows(2).all(|pair| pair[1] - pair[0] == step), "2^{bits}");
    }
    for times in [random(1, 55, second), (0..55).map(|i| i * 18_500).collect()] {
        let found = observe(&[&times[..], &times].concat());
        assert!(found.wrap.is_none() && found.breaks[0].at == 55, "{found:?}");
        assert!(found.doubt.unwrap().doubt().contains("2^20 us"));
    }
    // No breaks or wraps are found in healthy recordings of any length, nor with packets or all times out of order.
    for seed in 0..300 {
        let n = 2 + seed as usize * seed as usize % [98, 1_100][seed as usize % 2];
        let mut times = random(seed, n, 10_i64.pow(2 + seed as u32 % 7));
        let healthy = observe(&times);
        for block in times.chunks_mut(1 + seed as usize % 7).step_by(3) {
            block.reverse();
        }
        let jitter = observe(&times);
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        (1..n).for_each(|i| times.swap(i, rng.random_range(0..=i)));
        for found in [healthy, jitter, observe(&times)] {
            assert!(found.breaks.is_empty() && found.wrap.is_none(), "{seed} {found:?}");
            assert!(found.disorder.is_none_or(|kind| kind == Disorder::Shuffled), "{seed} {found:?}");
        }
    }
}

#[test]
fn files_in_another_order_are_told() {
    let times = random(4, 20_000, 10_000_000);
    let reversed: Vec<i64> = times.iter().rev().copied().collect();
    let by_pixel =
        |pixels: usize| (0..pixels).flat_map(|i| times[i..].iter().step_by(pixels).copied()).collect::<Vec<_>>();
    let mut shuffled = times.clone();
    let mut rng = ChaCha8Rng::seed_from_u64(5);
    (1..20_000).for_each(|i| shuffled.swap(i, rng.random_range(0..=i)));
    for (times, disorder) in [
        (&reversed, Disorder::Descending),
        (&by_pixel(2_000), Disorder::Sawtooth(1_999)),
        (&shuffled, Disorder::Shuffled),
    ] {
        let found = observe(times);
        assert_eq!((found.disorder, found.wrap), (Some(disorder), None));
    }
}

#[test]
fn stray_times_are_told_wherever_they_are() {
    for far in [1_000_000_000_000_000, -1_000_000_000_000_000] {
        for at in [0, 1, 700, 4_998, 4_999] {
            let mut times = usual(6);
            times[at] = far;
            let found = observe(&times);
            let kind = if far > 0 { BreakKind::Ahead } else { BreakKind::Behind };
            let [stray] = found.breaks[..] else { panic!("{far} {at} {found:?}") };
            assert_eq!((stray.kind, stray.at, stray.until), (kind, at as u64, Some(at as u64 + 1)), "{far} {found:?}");
        }
    }
}

#[test]
fn blocks_far_behind_are_stray_and_packets_are_not() {
    let put = |times: &[i64], at: usize, block: &[i64]| [&times[..at], block, &times[at..]].concat();
    let minute = random(7, 5_000, MINUTE);
    let behind: Vec<i64> = minute[2_500..3_500].iter().map(|t| t - 25_000_000).collect();
    for (times, until) in [
        (put(&minute, 2_500, &[0; 2_000]), 4_500),
        (put(&minute, 2_500, &[0; 9]), 2_509),
        (put(&[&minute[..2_500], &minute[3_500..]].concat(), 2_500, &behind), 3_500),
        (put(&usual(7), 2_500, &[0; 300]), 2_800),
    ] {
        let found = observe(&times);
        let [stray] = found.breaks[..] else { panic!("{found:?}") };
        assert_eq!((stray.kind, stray.at, stray.until), (BreakKind::Behind, 2_500, Some(until)), "{found:?}");
    }
    // Not stray: a late packet, and packets with two halves that cover the same times.
    let late = [&minute[..2_000], &minute[2_200..2_400], &minute[2_000..2_200], &minute[2_400..]].concat();
    assert!(observe(&late).breaks.is_empty(), "{:?}", observe(&late));
    for (n, packet) in [(2_000, 200), (2_000, 400), (600, 190), (3_000, 150)] {
        let times = random(8, n, 2_000_000);
        let turns = |packet: &[i64]| (0..2).flat_map(|turn| packet.iter().skip(turn).step_by(2).copied()).collect();
        let found = observe(&times.chunks(packet).flat_map(|packet| -> Vec<i64> { turns(packet) }).collect::<Vec<_>>());
        assert!(found.breaks.is_empty() && found.disorder.is_none_or(|kind| kind == Disorder::Shuffled), "{found:?}");
    }
}

#[test]
fn large_packets_in_the_wrong_order_are_jitter_where_they_fill_their_gap() {
    let orders: [&[usize]; 8] = [
        &[1, 0, 2],
        &[0, 2, 1],
        &[1, 0, 2, 3, 4, 5],
        &[0, 1, 2, 4, 3, 5],
        &[1, 0, 3, 2, 5, 4, 7, 6, 9, 8, 11, 10],
        &[0, 1, 2, 5, 4, 3, 6, 7, 8, 9],
        &[2, 0, 1, 3, 4],
        &[1, 2, 3, 0, 4],
    ];
    for (size, step) in [(50_000, 20), (20_000, 500), (3_000, 800)] {
        for order in orders {
            let times = steady(10, size * order.len(), 2 * step);
            let blocks: Vec<&[i64]> = times.chunks(size).collect();
            let found = observe(&order.iter().flat_map(|&i| blocks[i].iter().copied()).collect::<Vec<i64>>());
            assert!(found.breaks.is_empty() && found.wrap.is_none(), "{size} {order:?} {found:?}");
            assert!(found.disorder.is_none_or(|kind| kind == Disorder::Shuffled), "{size} {order:?} {found:?}");
            assert!(found.jitter.is_some(), "{size} {order:?}");
        }
    }
    // A clock that starts again leaves a gap, or covers times twice.
    let times = steady(10, 100_000, 40);
    for by in [-150_000, 150_000] {
        let first: Vec<i64> = times[50_000..].iter().map(|t| t + by).collect();
        let found = observe(&[&first[..], &times[..50_000]].concat());
        assert!(found.breaks.len() == 1 && found.breaks[0].kind == BreakKind::Reset, "{found:?}");
    }
}

#[test]
fn few_events_around_the_end_of_a_counter_are_a_likely_wrap() {
    for (before, after) in [(1, 7), (3, 5), (6, 2)] {
        let times: Vec<i64> = (0..before)
            .map(|i| (1 << 24) - 700_000 + 90_000 * i)
            .chain((0..after).map(|i| 300_000 + 40_000 * i))
            .collect();
        let found = observe(&times);
        let mut raw = times.clone();
        found.wraps(true).unwrap().unwrap(0, &mut raw);
        assert!(found.wraps(false).is_some() == found.breaks.is_empty() && raw.is_sorted(), "{found:?}");
    }
    // No likely wrap: no time before the step is near the counter's top, or no time after it is near 0.
    for times in [[9_000_000, 10_000_000, 1_000, 2_000], [16_700_000, 16_710_000, 7_000_000, 7_100_000]] {
        assert_eq!(observe(&times).wraps(true), None);
    }
}

#[test]
fn pauses_longer_than_all_else_are_noted() {
    let paused = |by: i64| (0..20_000).map(|i| 500 * i + if i < 9_000 { 0 } else { by }).collect::<Vec<i64>>();
    for (by, noted) in [(60_000_000, 1), (11_000_000, 1), (9_000_000, 0)] {
        let found = observe(&paused(by));
        assert!(found.breaks.is_empty() && found.pauses.len() == noted, "{by} {found:?}");
    }
    assert_eq!(observe(&paused(101_000_000)).breaks, [gap(9_000, 101_000_500)]);
}
