//! The target `objects`; its body is in the library.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| targets::run("objects", data));
