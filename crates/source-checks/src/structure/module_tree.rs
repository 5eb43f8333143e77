//! The modules of one crate, parsed: files, items, `use` declarations and paths in the code.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use proc_macro2::{Delimiter, Spacing, Span, TokenStream, TokenTree};
use quote::ToTokens;
use syn::visit::Visit;
use syn::{Attribute, Item, UseTree, Visibility};

/// Index of a module in [`ModuleTree::modules`].
pub type ModuleId = usize;

/// One parsed crate.
#[derive(Debug, Default)]
pub struct ModuleTree {
    /// Paths of the files, relative to the crate's source folder, with `/` between their parts.
    pub files: Vec<String>,
    pub modules: Vec<Module>,
}

/// One module: a file, or an inline `mod name { … }`.
#[derive(Debug, Default)]
pub struct Module {
    /// Index in [`ModuleTree::files`].
    pub file: usize,
    pub parent: Option<ModuleId>,
    pub children: BTreeMap<String, ModuleId>,
    /// Names of the functions, types, traits, constants and macros that are defined here.
    pub items: BTreeSet<String>,
    pub uses: Vec<Use>,
    /// Paths of two or more segments in the code, outside of `use`.
    pub paths: Vec<InlinePath>,
    /// Names that the code mentions alone: types, and functions where they are called.
    pub mentioned: BTreeSet<String>,
}

/// One name that a `use` brings into a module.
#[derive(Debug)]
pub struct Use {
    /// The name in this module, or `*`.
    pub name: String,
    pub path: Vec<String>,
    /// True if the declaration has a visibility (`pub`, `pub(crate)`, `pub(super)`).
    pub is_reexport: bool,
    pub line: usize,
}

/// One path in the code.
#[derive(Debug)]
pub struct InlinePath {
    pub segments: Vec<String>,
    pub line: usize,
}

impl ModuleTree {
    /// Parses the crate whose root is `root` (`lib.rs`, `main.rs`) in this source folder.
    ///
    /// Items under `#[cfg(test)]` are left out.
    pub fn load(source: &Path, root: &str) -> Result<Self> {
        let mut tree = Self::default();
        tree.add_file(source, Path::new(root), source.to_path_buf(), None)?;
        Ok(tree)
    }

    /// Adds a file as a module. `folder` is where its child modules are.
    fn add_file(
        &mut self,
        source: &Path,
        file: &Path,
        folder: PathBuf,
        parent: Option<ModuleId>,
    ) -> Result<ModuleId> {
        let path = source.join(file);
        let text = fs::read_to_string(&path).with_context(|| path.display().to_string())?;
        let parsed = syn::parse_file(&text).with_context(|| path.display().to_string())?;
        self.files.push(file.to_string_lossy().replace('\\', "/"));
        let id = self.add_module(self.files.len() - 1, parent);
        if !is_test_only(&parsed.attrs) {
            self.add_items(source, id, &folder, &parsed.items)?;
        }
        Ok(id)
    }

    fn add_module(&mut self, file: usize, parent: Option<ModuleId>) -> ModuleId {
        self.modules.push(Module { file, parent, ..Module::default() });
        self.modules.len() - 1
    }

    fn add_items(
        &mut self,
        source: &Path,
        id: ModuleId,
        folder: &Path,
        items: &[Item],
    ) -> Result<()> {
        for item in items {
            if is_test_only(attributes(item)) {
                continue;
            }
            if let Item::Mod(module) = item {
                let name = module.ident.to_string();
                let inside = folder.join(&name);
                let child = match &module.content {
                    Some((_, items)) => {
                        let child = self.add_module(self.modules[id].file, Some(id));
                        self.add_items(source, child, &inside, items)?;
                        child
                    }
                    None => {
                        if module.attrs.iter().any(|attribute| attribute.path().is_ident("path")) {
                            bail!("mod {name}: #[path] is not understood here");
                        }
                        let file = module_file(folder, &name)?;
                        let relative = file.strip_prefix(source)?.to_path_buf();
                        self.add_file(source, &relative, inside, Some(id))?
                    }
                };
                self.modules[id].children.insert(name, child);
                continue;
            }
            let module = &mut self.modules[id];
            Collector { module }.visit_item(item);
            if !matches!(item, Item::Use(_)) {
                module.items.extend(item_names(item));
                scan(item.to_token_stream(), module);
            }
        }
        Ok(())
    }
}

/// Returns the file of a child module: `name.rs` or `name/mod.rs`.
fn module_file(folder: &Path, name: &str) -> Result<PathBuf> {
    let candidates = [folder.join(format!("{name}.rs")), folder.join(name).join("mod.rs")];
    let found = candidates.into_iter().find(|path| path.exists());
    found.with_context(|| format!("no file of mod {name} in {}", folder.display()))
}

/// Collects every `use` of an item, also those inside of functions.
struct Collector<'m> {
    module: &'m mut Module,
}

impl<'ast> Visit<'ast> for Collector<'_> {
    fn visit_item_use(&mut self, item: &'ast syn::ItemUse) {
        if is_test_only(&item.attrs) {
            return;
        }
        let is_reexport = !matches!(item.vis, Visibility::Inherited);
        add_tree(&mut self.module.uses, &item.tree, Vec::new(), is_reexport);
    }
}

fn add_tree(uses: &mut Vec<Use>, tree: &UseTree, mut prefix: Vec<String>, is_reexport: bool) {
    let mut add = |name: String, path: Vec<String>, span: Span| {
        uses.push(Use { name, path, is_reexport, line: span.start().line });
    };
    match tree {
        UseTree::Path(path) => {
            prefix.push(path.ident.to_string());
            add_tree(uses, &path.tree, prefix, is_reexport);
        }
        UseTree::Name(name) if name.ident == "self" => {
            add(prefix.last().cloned().unwrap_or_default(), prefix, name.ident.span());
        }
        UseTree::Name(name) => {
            prefix.push(name.ident.to_string());
            add(name.ident.to_string(), prefix, name.ident.span());
        }
        UseTree::Rename(rename) => {
            if rename.ident != "self" {
                prefix.push(rename.ident.to_string());
            }
            add(rename.rename.to_string(), prefix, rename.ident.span());
        }
        UseTree::Glob(glob) => add("*".to_owned(), prefix, glob.star_token.spans[0]),
        UseTree::Group(group) => {
            for tree in &group.items {
                add_tree(uses, tree, prefix.clone(), is_reexport);
            }
        }
    }
}

/// Returns true if the attributes hold `#[cfg(test)]` or `#[cfg(all(test, …))]`.
fn is_test_only(attributes: &[Attribute]) -> bool {
    attributes.iter().any(|attribute| {
        let syn::Meta::List(list) = &attribute.meta else { return false };
        let text: String = list.tokens.to_string().split_whitespace().collect();
        attribute.path().is_ident("cfg")
            && (text == "test" || text.starts_with("all(test,") || text == "all(test)")
    })
}

fn attributes(item: &Item) -> &[Attribute] {
    match item {
        Item::Const(item) => &item.attrs,
        Item::Enum(item) => &item.attrs,
        Item::Fn(item) => &item.attrs,
        Item::Impl(item) => &item.attrs,
        Item::Macro(item) => &item.attrs,
        Item::Mod(item) => &item.attrs,
        Item::Static(item) => &item.attrs,
        Item::Struct(item) => &item.attrs,
        Item::Trait(item) => &item.attrs,
        Item::Type(item) => &item.attrs,
        Item::Union(item) => &item.attrs,
        Item::Use(item) => &item.attrs,
        _ => &[],
    }
}

fn item_names(item: &Item) -> Option<String> {
    let ident = match item {
        Item::Const(item) => &item.ident,
        Item::Enum(item) => &item.ident,
        Item::Fn(item) => &item.sig.ident,
        Item::Macro(item) => item.ident.as_ref()?,
        Item::Static(item) => &item.ident,
        Item::Struct(item) => &item.ident,
        Item::Trait(item) => &item.ident,
        Item::Type(item) => &item.ident,
        Item::Union(item) => &item.ident,
        _ => return None,
    };
    Some(ident.to_string())
}

/// A token, as far as paths are concerned.
enum Token {
    Ident(String, usize),
    PathSeparator,
    /// An opening `(`.
    Call,
    Other(char),
}

/// Collects the paths in an item, macro arguments included.
fn scan(tokens: TokenStream, module: &mut Module) {
    let mut flat = Vec::new();
    flatten(tokens, &mut flat);
    let mut at = 0;
    while at < flat.len() {
        let Token::Ident(first, line) = &flat[at] else {
            at += 1;
            continue;
        };
        let before = at.checked_sub(1).map(|index| &flat[index]);
        let after = flat.get(at + 1);
        if first == "use" && !matches!(after, Some(Token::Other('<'))) {
            // The declaration was collected from the syntax tree.
            while at < flat.len() && !matches!(flat[at], Token::Other(';')) {
                at += 1;
            }
            continue;
        }
        let is_start = !matches!(before, Some(Token::PathSeparator | Token::Other('.' | '\'')));
        let is_defined = matches!(before, Some(Token::Ident(word, _)) if word == "fn");
        let mut segments = vec![first.clone()];
        at += 1;
        while let (Some(Token::PathSeparator), Some(Token::Ident(next, _))) =
            (flat.get(at), flat.get(at + 1))
        {
            segments.push(next.clone());
            at += 2;
        }
        if !is_start || is_defined {
            continue;
        }
        if segments.len() > 1 {
            module.paths.push(InlinePath { segments, line: *line });
        } else if first.starts_with(char::is_uppercase) || matches!(flat.get(at), Some(Token::Call))
        {
            module.mentioned.insert(first.clone());
        }
    }
}

fn flatten(tokens: TokenStream, flat: &mut Vec<Token>) {
    let mut tokens = tokens.into_iter().peekable();
    while let Some(token) = tokens.next() {
        match token {
            TokenTree::Ident(ident) => {
                flat.push(Token::Ident(ident.to_string(), ident.span().start().line));
            }
            TokenTree::Punct(punct) if punct.as_char() == ':' => {
                let doubled = punct.spacing() == Spacing::Joint
                    && matches!(tokens.peek(), Some(TokenTree::Punct(next)) if next.as_char() == ':');
                if doubled {
                    tokens.next();
                    flat.push(Token::PathSeparator);
                } else {
                    flat.push(Token::Other(':'));
                }
            }
            TokenTree::Punct(punct) => flat.push(Token::Other(punct.as_char())),
            TokenTree::Group(group) => {
                flat.push(match group.delimiter() {
                    Delimiter::Parenthesis => Token::Call,
                    _ => Token::Other('{'),
                });
                flatten(group.stream(), flat);
                flat.push(Token::Other('}'));
            }
            TokenTree::Literal(_) => flat.push(Token::Other('"')),
        }
    }
}
