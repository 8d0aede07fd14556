//! Work made ahead of the one who takes it, by a thread that never outlives the taking.

use crossbeam_channel::bounded;

use crate::error::{Error, Result};

/// Pieces made ahead of the one in use.
pub(super) const AHEAD: usize = 2;

/// Calls `each` with what `make` gives, in order, until either has had enough; `make` runs ahead on a thread that ends
/// before this returns.
///
/// # Errors
/// The first of `make` or `each`; [`Error::WorkerLost`] where `make` panicked, which must not pass for its end. A panic
/// of `each` goes on when the thread has ended.
pub(super) fn ahead<T: Send>(
    mut make: impl FnMut() -> Option<Result<T>> + Send,
    mut each: impl FnMut(T) -> Result<bool>,
) -> Result<()> {
    let (out, made) = bounded(AHEAD);
    std::thread::scope(|scope| {
        let maker = scope.spawn(move || {
            while let Some(piece) = make() {
                let last = piece.is_err();
                if out.send(piece).is_err() || last {
                    return;
                }
            }
        });
        // By value: the channel must be gone before the thread is waited for.
        let take = move || {
            for piece in made {
                if !each(piece?)? {
                    break;
                }
            }
            Ok(())
        };
        let taken = take();
        maker.join().map_err(|_| Error::WorkerLost { doing: "load batches" }).and(taken)
    })
}

#[cfg(test)]
mod tests {
    use std::panic::{AssertUnwindSafe, catch_unwind};
    use std::sync::atomic::{AtomicBool, Ordering};

    use super::*;

    /// Says when it goes, and the thread with it.
    struct Guard<'a>(&'a AtomicBool);

    impl Drop for Guard<'_> {
        fn drop(&mut self) {
            self.0.store(true, Ordering::SeqCst);
        }
    }

    /// What comes of numbers from 0 on, the fifth being `fifth`, and how many `each` saw. The maker is gone by then.
    fn numbers(
        fifth: fn() -> Option<Result<u32>>,
        each: fn(u32) -> Result<bool>,
    ) -> (std::thread::Result<Result<()>>, u32) {
        let (gone, mut next, mut seen) = (AtomicBool::new(false), 0, 0);
        let guard = Guard(&gone);
        let make = move || {
            let _guard = &guard;
            next += 1;
            if next == 5 { fifth() } else { Some(Ok(next - 1)) }
        };
        let take = AssertUnwindSafe(|| {
            ahead(make, |number| {
                assert_eq!(number, seen);
                seen += 1;
                each(number)
            })
        });
        let came = catch_unwind(take);
        assert!(gone.load(Ordering::SeqCst), "the maker outlives the taking");
        (came, seen)
    }

    fn fault() -> Error {
        Error::Interrupted { saved: "nothing".into() }
    }

    #[test]
    fn the_maker_ends_with_the_taking_however_that_ends() {
        let (came, seen) = numbers(|| None, |_| Ok(true));
        assert!(matches!((came.unwrap(), seen), (Ok(()), 4)));
        let (came, seen) = numbers(|| None, |n| Ok(n < 1));
        assert!(matches!((came.unwrap(), seen), (Ok(()), 2)));
        let (came, seen) = numbers(|| Some(Err(fault())), |_| Ok(true));
        assert!(matches!((came.unwrap(), seen), (Err(Error::Interrupted { .. }), 4)));
        let (came, seen) = numbers(|| None, |n| if n == 2 { Err(fault()) } else { Ok(true) });
        assert!(matches!((came.unwrap(), seen), (Err(Error::Interrupted { .. }), 3)));
        let (came, seen) = numbers(|| panic!("a worker"), |_| Ok(true));
        assert!(matches!((came.unwrap(), seen), (Err(Error::WorkerLost { .. }), 4)));
        let (came, seen) = numbers(|| None, |n| if n == 1 { panic!("a step") } else { Ok(true) });
        assert_eq!((came.unwrap_err().downcast_ref(), seen), (Some(&"a step"), 2));
    }
}
