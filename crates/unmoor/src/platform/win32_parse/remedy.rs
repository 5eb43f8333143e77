//! Remedies for what blocks, in words and as a command.
//!
//! A command is one that `cmd` and PowerShell both run as it stands; where a name cannot be written in
//! one, or where only the user can do it, there is none.

use crate::model::blocker::Role;
use crate::platform::win32_parse::command_line::{powershell, quoted};

/// Process that blocks.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Holder {
    pub pid: u32,
    /// The process is this program.
    pub is_this: bool,
    /// The process is an ancestor of this program.
    pub is_ancestor: bool,
    /// The process is Windows Explorer.
    pub is_explorer: bool,
    /// Windows ends with the process.
    pub is_critical: bool,
    /// This user may open the process, and so end it.
    pub is_open: bool,
    /// Services that run in the process.
    pub services: Vec<String>,
    /// Title of its window.
    pub window: Option<String>,
    /// A handle of it can write.
    pub writing: bool,
    /// Only its current directory is on the drive.
    pub only_there: bool,
    /// Only programs and libraries that it runs are on the drive.
    pub only_runs: bool,
}

/// Process in which the kernel and its drivers have files open.
pub(crate) const SYSTEM: u32 = 4;

/// Returns the role that decides whether `--kill` may end the process.
pub(crate) fn role(holder: &Holder) -> Role {
    if holder.is_this || holder.is_ancestor {
        Role::Caller
    } else if holder.pid == SYSTEM {
        Role::Kernel
    } else if !holder.services.is_empty() {
        Role::Service
    } else if holder.is_explorer || holder.is_critical {
        Role::Manager
    } else {
        Role::Program
    }
}

/// Returns what would close the files of a process.
pub(crate) fn holder(holder: &Holder) -> (String, Option<String>) {
    let words = |words: &str| words.to_string();
    if holder.is_this {
        let how = match (holder.only_there, holder.only_runs) {
            (true, _) => "start this program from another directory",
            (_, true) => "start this program from a copy elsewhere",
            _ => "do not let this program write there",
        };
        return (words(how), None);
    }
    if holder.pid == SYSTEM {
        let how = "close file shares, mounted images and virus scans of this drive";
        return (words(how), None);
    }
    if holder.is_ancestor {
        let how =
            if holder.only_there { "leave the directory there: C:" } else { "close it there" };
        return (words(how), None);
    }
    // A user who may not open the process may not stop its services either.
    let as_whom = if holder.is_open { "" } else { ", as administrator" };
    match holder.services.as_slice() {
        [] => {}
        [one] => {
            let command = quoted(one).map(|name| format!("net stop {name} /y"));
            return (format!("stop the service{as_whom}"), command);
        }
        several => {
            let services = several.join(", ");
            return (
                format!("stop the one of its services that uses it{as_whom}: {services}"),
                None,
            );
        }
    }
    if holder.is_explorer {
        return (words("close the windows that show what is on it"), None);
    }
    if holder.is_critical {
        return (words("Windows cannot do without it: restart Windows"), None);
    }
    let how = match (holder.writing, holder.only_there) {
        (true, _) => "save and close it",
        (_, true) => "leave that directory",
        _ => "close it",
    };
    let how = match &holder.window {
        Some(title) => format!("{how} (window \"{title}\"), or end the program"),
        None => format!("{how}, or end the program"),
    };
    if !holder.is_open {
        return (format!("{how} as administrator"), None);
    }
    // A program with a window is asked to close, and may ask whether to save; one without cannot be.
    let command = match holder.window.is_some() {
        true => format!("taskkill /PID {}", holder.pid),
        false => format!("taskkill /PID {} /F", holder.pid),
    };
    (how, Some(command))
}

/// Returns what detaches a virtual disk or disc.
pub fn image(file: &str) -> (String, Option<String>) {
    ("detach the image".into(), powershell("Dismount-DiskImage -ImagePath", file))
}

/// Returns what dismounts the container behind a letter, with the program that mounted it.
pub(crate) fn container(program: &str, letter: char) -> (String, Option<String>) {
    let command = format!("{} /q /d {letter}", program.to_lowercase());
    (format!("dismount it with {program}"), Some(command))
}

/// Returns the command that removes a volume from a folder.
pub fn mounted_folder(folder: &str) -> Option<String> {
    quoted(folder).map(|folder| format!("mountvol {folder} /D"))
}

/// Returns how a page file is moved.
pub(crate) fn page_file() -> String {
    "take the page file off it (System Properties, Advanced, Performance, Virtual memory) and restart \
     Windows"
        .into()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn editor() -> Holder {
        Holder { pid: 4312, is_open: true, writing: true, ..Holder::default() }
    }

    fn command(of: Holder) -> Option<String> {
        holder(&of).1
    }

    #[test]
    fn a_program_with_a_window_is_asked_and_one_without_is_ended() {
        let with = Holder { window: Some("letter - Notepad".into()), ..editor() };
        assert_eq!(command(with.clone()).as_deref(), Some("taskkill /PID 4312"));
        assert!(holder(&with).0.contains("\"letter - Notepad\""));
        assert_eq!(command(editor()).as_deref(), Some("taskkill /PID 4312 /F"));
    }

    #[test]
    fn a_process_that_must_not_be_ended_has_no_command() {
        for of in [
            Holder { is_this: true, ..editor() },
            Holder { pid: SYSTEM, ..editor() },
            Holder { is_ancestor: true, ..editor() },
            Holder { is_explorer: true, ..editor() },
            Holder { is_critical: true, ..editor() },
            Holder { is_open: false, ..editor() },
        ] {
            assert_eq!(command(of.clone()), None, "{of:?}");
        }
    }

    #[test]
    fn only_a_program_that_somebody_started_may_be_ended() {
        let roles = [
            (editor(), Role::Program),
            (Holder { is_this: true, ..editor() }, Role::Caller),
            (Holder { is_ancestor: true, ..editor() }, Role::Caller),
            (Holder { pid: SYSTEM, ..editor() }, Role::Kernel),
            (Holder { services: vec!["A".into()], ..editor() }, Role::Service),
            (Holder { is_explorer: true, ..editor() }, Role::Manager),
            (Holder { is_critical: true, ..editor() }, Role::Manager),
        ];
        for (holder, expected) in roles {
            assert_eq!(role(&holder), expected, "{holder:?}");
        }
    }

    #[test]
    fn a_service_is_stopped_as_one() {
        let one = Holder { services: vec!["My Service".into()], ..editor() };
        assert_eq!(command(one).as_deref(), Some("net stop \"My Service\" /y"));
        let closed = Holder { services: vec!["A".into()], is_open: false, ..editor() };
        assert_eq!(holder(&closed).0, "stop the service, as administrator");
        let several = Holder { services: vec!["A".into(), "B".into()], ..editor() };
        assert_eq!(command(several.clone()), None);
        assert!(holder(&several).0.ends_with("A, B"));
        let odd = Holder { services: vec!["%PATH%".into()], ..editor() };
        assert_eq!(command(odd), None);
    }

    #[test]
    fn images_and_folders_have_their_own_commands() {
        let (_, command) = image(r"E:\my disk.vhdx");
        assert_eq!(
            command.as_deref(),
            Some(
                r#"powershell -NoProfile -Command "Dismount-DiskImage -ImagePath 'E:\my disk.vhdx'""#
            )
        );
        let command = mounted_folder(r"E:\my folder\");
        assert_eq!(command.as_deref(), Some(r#"mountvol "E:\my folder" /D"#));
    }
}
