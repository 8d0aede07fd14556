//! Where decoded events go: into memory, into a temporary file if there are many, or nowhere if they are only counted.

use crate::error::Result;
use crate::source::columns::{EventBlock, Stamps};
use crate::source::huge_pages::append;
use crate::source::raw::Coordinates;
use crate::source::stored::StoredEvents;
use crate::source::stream::{EventStore, MAX_IN_MEMORY};

/// Where decoded events go.
#[derive(Debug)]
pub(crate) enum Target {
    /// The events are counted.
    Count,
    /// The events are in memory. The block is `None` before the first event. The number is the maximum number of
    /// events: if there are more, all of them move to a temporary file.
    Memory(Option<EventBlock>, u64),
    /// The events are in a temporary file, because there are many.
    Disk(StoredEvents),
}

/// A column of decoded coordinates or polarities.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Entries<'a> {
    U8(&'a [u8]),
    U16(&'a [u16]),
    I64(&'a [i64]),
}

/// Consecutive decoded events. All blocks of a recording have the same columns and types.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Slices<'a> {
    /// Times in microseconds.
    pub(crate) t: &'a [i64],
    pub(crate) x: Entries<'a>,
    pub(crate) y: Option<Entries<'a>>,
    pub(crate) p: Option<Entries<'a>>,
}

impl Entries<'_> {
    fn copied(self) -> Coordinates {
        match self {
            Entries::U8(column) => Coordinates::U8(column.into()),
            Entries::U16(column) => Coordinates::U16(column.into()),
            Entries::I64(column) => Coordinates::I64(column.into()),
        }
    }

    fn append_to(self, column: &mut Coordinates) {
        match (self, column) {
            (Entries::U8(more), Coordinates::U8(column)) => append(column, more),
            (Entries::U16(more), Coordinates::U16(column)) => append(column, more),
            (Entries::I64(more), Coordinates::I64(column)) => append(column, more),
            (_, column) => debug_assert!(false, "{column:?} has another type"),
        }
    }
}

impl Slices<'_> {
    fn copied(&self) -> EventBlock {
        let t = Stamps { us: self.t.into(), missing: Vec::new() };
        EventBlock { t, x: self.x.copied(), y: self.y.map(Entries::copied), p: self.p.map(Entries::copied) }
    }
}

impl Target {
    /// Returns a target in memory. More than [`MAX_IN_MEMORY`] events go to a temporary file.
    pub(crate) fn memory() -> Target {
        Target::Memory(None, MAX_IN_MEMORY)
    }

    /// Adds events.
    ///
    /// # Errors
    /// [`tonic_base::Error::Io`] for the temporary file.
    pub(crate) fn append(&mut self, more: Slices<'_>) -> Result<()> {
        match self {
            Target::Count => {}
            Target::Memory(block @ None, _) => *block = Some(more.copied()),
            Target::Memory(Some(block), most) => {
                append(&mut block.t.us, more.t);
                more.x.append_to(&mut block.x);
                for (more, column) in [(more.y, &mut block.y), (more.p, &mut block.p)] {
                    more.zip(column.as_mut()).into_iter().for_each(|(more, column)| more.append_to(column));
                }
                if block.t.us.len() as u64 > *most {
                    let mut stored = StoredEvents::like(block, false)?;
                    stored.append(block)?;
                    *self = Target::Disk(stored);
                }
            }
            Target::Disk(stored) => stored.append(&more.copied())?,
        }
        Ok(())
    }

    /// Returns the stored events. There are none if the events were only counted.
    pub(crate) fn into_store(self) -> EventStore {
        match self {
            Target::Disk(stored) => EventStore::Stored(stored),
            Target::Memory(Some(block), _) => EventStore::Memory(block),
            Target::Count | Target::Memory(None, _) => {
                let none = || Some(Coordinates::U8(Vec::new()));
                EventStore::Memory(EventBlock {
                    t: Stamps::default(),
                    x: Coordinates::U8(Vec::new()),
                    y: none(),
                    p: none(),
                })
            }
        }
    }
}
