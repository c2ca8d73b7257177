//! What if bytes are not what was written?

use super::*;

/// A segment of five records and the places where they begin.
fn five(sealed: bool) -> (Vec<u8>, Vec<usize>) {
    let disk = SimulatedDisk::new(1);
    let limits = Limits {
        fill_bytes: 64,
        ..SMALL
    };
    let bench = Bench::open(&disk, limits).expect("opens");
    bench.keep(0..5);
    if sealed {
        bench.journal.close(&bench.hub).wait().expect("closed");
    }
    let bytes = disk.bytes(&segment_path(1));
    let mut starts = vec![64];
    for n in 0..5 {
        starts.push(starts[n as usize] + 24 + payload(n).len());
    }
    std::mem::forget(bench);
    (bytes, starts)
}

/// Opens a journal of this one segment.
fn open(bytes: &[u8]) -> Bench {
    let disk = SimulatedDisk::new(1);
    disk.put(&segment_path(1), bytes);
    Bench::open(&disk, SMALL).expect("opens")
}

#[test]
fn a_flipped_bit_anywhere_takes_one_record_at_most_and_is_told() {
    for sealed in [false, true] {
        let (bytes, starts) = five(sealed);
        for bit in 0..bytes.len() * 8 {
            let at = bit / 8;
            let mut changed = bytes.clone();
            changed[at] ^= 1 << (bit % 8);
            let hit = (0..5).find(|n| (starts[*n]..starts[n + 1]).contains(&at));
            let expected: Vec<u32> = (0..5).filter(|n| Some(*n as usize) != hit).collect();
            let bench = open(&changed);
            let context = format!("bit {bit}, sealed {sealed}");
            assert_eq!(bench.read(), expected, "{context}");
            let told = bench.metrics.damaged.get() + bench.opened.torn_bytes;
            assert!(hit.is_none() || told > 0, "{context}: silently");
            // It goes on behind what is there.
            assert_eq!(bench.keep([9]), [9], "{context}");
        }
    }
}

#[test]
fn a_cut_anywhere_keeps_what_is_before_it() {
    for sealed in [false, true] {
        let (bytes, starts) = five(sealed);
        for cut in 0..bytes.len() {
            let bench = open(&bytes[..cut]);
            let whole = (0..5).filter(|n| starts[n + 1] <= cut && cut >= 64);
            let mut expected: Vec<u32> = whole.map(|n| n as u32).collect();
            assert_eq!(bench.read(), expected, "cut at {cut}, sealed {sealed}");
            expected.extend(bench.keep([9]));
            assert_eq!(bench.read(), expected, "cut at {cut}, sealed {sealed}");
        }
    }
}

#[test]
fn zeros_or_noise_over_any_stretch_take_only_what_they_cover() {
    let (bytes, starts) = five(true);
    let noise: Vec<u8> = (0..bytes.len()).map(|n| (n * 131 % 251) as u8).collect();
    let zeros = vec![0; bytes.len()];
    for from in (64..starts[5]).step_by(3) {
        for length in [16, 40, 100] {
            let to = (from + length).min(starts[5]);
            for cover in [&zeros, &noise] {
                let mut changed = bytes.clone();
                changed[from..to].copy_from_slice(&cover[from..to]);
                // A cover may happen to be what stands there: salts are random.
                let whole = |n: &usize| {
                    let frame = starts[*n]..starts[n + 1];
                    changed[frame.clone()] == bytes[frame]
                };
                let expected: Vec<u32> = (0..5).filter(whole).map(|n| n as u32).collect();
                let bench = open(&changed);
                assert_eq!(bench.read(), expected, "{from}..{to}");
            }
        }
    }
}

#[test]
fn a_length_that_leads_to_a_later_frame_takes_no_other_record() {
    let (mut bytes, starts) = five(true);
    let length = (starts[3] - starts[1] - 24) as u32;
    bytes[starts[1] + 4..starts[1] + 8].copy_from_slice(&length.to_le_bytes());
    assert_eq!(open(&bytes).read(), [0, 2, 3, 4]);
}

#[test]
fn noise_opens_and_holds_nothing() {
    let noise: Vec<u8> = (0..4000u32)
        .map(|n| (n.wrapping_mul(2_654_435_761) >> 24) as u8)
        .collect();
    let bench = open(&noise);
    assert_eq!((bench.read(), bench.opened.unreadable), (vec![], 1));
    assert_eq!(bench.keep(0..3), [0, 1, 2]);
}

#[test]
fn a_frame_inside_a_payload_is_never_taken_for_one() {
    let disk = SimulatedDisk::new(1);
    let bench = Bench::open(&disk, SMALL).expect("opens");
    bench.keep([0]);
    // A frame as it stands in a segment whose salt is known: zero.
    let mut fake = Vec::new();
    super::super::frame::push_frame(&mut fake, 3, 7, record::EVENT, &payload(7));
    super::super::frame::stamp(&mut fake, 0, |_, _| {});
    let pending = bench.journal.append(&bench.hub, record::EVENT, 1, &fake);
    pending.wait().expect("kept");
    bench.keep([2]);
    std::mem::forget(bench);
    let mut bytes = disk.bytes(&segment_path(1));
    // Damage the head of the one that carries it.
    bytes[64 + 24 + payload(0).len() + 4] ^= 0xff;
    assert_eq!(open(&bytes).read(), [0, 2]);
}

#[test]
fn a_number_that_was_given_is_not_given_again_after_the_end_was_damaged() {
    let (mut bytes, starts) = five(false);
    let before = open(&bytes).opened.next_seq;
    bytes[starts[2]..starts[5]].fill(0x55);
    assert!(open(&bytes).opened.next_seq >= before);
}
