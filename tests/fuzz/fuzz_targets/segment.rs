#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| mailtrail_fuzz::segment(data));
