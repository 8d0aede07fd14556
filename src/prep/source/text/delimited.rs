//! Parses consecutive rows of plain numbers with the same delimiters in each line. First finds the ends of all numbers
//! in a block of text, 64 bytes at a time, and then parses the numbers between them. Parsing from left to right takes
//! longer: each number begins only where the number before it is known to end.

use crate::source::columns::{Numbers, Role};
use crate::source::text::cells::{decimal, of_eight_digits};
use crate::source::text::rows::{RowFormat, Rows, Store, is_narrow};

/// Number of bytes in which ends are found at a time.
const BLOCK: usize = 4096;
/// Number of bytes whose ends are found together: one bit each.
const WORD: usize = 64;
/// Number of ends that are written at a time, even if a word has fewer.
const AT_LEAST: usize = 16;

/// Powers of ten.
const TENS: [u64; 9] = [1, 10, 100, 1_000, 10_000, 100_000, 1_000_000, 10_000_000, 100_000_000];
/// Index of the decimals of the time among the values of a row. The other indices are those of [`Role`].
const DECIMALS: usize = 4;

/// The delimiters of a row, and which number is before each of them.
#[derive(Debug)]
pub(super) struct Delimited<'a> {
    format: &'a RowFormat,
    /// For each number of a row: its index in the values of a [`Row`], and the delimiter after it.
    numbers: Vec<(usize, u8)>,
    ends: Ends,
}

impl<'a> Delimited<'a> {
    /// Returns the delimiters of the first line of `text`. `None` if it isn't a row of plain numbers, or if the columns
    /// are not of the usual types.
    pub(super) fn of(format: &'a RowFormat, text: &[u8]) -> Option<Delimited<'a>> {
        let separator = format.separator.unwrap_or(b' ');
        let mut numbers = Vec::new();
        for slot in &format.slots {
            match (slot.role?, slot.store) {
                (Role::T, Store::Float) if !format.keeps_floats() => {
                    numbers.extend([(Role::T as usize, b'.'), (DECIMALS, separator)]);
                }
                (role @ Role::T, Store::Wide) | (role, Store::Narrow) => numbers.push((role as usize, separator)),
                _ => return None,
            }
        }
        numbers.last_mut()?.1 = b'\n';
        let mut ends = Ends::default();
        ends.find(&text[..text.len().min(BLOCK)]);
        let found = ends.as_slice().iter().map(|&end| text[usize::from(end)]).take(numbers.len());
        let is_plain = found.eq(numbers.iter().map(|&(_, delimiter)| delimiter));
        is_plain.then_some(Delimited { format, numbers, ends })
    }

    /// Parses the rows of `text[at..]`, and adds them to `rows`. Stops before the first line that isn't such a row, or
    /// whose numbers don't fit their columns, and near the end of the text. Returns the index after the last row.
    pub(super) fn parse(&mut self, text: &[u8], at: usize, rows: &mut Rows) -> usize {
        match self.numbers.len() {
            2 => self.parse_of::<2>(text, at, rows),
            3 => self.parse_of::<3>(text, at, rows),
            4 => self.parse_of::<4>(text, at, rows),
            5 => self.parse_of::<5>(text, at, rows),
            _ => at,
        }
    }

    /// Does the work of [`parse`](Self::parse) for rows of N numbers.
    fn parse_of<const N: usize>(&mut self, text: &[u8], mut at: usize, rows: &mut Rows) -> usize {
        let Delimited { format, numbers, ends: found } = self;
        let (Ok(numbers), Numbers::U16(x)) = (<[(usize, u8); N]>::try_from(&numbers[..]), &mut rows.x) else {
            return at;
        };
        let columns = Columns {
            values: numbers.map(|(value, _)| value),
            delimiters: numbers.map(|(_, delimiter)| delimiter),
            p: numbers.iter().position(|&(value, _)| value == Role::P as usize),
        };
        let (mut y, mut p) = (None, None);
        if let Some(Numbers::U16(of)) = &mut rows.y {
            y = Some(of);
        }
        if let Some(Numbers::I8(of)) = &mut rows.p {
            p = Some(of);
        }
        // The first blocks are short, so that little is done in vain if another line follows soon.
        let mut block = 2 * WORD;
        loop {
            let begin = at;
            found.find(&text[at..(at + block).min(text.len())]);
            block = (2 * block).min(BLOCK);
            for ends_of_row in found.as_slice().as_chunks::<N>().0 {
                let ends = ends_of_row.map(|end| begin + usize::from(end));
                let Some(row) = Row::of(text, at, ends, &columns) else { return at };
                let Some(t) = row.time(format) else { return at };
                let [_, own_x, own_y, own_p, _] = row.values;
                let narrow = [(Role::X, own_x), (Role::Y, own_y), (Role::P, own_p)];
                if !narrow.into_iter().all(|(role, value)| is_narrow(role, value)) {
                    return at;
                }
                rows.t.push(t);
                x.push(own_x as u16);
                if let Some(y) = &mut y {
                    y.push(own_y as u16);
                }
                if let Some(p) = &mut p {
                    p.push(own_p as i8);
                }
                rows.lines += 1;
                at = ends[N - 1] + 1;
            }
            if at == begin {
                return at;
            }
        }
    }
}

/// The columns of rows of N numbers.
struct Columns<const N: usize> {
    /// Index of each number among the values of a row.
    values: [usize; N],
    /// The byte after each number.
    delimiters: [u8; N],
    /// Which number is the polarity.
    p: Option<usize>,
}

/// The numbers of a row. Values of roles without a column are 0.
struct Row {
    values: [i64; DECIMALS + 1],
    /// Number of digits of the decimals.
    decimals: usize,
}

impl Row {
    /// Parses the row at `text[at..]`, whose numbers end at `ends`. `None` if it has other delimiters, or a number that
    /// doesn't have 1 to 16 digits. A polarity may be negative.
    #[inline(always)]
    fn of<const N: usize>(text: &[u8], at: usize, ends: [usize; N], of: &Columns<N>) -> Option<Row> {
        let mut begins = [at; N];
        for i in 1..N {
            begins[i] = ends[i - 1] + 1;
        }
        let mut is_negative = false;
        if let Some(p) = of.p {
            is_negative = text[begins[p]] == b'-';
            begins[p] += usize::from(is_negative);
        }
        // Two times eight bytes are loaded from where a number begins, so that all loads are inside the text.
        let _ = text.get(ends[N - 1] + 2 * size_of::<u64>())?;
        let (mut row, mut is_plain) = (Row { values: [0; DECIMALS + 1], decimals: 0 }, true);
        for i in 0..N {
            let digits = ends[i] - begins[i];
            is_plain &= text[ends[i]] == of.delimiters[i];
            let (mut number, mut are_digits) = digits_at(text, begins[i], digits.min(8));
            if digits > 8 {
                let (rest, are) = digits_at(text, begins[i] + 8, digits - 8);
                number = number * TENS.get(digits - 8)? + rest;
                are_digits &= are;
            }
            is_plain &= are_digits;
            row.values[of.values[i]] = number as i64;
            row.decimals = if of.values[i] == DECIMALS { digits } else { row.decimals };
        }
        if is_negative {
            row.values[Role::P as usize] *= -1;
        }
        is_plain.then_some(row)
    }

    /// Returns the time in microseconds. `None` if it needs another way to parse it.
    #[inline(always)]
    fn time(&self, format: &RowFormat) -> Option<i64> {
        let [whole, .., decimals] = self.values;
        if self.decimals == 0 {
            return format.unit.of_integer(whole);
        }
        let scaled = (whole as u64).checked_mul(10_u64.checked_pow(self.decimals as u32)?)?;
        format.unit.of_float(decimal(scaled.checked_add(decimals as u64)?, self.decimals)?)
    }
}

/// Parses 1 to 8 digits at `text[begin..]`. Returns their number, and whether they are so many digits. The text must only
/// have digits and minus signs there.
#[inline(always)]
fn digits_at(text: &[u8], begin: usize, digits: usize) -> (u64, bool) {
    let mut bytes = [0; 8];
    bytes.copy_from_slice(&text[begin..begin + 8]);
    // Moves the digits to the end of the eight bytes. 0 before them has no effect on the number.
    let shift = (digits as u32).wrapping_mul(8).wrapping_neg();
    let chunk = u64::from_le_bytes(bytes).wrapping_shl(shift);
    // This bit is 1 in digits, and 0 in a minus sign.
    let bit = u64::from_le_bytes([0x10; 8]);
    let are_digits = chunk & bit == bit.wrapping_shl(shift);
    (of_eight_digits(chunk), are_digits & (digits.wrapping_sub(1) < 8))
}

/// Indices of the delimiters in a block of text.
#[derive(Debug)]
struct Ends {
    at: [u16; BLOCK + AT_LEAST],
    len: usize,
}

impl Default for Ends {
    fn default() -> Self {
        Ends { at: [0; BLOCK + AT_LEAST], len: 0 }
    }
}

impl Ends {
    fn as_slice(&self) -> &[u16] {
        &self.at[..self.len]
    }

    /// Finds the delimiters in a text of at most a block.
    fn find(&mut self, text: &[u8]) {
        self.len = 0;
        let (words, rest) = text.as_chunks::<WORD>();
        for (i, word) in words.iter().enumerate() {
            self.add(i * WORD, word);
        }
        let mut last = [b'0'; WORD];
        last[..rest.len()].copy_from_slice(rest);
        self.add(words.len() * WORD, &last);
    }

    /// Adds the delimiters in a word that begins at index `at`.
    #[inline(always)]
    fn add(&mut self, at: usize, word: &[u8; WORD]) {
        let mut bits = 0;
        for (i, bytes) in word.as_chunks::<8>().0.iter().enumerate() {
            bits |= delimiters(u64::from_le_bytes(*bytes)) << (8 * i);
        }
        let end = self.len + bits.count_ones() as usize;
        while self.len < end {
            let Some(to) = self.at[self.len..].first_chunk_mut::<AT_LEAST>() else { return };
            for to in to {
                *to = (at + bits.trailing_zeros() as usize) as u16;
                bits &= bits.wrapping_sub(1);
            }
            self.len += AT_LEAST;
        }
        self.len = end;
    }
}

/// Returns a mask of eight bits: bit i is 1 if byte i of `bytes`, counted from the lowest, is a delimiter. All bytes
/// but the digits and `-` are delimiters.
#[inline(always)]
fn delimiters(bytes: u64) -> u64 {
    let all = |byte: u8| u64::from_le_bytes([byte; 8]);
    // The highest bit of each byte is set if the byte is more than 9 in `digits`, or not 0 in `minus`.
    let (digits, minus) = (bytes ^ all(b'0'), bytes ^ all(b'-'));
    let above = |bytes: u64, most: u8| ((bytes & all(0x7f)) + all(0x7f - most)) | bytes;
    let both = above(digits, 9) & above(minus, 0) & all(0x80);
    // Moves bit 8 i to bit 56 + i.
    (both >> 7).wrapping_mul(0x0102_0408_1020_4080) >> 56
}
