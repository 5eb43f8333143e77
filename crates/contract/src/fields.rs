//! The tables of `docs/json.md`, as data.

use crate::shape::Shape::{
    Bool, Count, Hex, List, Number, Object, OrNull, Outcome, Text, Whole, Word,
};
use crate::shape::{Field, Shape, field, sometimes};

const OR_TEXT: Shape = OrNull(&Text);
const OR_COUNT: Shape = OrNull(&Count);
const TEXTS: Shape = List(&Text);

pub const DOCUMENT: &[Field] = &[
    field("schema", Count),
    field("unmoor", Text),
    field(
        "command",
        Word(&["eject", "load", "flush", "remount", "attach", "list", "status", "who"]),
    ),
    field("exit_code", Count),
    sometimes("targets", List(&Object(TARGET))),
    sometimes("left_out", List(&Object(LEFT_OUT))),
    sometimes("drives", List(&Object(DRIVE))),
    sometimes("ports", List(&Object(PORT))),
    field("error", OrNull(&Object(ERROR))),
];

/// A line of `list --watch --json`.
pub const EVENT: &[Field] = &[
    field("schema", Count),
    field("unmoor", Text),
    field("command", Word(&["list"])),
    field("event", Word(&["present", "added", "changed", "removed"])),
    field("drive", Object(DRIVE)),
];

const LEFT_OUT: &[Field] = &[field("name", Text), field("path", Text), field("reason", Text)];

const PORT: &[Field] = &[field("port", Text), field("bus", Word(BUSES))];

const BUSES: &[&str] =
    &["usb", "scsi", "ata", "mmc", "nvme", "virtio", "thunderbolt", "virtual", "other"];

const TARGET: &[Field] = &[
    field("target", Text),
    sometimes("target_bytes", Hex),
    field("outcome", Outcome(OUTCOMES)),
    field("exit_code", Count),
    field("message", Text),
    field("help", OR_TEXT),
    field("drive", OrNull(&Object(DRIVE))),
    field("action", OrNull(&Word(&["eject", "stop", "detach", "power-off", "nothing"]))),
    field(
        "medium_after",
        OrNull(&Word(&["present", "absent", "tray-open", "unknown", "stopped", "gone"])),
    ),
    field("steps", List(&Object(STEP))),
    field("blockers", List(&Object(BLOCKER))),
    field("scan", OrNull(&Object(SCAN))),
    field("ended", List(&Object(ENDED))),
    field("warnings", TEXTS),
    field("lost", List(&Object(ERROR))),
    field("error", OrNull(&Object(ERROR))),
];

/// The outcomes, and the exit code that each means.
pub const OUTCOMES: &[(&str, u64)] = &[
    ("released", 0),
    ("done", 0),
    ("planned", 0),
    ("failed", 1),
    ("refused", 1),
    ("busy", 3),
    ("no-medium", 4),
    ("not-permitted", 5),
    ("no-such-target", 6),
    ("invalid-target", 2),
    ("not-started", 6),
    ("not-supported", 7),
    ("interrupted", 130),
];

const STEPS: Shape = Word(&[
    "resolve",
    "flush",
    "lock",
    "kill",
    "dismount",
    "eject",
    "power-off",
    "load",
    "attach",
    "mount",
    "verify",
    "unlock",
]);

const ERROR: &[Field] = &[
    field(
        "kind",
        Word(&[
            "failed",
            "busy",
            "no-medium",
            "not-permitted",
            "no-such-target",
            "invalid-target",
            "not-supported",
            "refused",
            "gone",
            "replaced",
            "timed-out",
            "unwritten",
            "not-ejected",
            "held",
            "vetoed",
            "not-started",
            "interrupted",
        ]),
    ),
    field("message", Text),
    field("step", OrNull(&STEPS)),
    field("os_code", OrNull(&Whole)),
];

const STEP: &[Field] = &[
    field("step", STEPS),
    field("status", Word(&["done", "skipped", "failed", "planned"])),
    field("ms", Number),
    field("reason", OR_TEXT),
    field("attempts", List(&Object(ATTEMPT))),
];

const ATTEMPT: &[Field] = &[field("method", Text), field("ok", Bool), field("detail", OR_TEXT)];

const DRIVE: &[Field] = &[
    field("name", Text),
    field("path", Text),
    sometimes("path_bytes", Hex),
    field("kind", Word(&["optical", "disk", "card", "loop", "floppy", "tape", "network", "other"])),
    field("bus", Word(BUSES)),
    field("vendor", OR_TEXT),
    field("model", OR_TEXT),
    field("serial", OR_TEXT),
    field("size", OR_COUNT),
    field("removable", Bool),
    field("hotplug", Bool),
    field("read_only", Bool),
    field("medium", Word(&["present", "absent", "tray-open", "unknown"])),
    field("system", TEXTS),
    field("backing_file", OR_TEXT),
    sometimes("backing_file_bytes", Hex),
    field("siblings", TEXTS),
    field("port", OR_TEXT),
    field("volumes", List(&Object(VOLUME))),
];

const VOLUME: &[Field] = &[
    field("name", Text),
    field("path", Text),
    sometimes("path_bytes", Hex),
    field(
        "kind",
        Word(&[
            "disk",
            "partition",
            "crypt",
            "lvm",
            "raid",
            "mapping",
            "loop",
            "overlay",
            "fuse",
            "nbd",
            "other",
        ]),
    ),
    field("on", TEXTS),
    field("spans", TEXTS),
    field("swaps", TEXTS),
    field("label", OR_TEXT),
    field("uuid", OR_TEXT),
    field("file_system", OR_TEXT),
    field("size", OR_COUNT),
    field("read_only", Bool),
    field("unwritten", OR_COUNT),
    field("mounts", List(&Object(MOUNT))),
];

const MOUNT: &[Field] = &[
    field("path", Text),
    sometimes("path_bytes", Hex),
    field("root", Text),
    sometimes("root_bytes", Hex),
    field("file_system", Text),
    field("read_only", Bool),
];

const BLOCKER: &[Field] = &[
    field(
        "kind",
        Word(&[
            "process",
            "mount",
            "namespace",
            "loop",
            "swap",
            "mapping",
            "raid",
            "overlay",
            "export",
            "kernel",
            "unknown",
        ]),
    ),
    field("process", OrNull(&Object(PROCESS))),
    field(
        "role",
        OrNull(&Word(&[
            "program",
            "service",
            "container",
            "manager",
            "server",
            "caller",
            "kernel",
            "unknown",
        ])),
    ),
    field("uses", List(&Object(USE))),
    field("description", Text),
    field("remedy", OR_TEXT),
    field("command", OR_TEXT),
];

const ENDED: &[Field] = &[
    field("process", Object(PROCESS)),
    field("how", Word(&["terminated", "killed", "asked", "remains"])),
];

const PROCESS: &[Field] = &[
    field("pid", Count),
    field("name", Text),
    field("command_line", TEXTS),
    field("user", OR_TEXT),
    field("unit", OR_TEXT),
    field("started", Count),
];

const USE: &[Field] = &[
    field(
        "kind",
        Word(&[
            "open-for-writing",
            "open-file",
            "directory",
            "deleted-file",
            "cwd",
            "root",
            "exe",
            "mmap",
            "device",
            "mount",
            "kernel",
        ]),
    ),
    field("path", OR_TEXT),
    sometimes("path_bytes", Hex),
    field("fd", OR_COUNT),
    field("volume", Text),
    field("writing", Bool),
    field("deleted", Bool),
    field("thread", OR_COUNT),
];

const SCAN: &[Field] = &[
    field("complete", Bool),
    field("unseen_processes", Count),
    field("notes", TEXTS),
    field("bystanders", List(&Object(BLOCKER))),
];

#[cfg(test)]
mod tests {
    use super::*;

    /// The names in the first column of the table below this heading.
    fn documented(heading: &str) -> Vec<String> {
        include_str!("../../../docs/json.md")
            .lines()
            .skip_while(|line| line.trim_start_matches('#') != heading)
            .skip(1)
            .take_while(|line| !line.starts_with('#'))
            .filter_map(|line| line.strip_prefix("| `"))
            .flat_map(|line| {
                let first = line.split('|').next().unwrap_or_default();
                first.split(',').map(|n| n.trim_matches([' ', '`']).to_string()).collect::<Vec<_>>()
            })
            .collect()
    }

    #[test]
    fn the_description_and_the_check_name_the_same_fields() {
        for (heading, fields) in [
            (" Every command", DOCUMENT),
            (" Event", EVENT),
            (" Target", TARGET),
            (" Error", ERROR),
            (" Step", STEP),
            (" Drive", DRIVE),
            (" Volume", VOLUME),
            (" Blocker", BLOCKER),
            (" Ended", ENDED),
            (" Process", PROCESS),
            (" Use", USE),
        ] {
            let checked = fields.iter().map(|f| f.name).filter(|n| !n.ends_with("_bytes"));
            assert!(
                checked.clone().eq(documented(heading)),
                "{heading}: {:?}",
                documented(heading)
            );
        }
        assert!(OUTCOMES.iter().map(|(name, _)| *name).eq(documented(" Outcomes")));
    }
}
