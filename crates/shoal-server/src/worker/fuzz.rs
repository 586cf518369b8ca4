//! No frame may panic its reader or make it take more memory than came; `SHOAL_PROVE_SCALE` multiplies the cases.

use proptest::collection::vec;
use proptest::prelude::*;

use super::frames::{HEADER_BYTES, Kind, header, read_answer, read_columns, read_header};
use super::tests::{frame, split_any, vectors};
use crate::fuzz::run;

#[test]
fn random_bytes_panic_no_reader_of_frames() {
    let declared: Vec<_> = vectors().into_iter().map(|vector| vector.columns).collect();
    run(&(vec(any::<u8>(), 0..256), prop::sample::select(declared), 0..6_u8), |(body, declared, kind)| {
        let mut head = header(Kind::Answer, body.len());
        head[4] = kind;
        if let Ok((kind, _)) = read_header(&head) {
            drop(read_answer(kind, &body, &declared));
        }
    });
}

#[test]
fn damaged_frames_panic_no_reader_and_take_no_more_memory_than_they_have() {
    let seeds: Vec<_> = vectors().into_iter().map(|vector| (frame(&vector), vector.columns)).collect();
    let change = (any::<prop::sample::Index>(), 0..4_usize, vec(any::<u8>(), 0..9));
    run(&(prop::sample::select(seeds), vec(change, 1..4)), |((mut frame, declared), changes)| {
        for (place, gone, come) in changes {
            let start = place.index(frame.len() + 1);
            let end = (start + gone).min(frame.len());
            frame.splice(start..end, come);
        }
        if frame.len() >= HEADER_BYTES
            && let Ok(body) = split_any(&frame)
            && let Ok(table) = read_columns(body, &declared)
        {
            // Offsets are gone, and flags for booleans are as wide as they were.
            assert!(table.size_bytes() <= 2 * body.len());
        }
    });
}
