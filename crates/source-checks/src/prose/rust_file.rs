//! What the rules look at in a Rust file: doc comments, string literals and the names of definitions.

use std::str::FromStr;

use anyhow::{Result, anyhow};
use proc_macro2::{TokenStream, TokenTree};
use syn::visit::{self, Visit};

/// A piece of text and the line where it begins.
#[derive(Debug, PartialEq, Eq)]
pub struct Text {
    pub line: usize,
    pub text: String,
}

/// One doc comment: consecutive lines of `///` or of `//!`.
#[derive(Debug)]
pub struct DocComment {
    pub text: Text,
    /// True if the comment is of a `pub` item, field, or method.
    pub is_public: bool,
}

/// One definition.
#[derive(Debug)]
pub struct Definition {
    pub line: usize,
    pub kind: &'static str,
    pub name: String,
}

/// Returns the doc comments of a file.
pub fn doc_comments(source: &str) -> Vec<DocComment> {
    let lines: Vec<&str> = source.lines().map(str::trim).collect();
    let mut comments: Vec<DocComment> = Vec::new();
    let mut at = 0;
    while at < lines.len() {
        let Some(marker) = marker(lines[at]) else {
            at += 1;
            continue;
        };
        let start = at;
        let mut text = Vec::new();
        while let Some(rest) = lines.get(at).and_then(|line| line.strip_prefix(marker)) {
            text.push(rest.strip_prefix(' ').unwrap_or(rest));
            at += 1;
        }
        let item = lines[at..].iter().find(|line| !line.starts_with('#') && !line.is_empty());
        let is_public = marker == "///" && item.is_some_and(|line| line.starts_with("pub "));
        let text = Text { line: start + 1, text: text.join("\n") };
        comments.push(DocComment { text, is_public });
    }
    comments
}

fn marker(line: &str) -> Option<&'static str> {
    // Four slashes are an ordinary comment.
    let is_doc = line.starts_with("///") && !line.starts_with("////");
    if is_doc { Some("///") } else { line.starts_with("//!").then_some("//!") }
}

/// Returns the string literals of a file, without those in doc comments and attributes.
pub fn strings(source: &str) -> Result<Vec<Text>> {
    let tokens = TokenStream::from_str(source).map_err(|error| anyhow!("{error}"))?;
    let mut strings = Vec::new();
    collect_strings(tokens, &mut strings);
    Ok(strings)
}

fn collect_strings(tokens: TokenStream, strings: &mut Vec<Text>) {
    let mut after_hash = false;
    for token in tokens {
        match token {
            // An attribute: `#[doc = "…"]`, `#[allow(…, reason = "…")]`.
            TokenTree::Group(_) if after_hash => after_hash = false,
            TokenTree::Group(group) => collect_strings(group.stream(), strings),
            TokenTree::Literal(literal) => {
                let text = literal.to_string();
                if text.starts_with(['"', 'r']) {
                    let line = literal.span().start().line;
                    // A line that ends in a backslash goes on in the next one.
                    strings.push(Text { line, text: text.replace("\\\n", "\n") });
                }
                after_hash = false;
            }
            TokenTree::Punct(punct) => {
                after_hash = punct.as_char() == '#' || after_hash && punct.as_char() == '!';
            }
            TokenTree::Ident(_) => after_hash = false,
        }
    }
}

/// Kind of a test function, whose name is a sentence.
pub const TEST: &str = "test";

/// Returns the definitions of a file: functions, types, traits, constants, variants, fields and modules.
pub fn definitions(source: &str) -> Result<Vec<Definition>> {
    let mut collector = Definitions(Vec::new());
    collector.visit_file(&syn::parse_file(source)?);
    Ok(collector.0)
}

struct Definitions(Vec<Definition>);

impl Definitions {
    fn add(&mut self, kind: &'static str, ident: &syn::Ident) {
        let line = ident.span().start().line;
        self.0.push(Definition { line, kind, name: ident.to_string() });
    }
}

impl<'ast> Visit<'ast> for Definitions {
    fn visit_item_fn(&mut self, item: &'ast syn::ItemFn) {
        let is_test = item.attrs.iter().any(|attribute| attribute.path().is_ident("test"));
        self.add(if is_test { TEST } else { "fn" }, &item.sig.ident);
        visit::visit_item_fn(self, item);
    }

    fn visit_impl_item_fn(&mut self, item: &'ast syn::ImplItemFn) {
        self.add("fn", &item.sig.ident);
        visit::visit_impl_item_fn(self, item);
    }

    fn visit_trait_item_fn(&mut self, item: &'ast syn::TraitItemFn) {
        self.add("fn", &item.sig.ident);
        visit::visit_trait_item_fn(self, item);
    }

    fn visit_item_struct(&mut self, item: &'ast syn::ItemStruct) {
        self.add("struct", &item.ident);
        visit::visit_item_struct(self, item);
    }

    fn visit_item_enum(&mut self, item: &'ast syn::ItemEnum) {
        self.add("enum", &item.ident);
        visit::visit_item_enum(self, item);
    }

    fn visit_item_trait(&mut self, item: &'ast syn::ItemTrait) {
        self.add("trait", &item.ident);
        visit::visit_item_trait(self, item);
    }

    fn visit_item_type(&mut self, item: &'ast syn::ItemType) {
        self.add("type", &item.ident);
        visit::visit_item_type(self, item);
    }

    fn visit_item_const(&mut self, item: &'ast syn::ItemConst) {
        self.add("const", &item.ident);
        visit::visit_item_const(self, item);
    }

    fn visit_impl_item_const(&mut self, item: &'ast syn::ImplItemConst) {
        self.add("const", &item.ident);
        visit::visit_impl_item_const(self, item);
    }

    fn visit_item_static(&mut self, item: &'ast syn::ItemStatic) {
        self.add("static", &item.ident);
        visit::visit_item_static(self, item);
    }

    fn visit_item_mod(&mut self, item: &'ast syn::ItemMod) {
        self.add("mod", &item.ident);
        visit::visit_item_mod(self, item);
    }

    fn visit_variant(&mut self, variant: &'ast syn::Variant) {
        self.add("variant", &variant.ident);
        visit::visit_variant(self, variant);
    }

    fn visit_field(&mut self, field: &'ast syn::Field) {
        if let Some(ident) = &field.ident {
            self.add("field", ident);
        }
        visit::visit_field(self, field);
    }
}
