//! Imports between files, by `use` and by paths in the code.
//!
//! A re-export is followed to the file that defines the item. A module that only declares and re-exports its
//! children does not import them.

use std::collections::BTreeSet;

use super::module_tree::{ModuleId, ModuleTree, Use};

/// One import between two files of a crate.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Import {
    /// Index of the importing file in [`ModuleTree::files`].
    pub from: usize,
    pub to: usize,
    pub line: usize,
    /// The path as written.
    pub path: String,
}

/// Module or item that a path names.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Target {
    Module(ModuleId),
    /// An item, by the module that defines it.
    Item(ModuleId),
}

/// Returns every import of the crate, sorted by file and line.
pub fn imports(tree: &ModuleTree) -> Vec<Import> {
    let mut imports = BTreeSet::new();
    for (id, module) in tree.modules.iter().enumerate() {
        let mut add = |path: &[String], line: usize, ignored: &dyn Fn(ModuleId) -> bool| {
            for target in resolve(tree, id, path, &mut BTreeSet::new()) {
                let Target::Item(owner) = target else { continue };
                let (from, to) = (module.file, tree.modules[owner].file);
                if from != to && !ignored(owner) {
                    imports.insert(Import { from, to, line, path: path.join("::") });
                }
            }
        };
        for one in &module.uses {
            let only_reexported = one.is_reexport && !module.mentioned.contains(&one.name);
            let mut path = one.path.clone();
            if one.name == "*" {
                path.push("*".to_owned());
            }
            add(&path, one.line, &|owner| only_reexported && is_below(tree, owner, id));
        }
        for path in &module.paths {
            add(&path.segments, path.line, &|_| false);
        }
    }
    imports.into_iter().collect()
}

/// Returns true if the module lies below `ancestor`.
fn is_below(tree: &ModuleTree, module: ModuleId, ancestor: ModuleId) -> bool {
    let mut parent = tree.modules[module].parent;
    while let Some(id) = parent {
        if id == ancestor {
            return true;
        }
        parent = tree.modules[id].parent;
    }
    false
}

type Visited = BTreeSet<(ModuleId, String)>;

/// Returns what a path in this module names; nothing for other crates.
fn resolve(
    tree: &ModuleTree,
    module: ModuleId,
    path: &[String],
    visited: &mut Visited,
) -> BTreeSet<Target> {
    let Some((first, rest)) = path.split_first() else {
        return BTreeSet::from([Target::Module(module)]);
    };
    let starts = match first.as_str() {
        "crate" => BTreeSet::from([Target::Module(root(tree, module))]),
        "self" => BTreeSet::from([Target::Module(module)]),
        "super" => tree.modules[module].parent.map(Target::Module).into_iter().collect(),
        name => {
            let mut found = lookup(tree, module, name, visited);
            only_modules_go_on(&mut found, rest);
            found
        }
    };
    starts.into_iter().flat_map(|start| descend(tree, start, rest, visited)).collect()
}

/// Removes the items if a path goes on behind a name that a module has too, as a function may.
fn only_modules_go_on(found: &mut BTreeSet<Target>, rest: &[String]) {
    let is_module = |target: &Target| matches!(target, Target::Module(_));
    if !rest.is_empty() && found.iter().any(is_module) {
        found.retain(is_module);
    }
}

fn descend(
    tree: &ModuleTree,
    start: Target,
    rest: &[String],
    visited: &mut Visited,
) -> BTreeSet<Target> {
    let (Target::Module(module), Some((name, rest))) = (start, rest.split_first()) else {
        return BTreeSet::from([start]);
    };
    if name == "super" {
        let parent = tree.modules[module].parent.map(Target::Module);
        return parent.into_iter().flat_map(|up| descend(tree, up, rest, visited)).collect();
    }
    if name == "*" {
        return BTreeSet::from([Target::Item(module)]);
    }
    let mut found = lookup(tree, module, name, visited);
    if found.is_empty() {
        // The name of something that a macro defines.
        return BTreeSet::from([Target::Item(module)]);
    }
    only_modules_go_on(&mut found, rest);
    found.into_iter().flat_map(|next| descend(tree, next, rest, visited)).collect()
}

/// Returns what a name means inside a module.
fn lookup(
    tree: &ModuleTree,
    module: ModuleId,
    name: &str,
    visited: &mut Visited,
) -> BTreeSet<Target> {
    let mut found = BTreeSet::new();
    let here = &tree.modules[module];
    if here.items.contains(name) {
        found.insert(Target::Item(module));
    }
    if let Some(child) = here.children.get(name) {
        found.insert(Target::Module(*child));
    }
    if !visited.insert((module, name.to_owned())) {
        return found;
    }
    let named: Vec<&Use> = here.uses.iter().filter(|one| one.name == name).collect();
    for one in named {
        // `use name::…` names another crate unless there is such a module.
        if one.path.first().is_some_and(|first| first != name) || found.is_empty() {
            found.extend(resolve(tree, module, &one.path, visited));
        }
    }
    if found.is_empty() {
        for glob in here.uses.iter().filter(|one| one.name == "*") {
            for target in resolve(tree, module, &glob.path, visited) {
                if let Target::Module(other) = target {
                    found.extend(lookup(tree, other, name, visited));
                }
            }
        }
    }
    visited.remove(&(module, name.to_owned()));
    found
}

fn root(tree: &ModuleTree, mut module: ModuleId) -> ModuleId {
    while let Some(parent) = tree.modules[module].parent {
        module = parent;
    }
    module
}
