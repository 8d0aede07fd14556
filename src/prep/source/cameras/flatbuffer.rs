//! Reads tables of FlatBuffers that begin with their size. Every offset is checked against the number of bytes. Source:
//! "FlatBuffers internals" (flatbuffers.dev).

/// A table of fields. The table begins with the distance to its vtable, a list of the offsets of the fields.
#[derive(Clone, Copy, Debug)]
pub(super) struct Table<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Table<'a> {
    /// Returns the root table of a buffer that begins with its size. `None` if the buffer doesn't have this identifier.
    pub(super) fn root(bytes: &'a [u8], identifier: &[u8; 4]) -> Option<Table<'a>> {
        let bytes = bytes.get(4..)?;
        (bytes.get(4..8)? == identifier).then_some(())?;
        Some(Table { bytes, at: u32_at(bytes, 0)? as usize })
    }

    /// Returns the offset of field number `i`. `None` if the table doesn't have this field.
    fn field(&self, i: usize) -> Option<usize> {
        let back = u32_at(self.bytes, self.at)? as i32;
        let list = usize::try_from(i64::try_from(self.at).ok()? - i64::from(back)).ok()?;
        let place = 4 + 2 * i;
        (place + 2 <= u16_at(self.bytes, list)?.into()).then_some(())?;
        let offset = u16_at(self.bytes, list.checked_add(place)?)?;
        (offset != 0).then(|| self.at + usize::from(offset))
    }

    pub(super) fn i32(&self, i: usize) -> Option<i32> {
        u32_at(self.bytes, self.field(i)?).map(|n| n as i32)
    }

    pub(super) fn i64(&self, i: usize) -> Option<i64> {
        let at = self.field(i)?;
        self.bytes.get(at..)?.first_chunk().map(|&bytes| i64::from_le_bytes(bytes))
    }

    /// Returns the bytes of field number `i`, a list whose entries have `size` bytes each. A text is a list of bytes.
    pub(super) fn list(&self, i: usize, size: usize) -> Option<&'a [u8]> {
        let at = self.field(i)?;
        let list = at.checked_add(u32_at(self.bytes, at)? as usize)?;
        let length = (u32_at(self.bytes, list)? as usize).checked_mul(size)?;
        self.bytes.get(list + 4..)?.get(..length)
    }

    /// Returns whether the table has field number `i`.
    pub(super) fn has(&self, i: usize) -> bool {
        self.field(i).is_some()
    }
}

fn u16_at(bytes: &[u8], at: usize) -> Option<u16> {
    bytes.get(at..)?.first_chunk().map(|&bytes| u16::from_le_bytes(bytes))
}

fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    bytes.get(at..)?.first_chunk().map(|&bytes| u32::from_le_bytes(bytes))
}
