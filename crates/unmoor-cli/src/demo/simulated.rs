//! The demonstration's stick in memory, with a real clock.

use super::stick::{FILES, Stick, checksum_files, copied};
use std::ffi::OsString;
use unmoor::DriveId;
use unmoor::platform::Platform;
use unmoor_simulated::{DriveSetup, HandleId, Semantics, Simulated, VolumeSetup};

/// Write speed of an ordinary stick, so that progress is visible.
const BYTES_PER_SECOND: u64 = 12_000_000;
const VOLUME: &str = "sim:stick1";
/// Process ids of the copying program and the editor.
const COPY: u32 = 4300;
const EDITOR: u32 = 4312;

pub struct Memory {
    machine: Simulated,
    drive: DriveId,
    open: Option<HandleId>,
}

impl Memory {
    pub fn plugged_in() -> Memory {
        let manner = Semantics::native();
        let place = if manner == Semantics::Windows { "E:\\" } else { "/media/stick" };
        let volume = VolumeSetup::partition("vfat").label("HOLIDAY").mounted(place);
        let stick = DriveSetup::stick("stick").model("stick").size(16_000_000_000);
        let machine = Simulated::new(manner).with_real_clock();
        let drive = machine.plug(&stick.bytes_per_second(BYTES_PER_SECOND).volume(volume));
        machine.program(COPY, "cp");
        machine.program(EDITOR, "editor");
        Memory { machine, drive, open: None }
    }

    fn write(&self, pid: u32, path: &str, content: &[u8]) -> Result<HandleId, String> {
        let file = self.machine.open_file(self.drive, VOLUME, pid, path);
        let file = file.map_err(|e| e.to_string())?;
        self.machine.write(file, content).map_err(|e| e.to_string())?;
        Ok(file)
    }
}

impl Stick for Memory {
    fn machine(&self) -> &dyn Platform {
        &self.machine
    }

    fn target(&self) -> OsString {
        "sim:stick".into()
    }

    fn description(&self) -> String {
        "sim:stick, a USB stick that writes 12 MB a second.".into()
    }

    fn copy(&mut self) -> Result<String, String> {
        for (name, content) in (0..FILES).map(checksum_files) {
            let file = self.write(COPY, &format!("/{name}"), &content)?;
            self.machine.close(file);
        }
        Ok(copied(self))
    }

    fn open_file(&mut self) -> Result<String, String> {
        self.open = Some(self.write(EDITOR, "/letter.txt", b"Dear Ada,\n")?);
        Ok(format!("editor (pid {EDITOR}) writes letter.txt, and has not closed it."))
    }

    fn close_file(&mut self) -> Result<(), String> {
        if let Some(open) = self.open.take() {
            self.machine.close(open);
        }
        Ok(())
    }

    fn inspect(&mut self) -> Result<Vec<String>, String> {
        let (written, there) =
            (self.machine.written(self.drive), self.machine.medium_contents(self.drive));
        if written != there {
            return Err("the medium does not hold what was written".into());
        }
        Ok(vec![format!(
            "{} of {} files, byte for byte: nothing was lost.",
            there.len(),
            written.len()
        )])
    }
}
