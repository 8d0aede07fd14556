//! Tests that packed entries at the limits of a byte are unpacked unchanged, and that invalid ones are refused.

use super::*;
use crate::body::write_body;
use crate::frames::Column;
use crate::ledger::Ledger;

fn layout(width: u32, counts: Width) -> SetLayout {
    let shape = FrameShape { polarities: 1, height: 1, width };
    SetLayout { shape, widths: Widths::of(shape, counts), chunk_samples: 4, extras: 0, recipe_id: [0; 32] }
}

fn packed(chunk: &Chunk, layout: &SetLayout) -> Result<PackedChunk, BodyFault> {
    let mut packed = PackedChunk::new(layout);
    write_body(chunk, &mut packed.body);
    packed.index(layout, chunk.len() as u32, 1 << 20).map(|()| packed)
}

/// Returns a chunk of two samples, with gaps and counts around the limits of a packed byte.
fn chunk(width: u32, counts: Width) -> Chunk {
    let mut chunk = Chunk::new(layout(width, counts).widths, 0);
    let largest = counts.max();
    let cells = [0, 1, 31, 62, 94, 126, 158, width - 1];
    assert_eq!((cells[2] - cells[1], cells[3] - cells[2], cells[4] - cells[3]), (30, 31, 32));
    let numbers = [1, 7, 8, 9, 255.min(largest), largest, 2, largest.saturating_sub(1)];
    let values = [0.5, -7.0, 1e-20, 3.0, 4.0, 5.0, 6.0, f32::MAX];
    let column = if counts == Width::F32 { Column::F32(&values) } else { Column::U32(&numbers) };
    for sizes in [[8, 0, 0], [0, 8, 0]] {
        chunk.frames.push(&sizes, &cells, column).unwrap();
        chunk.table.labels.push(3);
        chunk.table.flags.push(0);
        chunk.table.ledgers.push(Ledger::default());
    }
    chunk
}

#[test]
fn columns_and_dense_frames_come_back_at_every_width() {
    for width in [160, 256, 257, 65_536, 65_537] {
        for counts in [Width::U8, Width::U16, Width::U32, Width::F32] {
            let (chunk, layout) = (chunk(width, counts), layout(width, counts));
            let packed = packed(&chunk, &layout).unwrap();
            let mut frames = SparseFrames::new(layout.widths);
            for (i, sample) in packed.samples().enumerate() {
                assert_eq!((sample.frames(), sample.entries(), packed.label(i)), (3, 8, 3));
                assert!(sample.fits() && sample.unpack(&mut frames), "{width} {counts:?}");
                for steps in [1, 3, 5] {
                    let mut dense = vec![f32::NAN; steps * width as usize];
                    assert!(sample.write_dense(&mut dense));
                    let mut expected: Vec<f32> = chunk.frames.sample(i).to_dense(layout.shape);
                    expected.resize(dense.len(), 0.0);
                    assert!(dense == expected, "{width} {counts:?}, {steps} steps");
                    let mut apart: Vec<Vec<f32>> = vec![vec![f32::NAN; width as usize]; steps];
                    assert!(sample.write_blocks(apart.iter_mut().map(|frame| &mut frame[..])));
                    assert!(apart.concat() == expected, "{width} {counts:?}, {steps} steps");
                    if counts != Width::F32 {
                        let mut integers = vec![7_u32; dense.len()];
                        assert!(sample.write_dense(&mut integers));
                        assert!(integers.iter().map(|&n| n as f32).eq(expected), "{width} {counts:?}");
                    }
                }
            }
            assert!(frames == chunk.frames, "{width} {counts:?}");
            assert_eq!(packed.bytes() as u64, PackedChunk::bytes_of(2, packed.body.len() as u32) + spare(&packed));
        }
    }
}

fn spare(packed: &PackedChunk) -> u64 {
    (packed.body.capacity() - packed.body.len()) as u64
}

#[test]
fn a_cell_outside_the_frame_is_noticed() {
    for width in [160, 300, 70_000] {
        let (chunk, narrower) = (chunk(width, Width::U8), layout(width - 1, Width::U8));
        let packed = packed(&chunk, &narrower).unwrap();
        let mut frames = SparseFrames::new(narrower.widths);
        for sample in packed.samples() {
            assert!(!sample.fits() && !sample.unpack(&mut frames));
            assert!(!sample.write_dense(&mut vec![0.0; 3 * width as usize]));
        }
    }
}

#[test]
fn a_count_beyond_its_width_is_refused() {
    let layout = layout(160, Width::U8);
    let mut fine = packed(&chunk(160, Width::U8), &layout).unwrap();
    let large = fine.at.large_counts.clone();
    for (beyond, fits) in [(247, true), (248, false)] {
        fine.body[large.start] = beyond;
        let result = fine.clone().index(&layout, 2, 1 << 20);
        assert_eq!(result.map_err(|fault| fault.place), if fits { Ok(()) } else { Err("counts".into()) }, "{beyond}");
    }
}
