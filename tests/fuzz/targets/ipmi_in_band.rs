#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| dryrack::fuzz::run("ipmi_in_band", data));
