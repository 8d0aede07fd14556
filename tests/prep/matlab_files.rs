//! Writes MATLAB files of version 5 for the tests, as MATLAB and SciPy do, with either byte order.

use std::io::Write;
use std::path::{Path, PathBuf};

use flate2::Compression;
use flate2::write::ZlibEncoder;

use super::camera::Camera;

/// How a file is written.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Mat {
    pub big_endian: bool,
    /// Whether variables are compressed.
    pub packed: bool,
}

impl Mat {
    fn word(self, number: u32) -> [u8; 4] {
        if self.big_endian { number.to_be_bytes() } else { number.to_le_bytes() }
    }

    /// Returns an element of type `kind`. If `data` has 1 to 4 bytes, the element has MATLAB's format for small
    /// elements.
    pub(crate) fn element(self, kind: u32, data: &[u8]) -> Vec<u8> {
        if (1..=4).contains(&data.len()) {
            let mut small = [&self.word((data.len() as u32) << 16 | kind)[..], data].concat();
            small.resize(8, 0);
            return small;
        }
        let mut element = [&self.word(kind)[..], &self.word(data.len() as u32), data].concat();
        element.resize(element.len().next_multiple_of(8), 0);
        element
    }

    /// Returns an array with this name and shape. `class` has its class and flags. `content` has the elements with
    /// its data.
    pub(crate) fn array(self, class: u32, name: &str, shape: &[u32], content: &[Vec<u8>]) -> Vec<u8> {
        let words = |words: &[u32]| words.iter().flat_map(|&word| self.word(word)).collect::<Vec<u8>>();
        let head =
            [self.element(6, &words(&[class, 0])), self.element(5, &words(shape)), self.element(1, name.as_bytes())];
        self.element(14, &[head.concat(), content.concat()].concat())
    }

    /// Returns a column of numbers. The array has the class `class`, and the file stores the numbers with the type
    /// `kind`.
    pub(crate) fn column(self, name: &str, (class, kind): (u32, u32), numbers: &[i64]) -> Vec<u8> {
        let number = |&n: &i64| {
            let mut bytes = match kind {
                1 => (n as i8).to_le_bytes().to_vec(),
                2 => (n as u8).to_le_bytes().to_vec(),
                3 => (n as i16).to_le_bytes().to_vec(),
                4 => (n as u16).to_le_bytes().to_vec(),
                5 => (n as i32).to_le_bytes().to_vec(),
                6 => (n as u32).to_le_bytes().to_vec(),
                7 => (n as f32).to_le_bytes().to_vec(),
                9 => (n as f64).to_le_bytes().to_vec(),
                12 => n.to_le_bytes().to_vec(),
                _ => (n as u64).to_le_bytes().to_vec(),
            };
            if self.big_endian {
                bytes.reverse();
            }
            bytes
        };
        let data: Vec<u8> = numbers.iter().flat_map(number).collect();
        self.array(class, name, &[numbers.len() as u32, 1], &[self.element(kind, &data)])
    }

    /// Returns a struct with these fields. Each field is a name and an array without a name of its own.
    pub(crate) fn structure(self, name: &str, fields: &[(&str, Vec<u8>)]) -> Vec<u8> {
        let names: Vec<u8> = fields.iter().flat_map(|(name, _)| format!("{name:\0<8}").into_bytes()).collect();
        let mut content = vec![self.element(5, &self.word(8)), self.element(1, &names)];
        content.extend(fields.iter().map(|(_, array)| array.clone()));
        self.array(2, name, &[1, 1], &content)
    }

    pub(crate) fn bytes(self, variables: &[Vec<u8>]) -> Vec<u8> {
        let mut file = format!("{:124}", "MATLAB 5.0 MAT-file, written by a test").into_bytes();
        file.extend(if self.big_endian { *b"\x01\0MI" } else { *b"\0\x01IM" });
        for variable in variables {
            if self.packed {
                let mut encoder = ZlibEncoder::new(Vec::new(), Compression::fast());
                encoder.write_all(variable).unwrap();
                let packed = encoder.finish().unwrap();
                file.extend([&self.word(15)[..], &self.word(packed.len() as u32), &packed].concat());
            } else {
                file.extend(variable);
            }
        }
        file
    }
}

/// Returns the columns t, x, y and p of a recording. `kinds` has the class and the type of each column. If `named` is
/// true, the columns have the names `ts`, `x`, `y` and `pol`.
pub(crate) fn columns(mat: Mat, camera: &Camera, kinds: [(u32, u32); 4], named: bool) -> [Vec<u8>; 4] {
    let wide = |column: &[u16]| column.iter().map(|&n| i64::from(n)).collect::<Vec<i64>>();
    let p: Vec<i64> = camera.p.iter().map(|&p| p.into()).collect();
    let numbers = [camera.t.clone(), wide(&camera.x), wide(&camera.y), p];
    let names = if named { ["ts", "x", "y", "pol"] } else { [""; 4] };
    [0, 1, 2, 3].map(|i| mat.column(names[i], kinds[i], &numbers[i]))
}

/// Class and type of four columns of doubles. MATLAB stores doubles in a smaller type if all numbers fit.
pub(crate) const DOUBLES: [(u32, u32); 4] = [(6, 6), (6, 2), (6, 2), (6, 2)];

impl Camera {
    /// Writes a MATLAB file with one compressed variable per column.
    pub(crate) fn mat(&self, path: &Path) -> PathBuf {
        let mat = Mat { packed: true, ..Mat::default() };
        std::fs::write(path, mat.bytes(&columns(mat, self, [(6, 9), (11, 4), (9, 2), (8, 1)], true))).unwrap();
        path.into()
    }

    /// Writes a big-endian MATLAB file with one uncompressed variable per column.
    pub(crate) fn mat_plain(&self, path: &Path) -> PathBuf {
        let mat = Mat { big_endian: true, packed: false };
        std::fs::write(path, mat.bytes(&columns(mat, self, [(6, 9), (11, 4), (9, 2), (8, 1)], true))).unwrap();
        path.into()
    }
}
