//! Small made-up crates, one for each kind of offence.

use std::fs;

use anyhow::Result;

use super::layers::Layer;
use super::module_tree::ModuleTree;
use super::report;

const LAYERS: &[Layer] = &[
    Layer { name: "model", files: &["model/"], may_import: &[] },
    Layer { name: "seam", files: &["platform/mod.rs"], may_import: &["model"] },
    Layer { name: "linux", files: &["platform/linux/"], may_import: &["seam", "model"] },
    Layer { name: "front page", files: &["lib.rs"], may_import: &["linux", "seam", "model"] },
];

/// Returns the offences in a crate of these files.
fn offences(files: &[(&str, &str)], layers: &'static [Layer]) -> Result<Vec<String>> {
    let folder = tempfile::tempdir()?;
    for (name, text) in files {
        let path = folder.path().join(name);
        fs::create_dir_all(path.parent().unwrap_or(folder.path()))?;
        fs::write(path, text)?;
    }
    let tree = ModuleTree::load(folder.path(), "lib.rs")?;
    Ok(report(&tree, "src", layers))
}

#[track_caller]
fn expect_one(files: &[(&str, &str)], layers: &'static [Layer], parts: &[&str]) {
    let found = offences(files, layers).unwrap();
    assert_eq!(found.len(), 1, "{found:#?}");
    for part in parts {
        assert!(found[0].contains(part), "{part:?} is not in {}", found[0]);
    }
}

#[track_caller]
fn expect_none(files: &[(&str, &str)], layers: &'static [Layer]) {
    assert_eq!(offences(files, layers).unwrap(), Vec::<String>::new());
}

#[test]
fn a_circle_of_two_files_is_found() {
    expect_one(
        &[
            ("lib.rs", "mod a; mod b;"),
            ("a.rs", "use crate::b::B;\npub struct A(B);"),
            ("b.rs", "\nuse super::a::A;\npub struct B(Box<A>);"),
        ],
        &[],
        &[
            "a.rs -> b.rs -> a.rs",
            "src/a.rs:1: imports crate::b::B",
            "src/b.rs:2: imports super::a::A",
        ],
    );
}

#[test]
fn grouped_uses_and_self_are_seen() {
    expect_one(
        &[
            ("lib.rs", "mod a; mod b;"),
            ("a.rs", "use crate::{b::{self, inner::C}};\npub fn a(_: C) { b::inner::c() }"),
            ("b/mod.rs", "pub mod inner;"),
            ("b/inner.rs", "pub struct C;\npub fn c() { crate::a::a(C) }"),
        ],
        &[],
        &["a.rs -> b/inner.rs -> a.rs", "src/b/inner.rs:2: imports crate::a::a"],
    );
}

#[test]
fn a_function_named_like_its_module_is_not_what_a_longer_path_names() {
    expect_none(
        &[
            ("lib.rs", "mod a;\npub use crate::a::a;"),
            ("a/mod.rs", "mod b;\nuse crate::a::b::B;\npub fn a(_: B) {}"),
            ("a/b.rs", "mod c;\nuse crate::a::b::c::C;\npub struct B(C);"),
            ("a/b/c.rs", "pub struct C;"),
        ],
        &[],
    );
}

#[test]
fn a_path_in_a_macro_or_a_signature_is_an_import() {
    expect_one(
        &[
            ("lib.rs", "mod a; mod b;"),
            ("a.rs", "pub fn a() -> String {\n    format!(\"{}\", crate::b::name())\n}"),
            (
                "b.rs",
                "pub fn name() -> &'static str { \"\" }\npub fn b(_: fn() -> super::a::Missing) {}",
            ),
        ],
        &[],
        &["src/a.rs:2: imports crate::b::name", "src/b.rs:2: imports super::a::Missing"],
    );
}

#[test]
fn a_reexport_is_followed_to_the_file_that_defines_the_item() {
    // By way of the root, which would otherwise lie on a circle with every file.
    expect_none(
        &[
            ("lib.rs", "mod a; mod b;\npub use a::A;\npub use b::B;"),
            ("a.rs", "pub struct A;"),
            ("b.rs", "use crate::A;\npub struct B(A);"),
        ],
        &[],
    );
}

#[test]
fn a_parent_that_uses_what_it_reexports_does_import_it() {
    expect_one(
        &[
            ("lib.rs", "mod a;"),
            (
                "a/mod.rs",
                "mod child;\npub use child::Child;\npub struct Parent;\npub fn new() -> Child { todo!() }",
            ),
            ("a/child.rs", "use super::Parent;\npub struct Child(Parent);"),
        ],
        &[],
        &["a/mod.rs -> a/child.rs -> a/mod.rs"],
    );
}

#[test]
fn a_parent_that_only_declares_and_reexports_does_not_import() {
    expect_none(
        &[
            ("lib.rs", "mod a;"),
            ("a/mod.rs", "mod child;\npub use child::Child;\npub struct Parent;"),
            ("a/child.rs", "use super::Parent;\npub struct Child(Parent);"),
        ],
        &[],
    );
}

#[test]
fn tests_may_import_what_they_like() {
    expect_none(
        &[
            ("lib.rs", "mod a; mod b;"),
            (
                "a.rs",
                "pub struct A;\n#[cfg(test)]\nmod tests { use crate::b::B; #[test] fn t() { B::new(); } }",
            ),
            (
                "b.rs",
                "use crate::a::A;\npub struct B(A);\n#[cfg(all(test, unix))]\nuse crate::missing;",
            ),
        ],
        &[],
    );
}

#[test]
fn a_use_inside_a_function_is_an_import() {
    expect_one(
        &[
            ("lib.rs", "mod a; mod b;"),
            ("a.rs", "pub fn a() {\n    use crate::b::b;\n    b();\n}"),
            ("b.rs", "pub fn b() { crate::a::a() }"),
        ],
        &[],
        &["src/a.rs:2: imports crate::b::b"],
    );
}

const TREE: &[(&str, &str)] = &[
    ("lib.rs", "mod model; mod platform;\npub use model::Drive;\npub use platform::Session;"),
    ("model/mod.rs", "mod drive;\npub use drive::Drive;"),
    (
        "platform/mod.rs",
        "mod linux;\nuse crate::model::Drive;\npub trait Session { fn drive(&self) -> Drive; }",
    ),
    ("platform/linux/mod.rs", "use super::Session;\npub fn open() -> Box<dyn Session> { todo!() }"),
];

fn with(extra: (&'static str, &'static str)) -> Vec<(&'static str, &'static str)> {
    let mut files: Vec<_> = TREE.iter().copied().filter(|(name, _)| *name != extra.0).collect();
    files.push(extra);
    files
}

#[test]
fn imports_that_run_downward_are_fine() {
    expect_none(&with(("model/drive.rs", "pub struct Drive;")), LAYERS);
}

#[test]
fn an_upward_import_is_found_by_use_and_by_path() {
    let text = "pub struct Drive;\npub fn f(_: &dyn crate::platform::Session) {}";
    let found = offences(&with(("model/drive.rs", text)), LAYERS).unwrap();
    let upward: Vec<_> = found.iter().filter(|line| line.contains("may not import")).collect();
    assert_eq!(upward.len(), 1, "{found:#?}");
    assert!(
        upward[0].starts_with(
            "src/model/drive.rs:2: imports crate::platform::Session of platform/mod.rs"
        )
    );
    assert!(upward[0].contains("\"model\" may not import \"seam\""));
}

#[test]
fn an_upward_import_through_the_roots_reexport_is_found() {
    let text = "use crate::Session;\npub struct Drive(Box<dyn Session>);";
    let found = offences(&with(("model/drive.rs", text)), LAYERS).unwrap();
    assert!(
        found.iter().any(|line| line.contains("\"model\" may not import \"seam\"")),
        "{found:#?}"
    );
}

#[test]
fn a_file_without_a_layer_is_found() {
    let mut files = with(("model/drive.rs", "pub struct Drive;"));
    files[0] = ("lib.rs", "mod model; mod platform; mod stray;");
    files.push(("stray.rs", ""));
    expect_one(&files, LAYERS, &["src/stray.rs: the file belongs to no layer"]);
}
