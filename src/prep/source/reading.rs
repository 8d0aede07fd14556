//! Counts the bytes of recordings as they are read, and the events of large samples, for a progress bar: a single file
//! can take minutes.
//!
//! There is one counter per process, because there is one progress bar. If two conversions run at once, the one that
//! started last shows the work of both.

use std::io::{Read, Result};
use std::sync::{Arc, PoisonError, RwLock};

/// Moves a progress bar ahead by a number of units, which may be a fraction.
type Move = Arc<dyn Fn(f64) + Send + Sync>;

/// The progress bar, and its number of units per byte.
static WATCHED: RwLock<Option<(Move, f64)>> = RwLock::new(None);

/// Work is counted as long as this value exists.
pub(crate) struct Watching(Move);

/// Calls `ahead` with the work on recordings, in units of a progress bar. `of_byte` is the number of units per byte.
pub(crate) fn watch(of_byte: f64, ahead: impl Fn(f64) + Send + Sync + 'static) -> Watching {
    let ahead: Move = Arc::new(ahead);
    *WATCHED.write().unwrap_or_else(PoisonError::into_inner) = Some((Arc::clone(&ahead), of_byte));
    Watching(ahead)
}

impl Drop for Watching {
    fn drop(&mut self) {
        let mut watched = WATCHED.write().unwrap_or_else(PoisonError::into_inner);
        if watched.as_ref().is_some_and(|(ahead, _)| Arc::ptr_eq(ahead, &self.0)) {
            *watched = None;
        }
    }
}

/// Counts work in units of the progress bar.
pub(crate) fn count(units: f64) {
    if let Some((ahead, _)) = &*WATCHED.read().unwrap_or_else(PoisonError::into_inner) {
        ahead(units);
    }
}

/// A file whose bytes are counted.
pub(crate) struct Counted<R>(pub(crate) R);

impl<R: Read> Read for Counted<R> {
    fn read(&mut self, out: &mut [u8]) -> Result<usize> {
        let bytes = self.0.read(out)?;
        if let Some((ahead, of_byte)) = &*WATCHED.read().unwrap_or_else(PoisonError::into_inner) {
            ahead(bytes as f64 * of_byte);
        }
        Ok(bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Mutex;

    #[test]
    fn bytes_and_units_are_counted_while_a_bar_is_there() {
        let seen = Arc::new(Mutex::new(0.0));
        let read = || Counted(&[1; 10][..]).read(&mut [0; 8]).unwrap();
        read();
        let own = Arc::clone(&seen);
        let watching = watch(0.5, move |units| *own.lock().unwrap() += units);
        assert_eq!(read(), 8);
        count(3.0);
        assert_eq!(*seen.lock().unwrap(), 7.0);
        // A second bar replaces the first. Dropping the first `Watching` doesn't stop the second bar.
        let second = watch(1.0, |_| ());
        drop(watching);
        read();
        assert!(WATCHED.read().unwrap().is_some());
        drop(second);
        assert_eq!((*seen.lock().unwrap(), WATCHED.read().unwrap().is_none()), (7.0, true));
    }
}
