#![no_main]
libfuzzer_sys::fuzz_target!(|bytes: &[u8]| unmoor::fuzzing::unix_sockets(bytes));
