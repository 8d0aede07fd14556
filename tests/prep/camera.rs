//! Writes recordings of cameras for the tests, in every layout that the program can read.

use std::io::Write;
use std::path::{Path, PathBuf};

use hdf5::H5Type;
use npyz::WriterBuilder;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

use super::recording::{column, hdf5_file};

/// Events of a camera. Times are in microseconds.
#[derive(Clone, Debug, Default)]
pub(crate) struct Camera {
    pub t: Vec<i64>,
    pub x: Vec<u16>,
    pub y: Vec<u16>,
    pub p: Vec<u8>,
}

/// An event in the files of Prophesee's cameras.
#[derive(Clone, Copy, H5Type)]
#[repr(C)]
pub(crate) struct Record {
    pub x: u16,
    pub y: u16,
    pub p: i16,
    pub t: i64,
}

impl Camera {
    /// Makes `n` random events of a sensor of 40 by 30 pixels within `duration` microseconds, in order of time.
    pub(crate) fn random(seed: u64, n: usize, duration: i64) -> Camera {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let mut t: Vec<i64> = (0..n).map(|_| 5_000 + rng.random_range(0..duration)).collect();
        t.sort_unstable();
        Camera {
            t,
            x: (0..n).map(|_| rng.random_range(0..40)).collect(),
            y: (0..n).map(|_| rng.random_range(0..30)).collect(),
            p: (0..n).map(|_| rng.random_range(0..2)).collect(),
        }
    }

    /// Makes one event at each of `times`. The first 1,200 events are at different pixels.
    pub(crate) fn at(times: &[i64]) -> Camera {
        let n = times.len();
        Camera {
            t: times.to_vec(),
            x: (0..n).map(|i| (i % 40) as u16).collect(),
            y: (0..n).map(|i| (i / 40 % 30) as u16).collect(),
            p: (0..n).map(|i| (i % 2) as u8).collect(),
        }
    }

    pub(crate) fn dsec(&self, path: &Path) -> PathBuf {
        hdf5_file(path, |file| self.fill_dsec(file))
    }

    pub(crate) fn fill_dsec(&self, file: &hdf5::File) {
        let events = file.create_group("events").unwrap();
        let packed = || events.new_dataset_builder().chunk(self.t.len().clamp(1, 1000)).blosc_zstd(3, true);
        let t: Vec<u32> = self.t.iter().map(|&t| t.try_into().unwrap()).collect();
        packed().with_data(&t).create("t").unwrap();
        packed().with_data(&self.x).create("x").unwrap();
        packed().with_data(&self.y).create("y").unwrap();
        packed().with_data(&self.p).create("p").unwrap();
        // A wrong index, which must not matter.
        column(file, "ms_to_idx", &[7_u64; 3]);
        column(file, "t_offset", &[1_589_163_147_368_868_i64]);
    }

    pub(crate) fn e2vid(&self, path: &Path) -> PathBuf {
        hdf5_file(path, |file| {
            let events = file.create_group("events").unwrap();
            let ts: Vec<f64> = self.t.iter().map(|&t| seconds(t)).collect();
            let packed = || events.new_dataset_builder().chunk(self.t.len().clamp(1, 500)).deflate(2);
            packed().with_data(&ts).create("ts").unwrap();
            packed().with_data(&self.x.iter().map(|&x| x as i16).collect::<Vec<_>>()).create("xs").unwrap();
            packed().with_data(&self.y.iter().map(|&y| y as i16).collect::<Vec<_>>()).create("ys").unwrap();
            packed().with_data(&self.p.iter().map(|&p| p == 1).collect::<Vec<bool>>()).create("ps").unwrap();
            file.new_attr_builder().with_data(&[30_i64, 40]).create("sensor_resolution").unwrap();
        })
    }

    pub(crate) fn mvsec(&self, path: &Path) -> PathBuf {
        hdf5_file(path, |file| {
            let davis = file.create_group("davis").unwrap().create_group("left").unwrap();
            let sign = |p: u8| if p == 1 { 1.0 } else { -1.0 };
            let row = |i: usize| [f64::from(self.x[i]), f64::from(self.y[i]), seconds(self.t[i]), sign(self.p[i])];
            let rows: Vec<f64> = (0..self.t.len()).flat_map(row).collect();
            let events =
                davis.new_dataset::<f64>().chunk((self.t.len().clamp(1, 300), 4)).lzf().shape((self.t.len(), 4));
            events.create("events").unwrap().write_raw(&rows).unwrap();
        })
    }

    pub(crate) fn prophesee(&self, path: &Path) -> PathBuf {
        hdf5_file(path, |file| {
            let record = |i: usize| Record { x: self.x[i], y: self.y[i], p: self.p[i].into(), t: self.t[i] };
            let records: Vec<Record> = (0..self.t.len()).map(record).collect();
            column(&file.create_group("CD").unwrap(), "events", &records);
            let geometry: hdf5::types::VarLenUnicode = "40x30".parse().unwrap();
            file.new_attr::<hdf5::types::VarLenUnicode>().create("geometry").unwrap().write_scalar(&geometry).unwrap();
        })
    }

    /// Writes an HDF5 file whose columns have unusual names, with times in nanoseconds.
    pub(crate) fn strange(&self, path: &Path) -> PathBuf {
        hdf5_file(path, |file| {
            let when: Vec<u64> = self.t.iter().map(|t| (t * 1000 + 999) as u64).collect();
            column(file, "when", &when);
            let xy: Vec<i32> = self.x.iter().zip(&self.y).flat_map(|(&x, &y)| [i32::from(x), i32::from(y)]).collect();
            let table = file.new_dataset::<i32>().shape((self.t.len(), 2)).create("where").unwrap();
            table.write_raw(&xy).unwrap();
            let sign = |&p: &u8| if p == 1 { 1_i8 } else { -1 };
            column(file, "sign", &self.p.iter().map(sign).collect::<Vec<_>>());
            column(file, "class", &[2_u8]);
        })
    }

    /// Writes a structured NumPy array with the field types of Tonic's readers, in the order x, y, t, p.
    pub(crate) fn npy(&self, path: &Path) -> PathBuf {
        std::fs::write(path, self.npy_bytes()).unwrap();
        path.into()
    }

    pub(crate) fn npy_bytes(&self) -> Vec<u8> {
        let descr = "[('x', '<i2'), ('y', '<i2'), ('t', '<i8'), ('p', '|b1')]";
        let mut bytes = npy_header(descr, &format!("({},)", self.t.len()));
        for i in 0..self.t.len() {
            bytes.extend(self.x[i].to_le_bytes());
            bytes.extend(self.y[i].to_le_bytes());
            bytes.extend(self.t[i].to_le_bytes());
            bytes.push(self.p[i]);
        }
        bytes
    }

    /// Writes a CSV file with the header `t,x@40,y@30,on`, as the program faery does. The header contains the sensor
    /// size.
    pub(crate) fn csv(&self, path: &Path) -> PathBuf {
        let row = |i: usize| format!("{},{},{},{}\n", self.t[i], self.x[i], self.y[i], self.p[i]);
        let rows: String = (0..self.t.len()).map(row).collect();
        std::fs::write(path, format!("t,x@40,y@30,on\n{rows}")).unwrap();
        path.into()
    }

    /// Writes a compressed npz archive with one array for each column.
    pub(crate) fn npz(&self, path: &Path) -> PathBuf {
        let mut archive = zip::ZipWriter::new(std::fs::File::create(path).unwrap());
        let mut add = |name: &str, bytes: Vec<u8>| {
            let options = zip::write::SimpleFileOptions::default().compression_method(zip::CompressionMethod::Deflated);
            archive.start_file(format!("{name}.npy"), options).unwrap();
            archive.write_all(&bytes).unwrap();
        };
        add("t", npy_column(self.t.iter().map(|&t| t as f64)));
        add("x", npy_column(self.x.iter().map(|&x| u32::from(x))));
        add("y", npy_column(self.y.iter().copied()));
        add("p", npy_column(self.p.iter().map(|&p| i64::from(p))));
        add("label", npy_column([3_i64].into_iter()));
        archive.finish().unwrap();
        path.into()
    }
}

/// Returns a time in seconds. Multiplied by 10^6 and truncated, it is exactly `us`.
pub(crate) fn seconds(us: i64) -> f64 {
    let seconds = us as f64 / 1e6;
    if (seconds * 1e6).trunc() as i64 == us { seconds } else { seconds.next_up() }
}

/// Returns the header of an npy file of version 1, as NumPy writes it.
pub(crate) fn npy_header(descr: &str, shape: &str) -> Vec<u8> {
    let mut text = format!("{{'descr': {descr}, 'fortran_order': False, 'shape': {shape}, }}");
    while (10 + text.len() + 1) % 64 != 0 {
        text.push(' ');
    }
    text.push('\n');
    let mut bytes = b"\x93NUMPY\x01\x00".to_vec();
    bytes.extend((text.len() as u16).to_le_bytes());
    bytes.extend(text.as_bytes());
    bytes
}

fn npy_column<T: npyz::AutoSerialize>(numbers: impl ExactSizeIterator<Item = T>) -> Vec<u8> {
    let mut bytes = Vec::new();
    let options = npyz::WriteOptions::new().default_dtype().shape(&[numbers.len() as u64]).writer(&mut bytes);
    let mut writer = options.begin_nd().unwrap();
    writer.extend(numbers).unwrap();
    writer.finish().unwrap();
    bytes
}

/// Writes an npz archive. Each array has a name, a NumPy type, a shape and its bytes.
pub(crate) fn npz(path: &Path, arrays: &[(&str, &str, &str, Vec<u8>)]) {
    let mut archive = zip::ZipWriter::new(std::fs::File::create(path).unwrap());
    for (name, descr, shape, data) in arrays {
        archive.start_file(format!("{name}.npy"), zip::write::SimpleFileOptions::default()).unwrap();
        archive.write_all(&[npy_header(descr, shape), data.clone()].concat()).unwrap();
    }
    archive.finish().unwrap();
}
