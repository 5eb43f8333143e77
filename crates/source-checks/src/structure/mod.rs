//! `cargo xtask structure`: no import circle between files, and no import that runs upward between layers.
//!
//! Code under `#[cfg(test)]` is exempt from both rules.

mod circles;
mod imports;
mod layers;
mod module_tree;
#[cfg(test)]
mod tests;

use std::path::Path;

use anyhow::Result;

use circles::circles;
use imports::{Import, imports};
use layers::{LIBRARY, Layer, Offence};
use module_tree::ModuleTree;

/// Source folder of the crate that has layers.
const LAYERED: (&str, &[Layer]) = ("crates/unmoor/src", LIBRARY);

/// Source folders that are not checked, with the reason.
const EXEMPT: &[(&str, &str)] =
    &[("crates/fuzzing/src", "it compiles files of other crates in, by #[path]")];

/// Checks every crate and prints each offence. Returns the number of offences.
pub fn check(repository: &Path) -> Result<usize> {
    let mut count = 0;
    let sources = sources(repository)?;
    for source in &sources {
        let folder = repository.join(source);
        let layers = if source == LAYERED.0 { LAYERED.1 } else { &[] };
        for root in ["lib.rs", "main.rs"].into_iter().filter(|root| folder.join(root).exists()) {
            let tree = ModuleTree::load(&folder, root)?;
            let found = report(&tree, source, layers);
            found.iter().for_each(|line| println!("{line}"));
            count += found.len();
        }
    }
    println!("structure: {count} offences in {} crates", sources.len());
    Ok(count)
}

/// Returns the source folders of the workspace, relative to the repository.
fn sources(repository: &Path) -> Result<Vec<String>> {
    let mut sources = vec!["xtask/src".to_owned()];
    for entry in std::fs::read_dir(repository.join("crates"))? {
        sources.push(format!("crates/{}/src", entry?.file_name().to_string_lossy()));
    }
    sources.sort();
    sources.retain(|source| EXEMPT.iter().all(|(exempt, _)| source != exempt));
    Ok(sources)
}

/// Returns one text for each offence in a crate.
fn report(tree: &ModuleTree, source: &str, layers: &'static [Layer]) -> Vec<String> {
    let name = |file: usize| format!("{source}/{}", tree.files[file]);
    let place = |import: &Import| format!("{}:{}", name(import.from), import.line);
    let all = imports(tree);
    let mut lines = Vec::new();
    for circle in circles(&all) {
        let way: Vec<&str> = circle
            .way
            .iter()
            .chain(circle.way.first())
            .map(|file| tree.files[*file].as_str())
            .collect();
        let mut text = format!(
            "{source}: import circle {}; {} files lie on circles with these",
            way.join(" -> "),
            circle.size
        );
        for import in &circle.imports {
            text.push_str(&format!(
                "\n  {}: imports {} of {}",
                place(import),
                import.path,
                tree.files[import.to]
            ));
        }
        lines.push(text);
    }
    if layers.is_empty() {
        return lines;
    }
    for offence in layers::offences(tree, &all, layers) {
        lines.push(match offence {
            Offence::Unplaced { file } => {
                format!("{}: the file belongs to no layer of structure/layers.rs", name(file))
            }
            Offence::Upward { import, from, to } => format!(
                "{}: imports {} of {}, but \"{from}\" may not import \"{to}\"",
                place(&import),
                import.path,
                tree.files[import.to]
            ),
        });
    }
    lines
}
