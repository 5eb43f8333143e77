//! SCSI commands through `SG_IO` (`scsi/sg.h`, SCSI Generic HOWTO), on an open block device.

use crate::platform::linux::sys::ioctl;
use crate::platform::linux::sys::sense::Sense;
use rustix::fd::AsFd;
use rustix::io::Errno;
use std::time::Duration;

const SG_IO: ioctl::Request = 0x2285;
const SG_DXFER_NONE: libc::c_int = -1;
/// Length of the buffer for sense data, in bytes.
pub const SENSE_LENGTH: usize = 32;

/// `struct sg_io_hdr`, scsi/sg.h.
#[repr(C)]
struct SgIoHdr {
    interface_id: libc::c_int,
    dxfer_direction: libc::c_int,
    cmd_len: u8,
    mx_sb_len: u8,
    iovec_count: u16,
    dxfer_len: u32,
    dxferp: *mut libc::c_void,
    cmdp: *const u8,
    sbp: *mut u8,
    timeout: u32,
    flags: u32,
    pack_id: i32,
    usr_ptr: *mut libc::c_void,
    status: u8,
    masked_status: u8,
    msg_status: u8,
    sb_len_wr: u8,
    host_status: u16,
    driver_status: u16,
    resid: i32,
    duration: u32,
    info: u32,
}

/// A command without data.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Command {
    /// TEST UNIT READY (SPC-4 6.47): is the medium there and ready.
    TestUnitReady,
    /// PREVENT ALLOW MEDIUM REMOVAL (SPC-4 6.18, PREVENT = 0).
    AllowMediumRemoval,
    /// SYNCHRONIZE CACHE (10) of the whole medium (SBC-3 5.18).
    SynchronizeCache,
    /// WRITE FILEMARKS (6) with a count of 0: no mark, but the buffer goes to the tape (SSC-3 7.14).
    WriteFilemarks,
    /// START STOP UNIT (SBC-3 5.20, MMC-6 6.43): LoEj = 1, Start = 0.
    Eject,
    /// START STOP UNIT: LoEj = 1, Start = 1.
    Load,
    /// START STOP UNIT: LoEj = 0, Start = 0.
    Stop,
}

impl Command {
    /// Every command.
    pub const ALL: [Command; 7] = [
        Command::TestUnitReady,
        Command::AllowMediumRemoval,
        Command::SynchronizeCache,
        Command::WriteFilemarks,
        Command::Eject,
        Command::Load,
        Command::Stop,
    ];

    /// Its name in the standard.
    pub fn name(self) -> &'static str {
        match self {
            Command::TestUnitReady => "TEST UNIT READY",
            Command::AllowMediumRemoval => "ALLOW MEDIUM REMOVAL",
            Command::SynchronizeCache => "SYNCHRONIZE CACHE",
            Command::WriteFilemarks => "WRITE FILEMARKS (0)",
            Command::Eject => "START STOP UNIT (LoEj)",
            Command::Load => "START STOP UNIT (LoEj, Start)",
            Command::Stop => "START STOP UNIT (stop)",
        }
    }

    /// The command descriptor block.
    fn cdb(self) -> ([u8; 10], u8) {
        match self {
            Command::TestUnitReady => ([0; 10], 6),
            Command::AllowMediumRemoval => ([0x1e, 0, 0, 0, 0, 0, 0, 0, 0, 0], 6),
            Command::SynchronizeCache => ([0x35, 0, 0, 0, 0, 0, 0, 0, 0, 0], 10),
            Command::WriteFilemarks => ([0x10, 0, 0, 0, 0, 0, 0, 0, 0, 0], 6),
            Command::Eject => ([0x1b, 0, 0, 0, 0b10, 0, 0, 0, 0, 0], 6),
            Command::Load => ([0x1b, 0, 0, 0, 0b11, 0, 0, 0, 0, 0], 6),
            Command::Stop => ([0x1b, 0, 0, 0, 0b00, 0, 0, 0, 0, 0], 6),
        }
    }
}

/// Answer of the drive.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ScsiResponse {
    /// GOOD.
    Good,
    /// CHECK CONDITION, with the drive's sense data.
    Check(Sense),
    /// The command did not get there or back: SCSI status, host status, driver status (scsi/sg.h).
    Transport(u8, u16, u16),
}

impl ScsiResponse {
    /// Encodes the answer for the way out of the helper.
    pub fn to_bytes(self) -> [u8; 8] {
        match self {
            ScsiResponse::Good => [0; 8],
            ScsiResponse::Check(Sense { key, asc, ascq }) => [1, key, asc, ascq, 0, 0, 0, 0],
            ScsiResponse::Transport(status, host, driver) => {
                let ([h0, h1], [d0, d1]) = (host.to_le_bytes(), driver.to_le_bytes());
                [2, status, h0, h1, d0, d1, 0, 0]
            }
        }
    }

    /// The reverse of [`ScsiResponse::to_bytes`].
    pub fn from_bytes(bytes: [u8; 8]) -> ScsiResponse {
        match bytes {
            [0, ..] => ScsiResponse::Good,
            [1, key, asc, ascq, ..] => ScsiResponse::Check(Sense { key, asc, ascq }),
            [_, status, h0, h1, d0, d1, ..] => ScsiResponse::Transport(
                status,
                u16::from_le_bytes([h0, h1]),
                u16::from_le_bytes([d0, d1]),
            ),
        }
    }
}

/// Sends a command and waits at most `timeout` for its answer.
///
/// The kernel's error recovery may take longer. Allocates nothing, since it runs in the helper.
pub fn send(device: impl AsFd, command: Command, timeout: Duration) -> Result<ScsiResponse, Errno> {
    let (cdb, length) = command.cdb();
    let mut sense = [0u8; SENSE_LENGTH];
    let mut header = SgIoHdr {
        interface_id: 'S' as libc::c_int,
        dxfer_direction: SG_DXFER_NONE,
        cmd_len: length,
        mx_sb_len: SENSE_LENGTH as u8,
        iovec_count: 0,
        dxfer_len: 0,
        dxferp: std::ptr::null_mut(),
        cmdp: cdb.as_ptr(),
        sbp: sense.as_mut_ptr(),
        timeout: u32::try_from(timeout.as_millis()).unwrap_or(u32::MAX).max(1),
        flags: 0,
        pack_id: 0,
        usr_ptr: std::ptr::null_mut(),
        status: 0,
        masked_status: 0,
        msg_status: 0,
        sb_len_wr: 0,
        host_status: 0,
        driver_status: 0,
        resid: 0,
        duration: 0,
        info: 0,
    };
    // SAFETY: the header is a `struct sg_io_hdr` whose pointers are those of `cdb` and `sense`, with
    // their true lengths; all three outlive the call, and no data is transferred.
    unsafe { ioctl::with(device, SG_IO, &mut header) }?;
    let written = usize::from(header.sb_len_wr).min(SENSE_LENGTH);
    if let Some(sense) = Sense::parse(&sense[..written]) {
        return Ok(ScsiResponse::Check(sense));
    }
    match (header.status, header.host_status, header.driver_status) {
        (0, 0, 0) => Ok(ScsiResponse::Good),
        (status, host, driver) => Ok(ScsiResponse::Transport(status, host, driver)),
    }
}
