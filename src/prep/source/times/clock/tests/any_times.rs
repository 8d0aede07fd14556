//! Tests the clock with random times: in order, with one kind of fault, and with a counter that wraps.

use proptest::prelude::*;

use super::{observe, reset, steady, usual};
use crate::source::times::clock::Clock;
use crate::time_unit::TimeUnit;

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(64) })]

    #[test]
    fn times_in_order_have_no_trouble(step in 1_i64..10_000_000, seed in any::<u64>(), from in any::<i32>()) {
        let times = steady(seed, 3_000, 1 << 10);
        let times: Vec<i64> = times.iter().map(|t| i64::from(from) + t * step / 1_000).collect();
        let found = observe(&times);
        prop_assert_eq!((found.jitter, found.wrap, found.breaks), (None, None, vec![]));
        prop_assert_eq!(found.extent, Some((times[0], times[2_999])));
    }

    #[test]
    fn blocks_of_any_size_find_the_same(seed in any::<u64>(), at in 0..4_000_usize, by in -3_000_000_i64..3_000_000, size in 1..3_000_usize) {
        let mut times = usual(seed);
        times[at..].iter_mut().for_each(|t| *t += by);
        let mut clock = Clock::new(TimeUnit::Microseconds);
        times.chunks(size).for_each(|block| clock.see(block));
        prop_assert_eq!(clock.finish(), observe(&times));
    }

    #[test]
    fn neighbours_that_change_places_are_jitter(seed in any::<u64>(), places in prop::collection::vec(0..4_980_usize, 1..300)) {
        let mut times = usual(seed);
        for place in places {
            times[place..place + 20].reverse();
        }
        let mut high = i64::MIN;
        let depths: Vec<i64> = times.iter().map(|&t| { high = high.max(t); high - t }).collect();
        let found = observe(&times);
        prop_assert!(found.wrap.is_none() && found.breaks.is_empty(), "{:?}", found);
        let largest = depths.iter().copied().max().unwrap_or(0);
        let late = depths.iter().filter(|&&depth| depth > 0).count() as u64;
        // A step back at the very beginning may be found as part of a packet that returns.
        let jitter = found.jitter.unwrap_or_default();
        prop_assert!(jitter.largest <= largest && jitter.largest * 2 >= largest, "{:?} {}", jitter, largest);
        prop_assert!(jitter.events <= 2 * late && (jitter.events > 0) == (late > 0), "{:?} {}", jitter, late);
    }

    #[test]
    fn a_clock_that_starts_again_is_a_reset(seed in any::<u64>(), at in 1_000..4_900_usize) {
        let mut times = usual(seed);
        times[1..].iter_mut().for_each(|t| *t += 5_000);
        let mut reset_at = times.clone();
        let by = times[at];
        prop_assume!((by as f64).log2().fract() < 0.95);
        reset_at[at..].iter_mut().for_each(|t| *t -= by);
        prop_assert_eq!(observe(&reset_at).breaks, vec![reset(at as u64, times[at - 1])]);
        // The clock starts again twice, the first time not at zero.
        let twice = [&times[..], &reset_at[..]].concat();
        let expected = vec![reset(5_000, times[4_999] - times[0]), reset((5_000 + at) as u64, times[at - 1])];
        prop_assert_eq!(observe(&twice).breaks, expected);
    }

    #[test]
    fn a_counter_that_wraps_is_unwrapped(
        seed in any::<u64>(), bits in 22_u32..40, before in 1_i64..10_000_000, late in prop::collection::vec(0..39_900_usize, 0..20),
    ) {
        let times = steady(seed, 40_000, 1_000);
        let period = 1 << bits;
        let mut all: Vec<i64> = times.iter().map(|t| t + (period - before).max(0)).collect();
        for at in late {
            all[at..at + 9].reverse();
        }
        let mut raw: Vec<i64> = all.iter().map(|t| t % period).collect();
        let found = observe(&raw);
        prop_assert_eq!(found.wrap.is_some(), all.iter().any(|&t| t >= period), "{:?}", found);
        if let Some(wrap) = found.wrap {
            for (i, block) in raw.chunks_mut(777).enumerate() {
                wrap.unwrap(777 * i as u64, block);
            }
            prop_assert_eq!(&raw, &all);
            prop_assert_eq!(observe(&raw).breaks, vec![]);
        }
    }
}
