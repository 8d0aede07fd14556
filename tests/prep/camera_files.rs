//! Writes small camera files for the tests, in the formats of the cameras. The files contain clock wraps, vectors of
//! events, triggers and unknown words.

use std::path::{Path, PathBuf};

use super::camera::Camera;

/// Consecutive events with the same time, row and polarity. Their columns ascend and lie within 32 pixels.
struct Run {
    t: i64,
    y: u16,
    p: u8,
    /// The first column.
    x: u16,
    /// Bit i is 1 if there is an event in column x + i.
    bits: u32,
}

impl Camera {
    /// Makes `n` events of a sensor of 40 by 30 pixels. Groups of seven events have the same time, row and polarity.
    /// The first time is `start`, and each group is `step` microseconds after the one before.
    pub(crate) fn runs(n: usize, start: i64, step: i64) -> Camera {
        let mut camera = Camera::default();
        for i in 0..n {
            let run = i / 7;
            camera.t.push(start + run as i64 * step);
            camera.x.push((run % 20 + i % 7 * (run % 3 + 1)) as u16);
            camera.y.push((run * 7 % 30) as u16);
            camera.p.push((run % 2) as u8);
        }
        camera
    }

    fn all_runs(&self) -> Vec<Run> {
        let mut runs: Vec<Run> = Vec::new();
        let mut last = 0;
        for i in 0..self.t.len() {
            let (t, x, y, p) = (self.t[i], self.x[i], self.y[i], self.p[i]);
            match runs.last_mut() {
                Some(run) if (run.t, run.y, run.p) == (t, y, p) && x > last && x - run.x < 32 => {
                    run.bits |= 1 << (x - run.x);
                }
                _ => runs.push(Run { t, y, p, x, bits: 1 }),
            }
            last = x;
        }
        runs
    }

    /// Prophesee RAW in EVT 3, with an external trigger, a message and an unknown word after every tenth run.
    pub(crate) fn evt3(&self, path: &Path) -> PathBuf {
        let mut words: Vec<u16> = vec![0xe001, 0x0003, 0x2004];
        let (mut high, mut low, mut y) = (-1, -1, 0);
        for (i, run) in self.all_runs().iter().enumerate() {
            if high != run.t >> 12 & 0xfff {
                high = run.t >> 12 & 0xfff;
                low = -1;
                words.push(0x8000 | high as u16);
            }
            if low != run.t & 0xfff {
                low = run.t & 0xfff;
                words.push(0x6000 | low as u16);
            }
            if i == 0 || y != run.y {
                y = run.y;
                words.push(y);
            }
            let pixel = run.x | u16::from(run.p) << 11;
            if run.bits == 1 {
                words.push(0x2000 | pixel);
            } else {
                words.extend([0x3000 | pixel, 0x4000 | (run.bits & 0xfff) as u16]);
                words.extend([0x4000 | (run.bits >> 12 & 0xfff) as u16, 0x5000 | (run.bits >> 24) as u16]);
            }
            if i % 10 == 9 {
                words.extend([0xa001, 0xe014, 0xf001, 0x7001, 0xb000]);
            }
        }
        let header = "% date 2024-01-01 10:00:00\n% evt 3.0\n% format EVT3\n% geometry 40x30\n% end\n";
        write(path, header.as_bytes(), words.iter().flat_map(|word| word.to_le_bytes()))
    }

    /// Prophesee RAW in EVT 2.
    pub(crate) fn evt2(&self, path: &Path) -> PathBuf {
        let mut words: Vec<u32> = vec![0x1000_0001];
        let mut high = -1;
        for i in 0..self.t.len() {
            if high != self.t[i] >> 6 {
                high = self.t[i] >> 6;
                words.push(8 << 28 | (high & 0xfff_ffff) as u32);
            }
            let pixel = u32::from(self.x[i]) << 11 | u32::from(self.y[i]);
            words.push(u32::from(self.p[i]) << 28 | ((self.t[i] & 0x3f) as u32) << 22 | pixel);
            if i % 50 == 49 {
                words.extend([0xa000_0001, 0xe000_0001, 0xf000_0001, 0x3000_0000]);
            }
        }
        let header = "% evt 2.0\n% integrator_name Prophesee\n% geometry 40x30\n";
        write(path, header.as_bytes(), words.iter().flat_map(|word| word.to_le_bytes()))
    }

    /// Prophesee RAW in EVT 2.1.
    pub(crate) fn evt21(&self, path: &Path) -> PathBuf {
        self.write_evt21(path, false)
    }

    /// Prophesee RAW in EVT 2.1, with the two halves of each word swapped (`endianness=legacy`).
    pub(crate) fn evt21_legacy(&self, path: &Path) -> PathBuf {
        self.write_evt21(path, true)
    }

    fn write_evt21(&self, path: &Path, legacy: bool) -> PathBuf {
        let mut words: Vec<(u32, u32)> = vec![(0, 3)];
        let mut high = -1;
        for run in self.all_runs() {
            if high != run.t >> 6 {
                high = run.t >> 6;
                words.push((8 << 28 | (high & 0xfff_ffff) as u32, 0));
            }
            let pixel = u32::from(run.x) << 11 | u32::from(run.y);
            words.push((u32::from(run.p) << 28 | ((run.t & 0x3f) as u32) << 22 | pixel, run.bits));
        }
        let word = |(high, low): &(u32, u32)| match legacy {
            true => u64::from(*low) << 32 | u64::from(*high),
            false => u64::from(*high) << 32 | u64::from(*low),
        };
        let legacy = if legacy { ";endianness=legacy" } else { "" };
        let header = format!("% format EVT21;height=30;width=40{legacy}\n% end\n");
        write(path, header.as_bytes(), words.iter().flat_map(|pair| word(pair).to_le_bytes()))
    }

    /// Prophesee DAT of version 2.
    pub(crate) fn dat(&self, path: &Path) -> PathBuf {
        let header = b"% Data file containing CD events.\n% Version 2\n% Height 30\n% Width 40\n\x0c\x08";
        write(path, header, self.dat_events([14, 28]))
    }

    /// Prophesee DAT without a header.
    pub(crate) fn dat_without_header(&self, path: &Path) -> PathBuf {
        write(path, b"", self.dat_events([9, 17]))
    }

    fn dat_events(&self, [y, p]: [u32; 2]) -> impl Iterator<Item = u8> {
        (0..self.t.len()).flat_map(move |i| {
            let address = u32::from(self.p[i]) << p | u32::from(self.y[i]) << y | u32::from(self.x[i]);
            [(self.t[i] as u32).to_le_bytes(), address.to_le_bytes()].concat()
        })
    }

    /// `.bin` of N-MNIST. The clock overflows every 2^13 us.
    pub(crate) fn nmnist(&self, path: &Path) -> PathBuf {
        let mut bytes = Vec::new();
        let mut overflows = 0;
        for i in 0..self.t.len() {
            while self.t[i] >> 13 > overflows {
                overflows += 1;
                bytes.extend([0, 240, 0, 0, 0]);
            }
            let t = self.t[i] & 0x1fff;
            bytes.extend([self.x[i] as u8, self.y[i] as u8, self.p[i] << 7, (t >> 8) as u8, t as u8]);
        }
        write(path, &bytes, [])
    }

    /// Event Stream of kind DVS.
    pub(crate) fn es(&self, path: &Path) -> PathBuf {
        self.write_es(path, (1, 127, 255, 1), |p| p)
    }

    /// Event Stream of kind ATIS, with an event of exposure after every hundredth event.
    pub(crate) fn es_atis(&self, path: &Path) -> PathBuf {
        self.write_es(path, (2, 63, 253, 2), |p| p << 1)
    }

    fn write_es(&self, path: &Path, (kind, most, overflow, bits): (u8, i64, u8, u32), low: fn(u8) -> u8) -> PathBuf {
        let mut bytes =
            [b"Event Stream", &[2, 0, 0, kind, 40, 0, 30, 0][..], &[if kind == 2 { 252 } else { 254 }]].concat();
        let mut before = 0;
        for i in 0..self.t.len() {
            let mut wait = self.t[i] - before;
            before = self.t[i];
            while wait >= most {
                bytes.push(overflow);
                wait -= most;
            }
            let pixel = [self.x[i].to_le_bytes(), (29 - self.y[i]).to_le_bytes()].concat();
            bytes.push((wait as u8) << bits | low(self.p[i]));
            bytes.extend(&pixel);
            if kind == 2 && i % 100 == 99 {
                bytes.push(1);
                bytes.extend(&pixel);
            }
        }
        write(path, &bytes, [])
    }

    /// AEDAT 2 of a DAVIS, with data of images and triggers between the events. The user must give the sensor size, 40
    /// by 30 pixels.
    pub(crate) fn aedat2(&self, path: &Path) -> PathBuf {
        let events = (0..self.t.len()).flat_map(|i| {
            let (x, y) = (39 - u32::from(self.x[i]), 29 - u32::from(self.y[i]));
            let address = y << 22 | x << 12 | u32::from(self.p[i]) << 11;
            let t = (self.t[i] as u32).to_be_bytes();
            let mut bytes = [address.to_be_bytes(), t].concat();
            if i % 100 == 99 {
                bytes.extend([0x8000_0123_u32.to_be_bytes(), t, 0x400_u32.to_be_bytes(), t].concat());
            }
            bytes
        });
        let header = "#!AER-DAT2.0\r\n# AEChip: eu.seebetter.ini.chips.davis.SomeDavis\r\n#End Of ASCII Header\r\n";
        write(path, header.as_bytes(), events)
    }

    /// AEDAT 2 of a DVS128.
    pub(crate) fn aedat2_dvs128(&self, path: &Path) -> PathBuf {
        let events = (0..self.t.len()).flat_map(|i| {
            let (x, y) = (127 - u32::from(self.x[i]), 127 - u32::from(self.y[i]));
            let address = y << 8 | x << 1 | u32::from(1 - self.p[i]);
            [address.to_be_bytes(), (self.t[i] as u32).to_be_bytes()].concat()
        });
        write(path, b"#!AER-DAT2.0\r\n# This is a raw AE data file\r\n", events)
    }

    /// AEDAT 3.1, with packets of triggers. Each packet of events has one event that is marked as invalid.
    pub(crate) fn aedat3(&self, path: &Path) -> PathBuf {
        let mut bytes = b"#!AER-DAT3.1\r\n#Format: RAW\r\n#Source 1: Some\r\n#!END-HEADER\r\n".to_vec();
        let mut begin = 0;
        while begin < self.t.len() {
            let wraps = self.t[begin] >> 31;
            let in_packet = |&i: &usize| i < begin + 300 && self.t[i] >> 31 == wraps;
            let end = (begin..self.t.len()).take_while(in_packet).last().map_or(begin, |i| i + 1);
            let mut events = vec![[0, 5]];
            events.extend((begin..end).map(|i| {
                let pixel = u32::from(self.x[i]) << 17 | u32::from(self.y[i]) << 2;
                [pixel | u32::from(self.p[i]) << 1 | 1, (self.t[i] & 0x7fff_ffff) as u32]
            }));
            bytes.extend(packet_3(0, wraps as u32, &[[7, 9]]));
            bytes.extend(packet_3(1, wraps as u32, &events));
            begin = end;
        }
        write(path, &bytes, [])
    }

    /// AEDAT 4 without compression.
    pub(crate) fn aedat4(&self, path: &Path) -> PathBuf {
        self.write_aedat4(path, 0)
    }

    /// AEDAT 4 with LZ4.
    pub(crate) fn aedat4_lz4(&self, path: &Path) -> PathBuf {
        self.write_aedat4(path, 1)
    }

    /// AEDAT 4 with zstd.
    pub(crate) fn aedat4_zstd(&self, path: &Path) -> PathBuf {
        self.write_aedat4(path, 4)
    }

    fn write_aedat4(&self, path: &Path, compression: i32) -> PathBuf {
        let node = |id: i32, kind: &str, size: &str| {
            format!(
                "<node name=\"{id}\" path=\"/outInfo/{id}/\"><attr key=\"originalOutputName\" type=\"string\">s{id}</attr>\
                 <attr key=\"typeIdentifier\" type=\"string\">{kind}</attr>\
                 <node name=\"info\" path=\"/outInfo/{id}/info/\">{size}</node></node>"
            )
        };
        let size = "<attr key=\"sizeX\" type=\"int\">40</attr><attr key=\"sizeY\" type=\"int\">30</attr>";
        let nodes = [node(0, "IMUS", ""), node(1, "EVTS", size), node(2, "EVTS", size), node(3, "FRME", size)].concat();
        let xml = format!("<dv version=\"2.0\"><node name=\"outInfo\" path=\"/outInfo/\">{nodes}</node></dv>");
        let mut packets = Vec::new();
        for begin in (0..self.t.len()).step_by(333) {
            let end = (begin + 333).min(self.t.len());
            packets.extend(self.packet_4(compression, 1, begin..end));
            packets.extend([0, 0, 0, 0, 3, 0, 0, 0, 1, 2, 3]);
            packets.extend(self.packet_4(compression, 2, begin..begin + 1));
        }
        let header = |end: i64| {
            let mut header = [&20_u32.to_le_bytes()[..], b"IOHE", &[10, 0, 20, 0, 4, 0, 8, 0, 16, 0, 0, 0]].concat();
            header.extend(12_i32.to_le_bytes());
            header.extend(compression.to_le_bytes());
            header.extend(end.to_le_bytes());
            header.extend(4_u32.to_le_bytes());
            header.extend((xml.len() as u32).to_le_bytes());
            header.extend(xml.as_bytes());
            [b"#!AER-DAT4.0\r\n", &(header.len() as u32).to_le_bytes()[..], &header].concat()
        };
        let end = header(0).len() + packets.len();
        let table = match compression {
            0 => [&[24, 0, 0, 0, 8, 0, 0, 0][..], b"FTAB"].concat(),
            1 | 2 => 0x184d_2204_u32.to_le_bytes().into(),
            _ => 0xfd2f_b528_u32.to_le_bytes().to_vec(),
        };
        write(path, &header(end as i64), packets.into_iter().chain(table))
    }

    fn packet_4(&self, compression: i32, stream: i32, events: std::ops::Range<usize>) -> Vec<u8> {
        let mut packet = [&16_u32.to_le_bytes()[..], b"EVTS", &[6, 0, 8, 0, 4, 0, 0, 0]].concat();
        packet.extend(8_i32.to_le_bytes());
        packet.extend(4_u32.to_le_bytes());
        packet.extend((events.len() as u32).to_le_bytes());
        for i in events {
            packet.extend(self.t[i].to_le_bytes());
            packet.extend(self.x[i].to_le_bytes());
            packet.extend(self.y[i].to_le_bytes());
            packet.extend([self.p[i], 0, 0, 0]);
        }
        let packet = [&(packet.len() as u32).to_le_bytes()[..], &packet].concat();
        let packet = match compression {
            0 => packet,
            1 => {
                let mut lz4 = lz4_flex::frame::FrameEncoder::new(Vec::new());
                std::io::Write::write_all(&mut lz4, &packet).unwrap();
                lz4.finish().unwrap()
            }
            _ => zstd::encode_all(&packet[..], 3).unwrap(),
        };
        [&stream.to_le_bytes()[..], &(packet.len() as i32).to_le_bytes(), &packet].concat()
    }
}

/// Returns a packet of AEDAT 3.1. Each event has 8 bytes.
fn packet_3(kind: u16, wraps: u32, events: &[[u32; 2]]) -> Vec<u8> {
    let n = events.len() as u32;
    let mut packet = [kind.to_le_bytes(), 1_u16.to_le_bytes()].concat();
    packet.extend([8, 4, wraps, n, n, n].iter().flat_map(|n: &u32| n.to_le_bytes()));
    packet.extend(events.iter().flatten().flat_map(|n| n.to_le_bytes()));
    packet
}

fn write(path: &Path, header: &[u8], rest: impl IntoIterator<Item = u8>) -> PathBuf {
    std::fs::write(path, header.iter().copied().chain(rest).collect::<Vec<u8>>()).unwrap();
    path.into()
}
