//! Prefetching: a thread makes batches ahead of the training step.

use crossbeam_channel::bounded;

use tonic_base::Error;

/// Maximum number of finished batches that wait for the training step.
pub const AHEAD: usize = 2;

/// Calls `each` with every value that `make` returns on another thread, in order. Stops when `make` returns `None` or
/// `each` returns false. Returns [`Error::WorkerLost`] if `make` panicked.
pub(crate) fn ahead<T: Send, E: From<Error> + Send>(
    mut make: impl FnMut() -> Option<Result<T, E>> + Send,
    mut each: impl FnMut(T) -> Result<bool, E>,
) -> Result<(), E> {
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
        // `move`, so that the channel is dropped before the thread is joined. Otherwise a thread that waits in `send`
        // would never end.
        let take = move || {
            for piece in made {
                if !each(piece?)? {
                    break;
                }
            }
            Ok(())
        };
        let taken = take();
        maker.join().map_err(|_| Error::WorkerLost { doing: "load batches" }.into()).and(taken)
    })
}

#[cfg(test)]
mod tests {
    use std::panic::{AssertUnwindSafe, catch_unwind};
    use std::sync::atomic::{AtomicBool, Ordering};

    use tonic_base::Result;

    use super::*;

    /// A guard that the closure `make` owns. Sets the flag when `make` is dropped.
    struct Guard<'a>(&'a AtomicBool);

    impl Drop for Guard<'_> {
        fn drop(&mut self) {
            self.0.store(true, Ordering::SeqCst);
        }
    }

    /// Calls [`ahead`] with a `make` that returns 0 to 3, then `fifth()`. Also returns the number of calls of `each`.
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
