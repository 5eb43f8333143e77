//! Device numbers, as this library writes them: `major << 32 | minor`.

/// Major number of tapes (Documentation/admin-guide/devices.txt).
const TAPE_MAJOR: u32 = 9;

/// Set for character devices: their numbers and those of block devices are numbers of different things.
const CHARACTER: u64 = 1 << 63;

/// Returns the number of the device with this major and minor number.
pub fn number(major: u32, minor: u32) -> u64 {
    u64::from(major) << 32 | u64::from(minor)
}

/// Returns the number that the kernel gives as a `dev_t`.
pub fn from_dev(dev: rustix::fs::Dev) -> u64 {
    number(rustix::fs::major(dev), rustix::fs::minor(dev))
}

/// Reads `8:17`.
pub fn parse(text: &str) -> Option<u64> {
    let (major, minor) = text.trim().split_once(':')?;
    Some(number(major.parse().ok()?, minor.parse().ok()?))
}

/// Returns one number for all the nodes of a tape; `None` for any other device.
///
/// A tape has nodes that rewind and nodes that do not, in four modes each. As `TAPE_NR` in drivers/scsi/st.h.
pub fn of_tape(major: u32, minor: u32) -> Option<u64> {
    let tape = (minor & !255) >> 3 | (minor & 31);
    (major == TAPE_MAJOR).then(|| tape_number(tape))
}

/// Returns the number of a character device. All nodes of a tape have the same; no block device has it.
pub fn of_character_device(major: u32, minor: u32) -> u64 {
    of_tape(major, minor).unwrap_or(CHARACTER | number(major, minor))
}

/// Returns the number without the mark of a character device. A tape has several nodes, so it has none.
pub fn without_type(device: u64) -> Option<u64> {
    let number = device & !CHARACTER;
    let is_tape = is_character_device(device) && number >> 32 == u64::from(TAPE_MAJOR);
    (!is_tape).then_some(number)
}

/// Returns true if this is the number of a character device.
pub fn is_character_device(device: u64) -> bool {
    device & CHARACTER != 0
}

/// Returns the number of `st0`, `st1`, ….
pub fn tape_number(tape: u32) -> u64 {
    CHARACTER | number(TAPE_MAJOR, tape)
}

/// Returns true if this is the number of a tape.
pub fn is_tape(device: u64) -> bool {
    device & CHARACTER != 0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_node_of_a_tape_has_one_number() {
        // st0, nst0, st0m, nst0a; then st1, and st32.
        let tape = |minor| of_tape(9, minor).map(|n| n & 0xffff_ffff);
        assert_eq!([0, 128, 64, 224].map(tape), [Some(0); 4]);
        assert_eq!((tape(129), tape(256)), (Some(1), Some(32)));
        assert_eq!(of_tape(8, 0), None);
        assert_ne!(of_tape(9, 0), Some(9 << 32), "md0 is another thing");
        assert!(is_tape(tape_number(3)) && !is_tape(number(9, 3)));
    }
}
