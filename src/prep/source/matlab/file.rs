//! An open MATLAB file of version 5: its arrays, and the numbers in them.

use std::cell::RefCell;
use std::fs::File;
use std::io::Read;
use std::path::Path;

use crate::error::{BaseFault, Error, Result};
use crate::source::columns::ArrayInfo;
use crate::source::matlab::bytes::Bytes;
use crate::source::matlab::variables::{Content, Place, Variable, variables};
use crate::source::matlab::{HEADER, order};
use crate::source::numpy::{DType, Header, Number, NumberKind};
use crate::source::packed::{Local, local};

pub(crate) struct MatFile<'a> {
    path: &'a Path,
    local: Local,
    variables: Vec<Variable>,
    arrays: Vec<ArrayInfo>,
    has_more: bool,
    /// The reader of the array that was read last. It is kept, so that a compressed variable is unpacked only once if
    /// its arrays are read in the order of the file.
    last: RefCell<Option<Bytes<'a>>>,
    big_endian: bool,
}

impl<'a> MatFile<'a> {
    /// Opens a file and lists its arrays.
    ///
    /// # Errors
    /// Errors of [`local`]; [`Error::DamagedRecording`] for a file that is cut short or contradicts itself;
    /// [`Error::Columns`] for two arrays of the same name.
    pub(crate) fn open(path: &'a Path) -> Result<MatFile<'a>> {
        let local = local(path)?;
        let mut file = File::open(&*local).map_err(Error::io(path, "open the recording"))?;
        let size = file.metadata().map_err(Error::io(path, "read the recording"))?.len();
        let mut head = Vec::new();
        file.by_ref().take(HEADER as u64).read_to_end(&mut head).map_err(Error::io(path, "read the recording"))?;
        let Some(big_endian) = order(&head) else {
            let got = if head.len() < HEADER { "the end of the file" } else { "other bytes at its end" };
            let expected = "the 128 bytes of the header of a MATLAB file of version 5";
            return Err(Error::damaged(path, "byte 0", format!("expected {expected}, got {got}")));
        };
        let (mut variables, has_more) = variables(path, &local, size, big_endian)?;
        let mut names: Vec<&str> = variables.iter().map(|variable| variable.name.as_str()).collect();
        names.sort_unstable();
        if let Some(twice) = names.windows(2).find(|pair| pair[0] == pair[1]) {
            return Err(Error::Columns {
                path: path.into(),
                place: twice[0].into(),
                expected: "one variable of this name".into(),
                got: "several, of which programs read one or another".into(),
                remedies: Vec::new(),
            });
        }
        variables.iter_mut().for_each(Variable::settle);
        let arrays = variables.iter().map(|variable| variable.header.info(&variable.name)).collect();
        Ok(MatFile { path, local, variables, arrays, has_more, last: RefCell::new(None), big_endian })
    }

    pub(crate) fn path(&self) -> &'a Path {
        self.path
    }

    /// Returns the path by which the file is opened.
    pub(crate) fn local(&self) -> &Local {
        &self.local
    }

    pub(crate) fn arrays(&self) -> &[ArrayInfo] {
        &self.arrays
    }

    /// Returns whether the file has more arrays than are listed.
    pub(crate) fn has_more(&self) -> bool {
        self.has_more
    }

    fn find(&self, name: &str) -> Option<&Variable> {
        self.variables.iter().find(|variable| variable.name == name)
    }

    pub(crate) fn header(&self, name: &str) -> Option<&Header> {
        self.find(name).map(|variable| &variable.header)
    }

    /// Returns the offset of an array's numbers in the file. Returns `None` if they are compressed, or stored in
    /// another type than the array's.
    pub(crate) fn place(&self, name: &str) -> Option<u64> {
        let Variable { header: Header { dtype: DType::Number(number), .. }, content: Content::Numbers(place), .. } =
            self.find(name)?
        else {
            return None;
        };
        (place.packed.is_none() && is_stored_as(place, number)).then_some(place.at)
    }

    /// Reads the numbers of an array, converted to the type in its [`Header`]: at most `most` bytes of that type.
    /// A text is always read whole.
    ///
    /// # Errors
    /// Errors of [`MatFile::copy`].
    pub(crate) fn read(&self, name: &str, most: u64) -> Result<Vec<u8>> {
        let mut data = Vec::new();
        self.copy(name, most, |piece| {
            data.extend_from_slice(piece);
            Ok(())
        })?;
        Ok(data)
    }

    /// Reads the numbers of an array, converted to the type in its [`Header`]: at most `most` bytes of that type.
    /// A text is always read whole. Calls `take` with each piece.
    ///
    /// # Errors
    /// [`tonic_base::Error::Io`]; [`Error::DamagedRecording`]; errors of `take`.
    pub(crate) fn copy(&self, name: &str, most: u64, mut take: impl FnMut(&[u8]) -> Result<()>) -> Result<()> {
        let Some(variable) = self.find(name) else { return Err(Error::damaged(self.path, name, "it is not there")) };
        let (place, number) = match (&variable.content, &variable.header.dtype) {
            (Content::Text(text), _) => return take(text),
            (Content::Numbers(place), DType::Number(number)) => (place, number),
            _ => return Err(Error::damaged(self.path, name, "its elements are no numbers")),
        };
        let packed_at = place.packed.map(|(begin, _)| begin);
        // The checksum of a compressed variable is at its end. So the previous variable is read to its end first.
        if self.last.borrow().as_ref().is_some_and(|bytes| bytes.packed_at() != packed_at) {
            self.finish()?;
        }
        let before = self.last.take().filter(|bytes| bytes.at() <= place.at);
        let mut bytes = match (before, place.packed) {
            (Some(bytes), _) => bytes,
            (None, Some(packed)) => Bytes::packed(self.path, &self.local, packed, self.big_endian)?,
            (None, None) => Bytes::plain(self.path, &self.local, place.at, self.big_endian)?,
        };
        bytes.pass_to("the arrays before", place.at)?;
        let size = variable.header.items().min(most / number.bytes as u64) * place.stored.bytes as u64;
        let same = is_stored_as(place, number);
        let mut converted = Vec::new();
        bytes.copy(&format!("the numbers of {name}"), size, |piece| {
            if same {
                return take(piece);
            }
            converted.clear();
            convert(piece, place.stored, *number, &mut converted);
            take(&converted)
        })?;
        if most == u64::MAX {
            self.last.replace(Some(bytes));
        }
        Ok(())
    }

    /// Reads the rest of the compressed variable that was read last, because its checksum is at the end.
    ///
    /// # Errors
    /// [`Error::DamagedRecording`].
    pub(crate) fn finish(&self) -> Result<()> {
        self.last.take().map_or(Ok(()), |mut bytes| bytes.finish())
    }
}

impl Variable {
    /// If the numbers are stored in another type than the array's, sets the byte order in the header to little-endian.
    /// [`convert`] converts such numbers when they are read, and writes little-endian numbers.
    fn settle(&mut self) {
        if let (Content::Numbers(place), DType::Number(number)) = (&self.content, &mut self.header.dtype)
            && !is_stored_as(place, number)
        {
            number.big_endian = false;
        }
    }
}

/// Returns whether numbers are stored in the type `number`. A boolean is stored as a byte.
fn is_stored_as(place: &Place, number: &Number) -> bool {
    let (stored, number) = (place.stored, *number);
    stored.bytes == number.bytes
        && (stored.kind == number.kind || (number.kind == NumberKind::Bool && stored.kind == NumberKind::Uint))
}

/// Converts numbers of type `from` to type `to`, which is little-endian.
fn convert(numbers: &[u8], from: Number, to: Number, out: &mut Vec<u8>) {
    for number in numbers.chunks_exact(from.bytes) {
        let mut bits = [0; 8];
        bits[..from.bytes].copy_from_slice(number);
        if from.big_endian {
            bits[..from.bytes].reverse();
        }
        let bits = u64::from_le_bytes(bits);
        let unused = 64 - 8 * from.bytes as u32;
        let (whole, float) = match (from.kind, from.bytes) {
            (NumberKind::Float, 4) => (None, f32::from_bits(bits as u32).into()),
            (NumberKind::Float, _) => (None, f64::from_bits(bits)),
            (NumberKind::Int, _) => {
                let whole = (bits << unused) as i64 >> unused;
                (Some(whole as u64), whole as f64)
            }
            _ => (Some(bits), bits as f64),
        };
        match (to.kind, to.bytes) {
            (NumberKind::Float, 4) => out.extend((float as f32).to_le_bytes()),
            (NumberKind::Float, _) => out.extend(float.to_le_bytes()),
            (_, bytes) => out.extend(&whole.unwrap_or(float as i64 as u64).to_le_bytes()[..bytes]),
        }
    }
}
