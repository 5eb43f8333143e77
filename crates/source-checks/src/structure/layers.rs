//! The library's layers, lowest first, and which of them each may import.

use super::imports::Import;
use super::module_tree::ModuleTree;

/// Files that belong together, and the layers below them.
pub struct Layer {
    pub name: &'static str,
    /// Folders (with a `/` at the end) and files, relative to the source folder. The longest match counts.
    pub files: &'static [&'static str],
    /// Layers whose files this one may import, besides its own.
    pub may_import: &'static [&'static str],
}

/// The layers of `crates/unmoor/src`.
pub const LIBRARY: &[Layer] = &[
    Layer { name: "model", files: &["model/"], may_import: &[] },
    Layer { name: "deadline", files: &["deadline.rs"], may_import: &["model"] },
    Layer { name: "options", files: &["options.rs"], may_import: &["deadline", "model"] },
    Layer { name: "policy", files: &["policy/"], may_import: &["options", "deadline", "model"] },
    Layer {
        name: "platform seam",
        files: &[
            "platform/mod.rs",
            "platform/coalesce.rs",
            "platform/pattern.rs",
            "platform/stuck_pool.rs",
            "platform/watcher.rs",
        ],
        may_import: &["deadline", "model"],
    },
    Layer { name: "pattern", files: &["platform/pattern.rs"], may_import: &[] },
    Layer {
        name: "win32_parse",
        files: &["platform/win32_parse/"],
        may_import: &["pattern", "model"],
    },
    Layer {
        name: "release",
        files: &["release/"],
        may_import: &["policy", "options", "platform seam", "deadline", "model"],
    },
    Layer {
        name: "linux sys",
        files: &["platform/linux/sys/"],
        may_import: &["deadline", "model"],
    },
    Layer {
        name: "linux helper",
        files: &["platform/linux/helper/"],
        may_import: &["linux sys", "platform seam", "deadline", "model"],
    },
    Layer {
        name: "linux inventory",
        files: &["platform/linux/inventory/"],
        may_import: &["linux helper", "linux sys", "platform seam", "pattern", "deadline", "model"],
    },
    Layer {
        name: "linux blockers",
        files: &["platform/linux/blockers/"],
        may_import: &[
            "linux inventory",
            "linux helper",
            "linux sys",
            "platform seam",
            "deadline",
            "model",
        ],
    },
    Layer {
        name: "linux release",
        files: &["platform/linux/release/"],
        may_import: &[
            "linux blockers",
            "linux inventory",
            "linux helper",
            "linux sys",
            "platform seam",
            "deadline",
            "model",
        ],
    },
    Layer {
        name: "linux session",
        files: &["platform/linux/session.rs", "platform/linux/tape_session.rs"],
        may_import: &[
            "linux release",
            "linux blockers",
            "linux inventory",
            "linux helper",
            "linux sys",
            "platform seam",
            "deadline",
            "model",
        ],
    },
    Layer {
        name: "linux udisks",
        files: &["platform/linux/udisks/"],
        may_import: &[
            "linux session",
            "linux release",
            "linux blockers",
            "linux inventory",
            "linux helper",
            "linux sys",
            "platform seam",
            "deadline",
            "model",
        ],
    },
    Layer {
        name: "linux",
        files: &["platform/linux/mod.rs"],
        may_import: &[
            "linux udisks",
            "linux session",
            "linux release",
            "linux blockers",
            "linux inventory",
            "linux helper",
            "linux sys",
            "platform seam",
            "deadline",
            "model",
        ],
    },
    Layer {
        name: "windows sys",
        files: &["platform/windows/sys/"],
        may_import: &["win32_parse", "deadline", "model"],
    },
    Layer {
        name: "windows inventory",
        files: &["platform/windows/inventory/"],
        may_import: &[
            "windows sys",
            "win32_parse",
            "platform seam",
            "pattern",
            "deadline",
            "model",
        ],
    },
    Layer {
        name: "windows blockers",
        files: &["platform/windows/blockers/"],
        may_import: &[
            "windows inventory",
            "windows sys",
            "win32_parse",
            "platform seam",
            "deadline",
            "model",
        ],
    },
    Layer {
        name: "windows release",
        files: &["platform/windows/release/"],
        may_import: &[
            "windows blockers",
            "windows inventory",
            "windows sys",
            "win32_parse",
            "platform seam",
            "deadline",
            "model",
        ],
    },
    Layer {
        name: "windows session",
        files: &["platform/windows/session.rs"],
        may_import: &[
            "windows release",
            "windows blockers",
            "windows inventory",
            "windows sys",
            "win32_parse",
            "platform seam",
            "deadline",
            "model",
        ],
    },
    Layer {
        name: "windows",
        files: &["platform/windows/mod.rs"],
        may_import: &[
            "windows session",
            "windows release",
            "windows blockers",
            "windows inventory",
            "windows sys",
            "win32_parse",
            "platform seam",
            "deadline",
            "model",
        ],
    },
    // Chooses the system that the program runs on.
    Layer {
        name: "host platform",
        files: &["platform/host.rs"],
        may_import: &["linux", "windows", "platform seam", "model"],
    },
    // Parsers of every layer, for fuzz targets.
    Layer {
        name: "fuzzing door",
        files: &["fuzzing.rs"],
        may_import: &[
            "linux blockers",
            "linux inventory",
            "linux sys",
            "win32_parse",
            "platform seam",
            "model",
        ],
    },
    Layer {
        name: "front page",
        files: &["lib.rs"],
        may_import: &[
            "host platform",
            "linux",
            "windows",
            "release",
            "policy",
            "options",
            "platform seam",
            "deadline",
            "model",
        ],
    },
];

/// A file or an import that the layers do not allow.
#[derive(Debug, PartialEq, Eq)]
pub enum Offence {
    /// A file that belongs to no layer.
    Unplaced {
        file: usize,
    },
    Upward {
        import: Import,
        from: &'static str,
        to: &'static str,
    },
}

/// Returns what the layers do not allow. An import of a file without a layer is reported with that file.
pub fn offences(tree: &ModuleTree, imports: &[Import], layers: &'static [Layer]) -> Vec<Offence> {
    let unplaced = (0..tree.files.len()).filter(|file| layer_of(tree, layers, *file).is_none());
    let mut offences: Vec<Offence> = unplaced.map(|file| Offence::Unplaced { file }).collect();
    for import in imports {
        let (Some(from), Some(to)) =
            (layer_of(tree, layers, import.from), layer_of(tree, layers, import.to))
        else {
            continue;
        };
        if from.name != to.name && !from.may_import.contains(&to.name) {
            offences.push(Offence::Upward { import: import.clone(), from: from.name, to: to.name });
        }
    }
    offences
}

fn layer_of(tree: &ModuleTree, layers: &'static [Layer], file: usize) -> Option<&'static Layer> {
    let path = &tree.files[file];
    let matches =
        layers.iter().flat_map(|layer| layer.files.iter().map(move |name| (layer, *name)));
    let matches = matches.filter(|(_, name)| match name.ends_with('/') {
        true => path.starts_with(name),
        false => path == name,
    });
    matches.max_by_key(|(_, name)| name.len()).map(|(layer, _)| layer)
}
