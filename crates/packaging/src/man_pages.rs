//! Man pages, from the definitions of the command lines.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result};
use clap::Command;
use clap_mangen::Man;
use clap_mangen::roff::{Roff, roman};

/// Name of the page, and of the program, that replaces util-linux's `eject`.
pub const EJECT: &str = "eject.unmoor";

/// Writes the page of `unmoor`, of each of its commands, and of `eject`.
pub fn write(directory: &Path) -> Result<()> {
    fs::create_dir_all(directory)?;
    let mut unmoor = unmoor_cli::command_line();
    unmoor.build();
    let names: Vec<String> = commands(&unmoor).map(|c| page_name(c.get_name())).collect();
    write_page(directory, "unmoor", &unmoor, &names)?;
    for command in commands(&unmoor) {
        let name = page_name(command.get_name());
        let called = format!("unmoor {}", command.get_name());
        let command = command.clone().bin_name(called).display_name(&name);
        write_page(directory, &name, &command, &["unmoor".into()])?;
    }
    let eject = unmoor_cli::eject_command_line().display_name(EJECT);
    write_page(directory, EJECT, &eject, &["unmoor".into(), "eject".into()])
}

fn commands(unmoor: &Command) -> impl Iterator<Item = &Command> {
    unmoor.get_subcommands().filter(|c| !c.is_hide_set() && c.get_name() != "help")
}

fn page_name(command: &str) -> String {
    format!("unmoor-{command}")
}

/// Writes one page, with the names of related pages at its end.
fn write_page(directory: &Path, name: &str, command: &Command, related: &[String]) -> Result<()> {
    let with_commands = command.has_subcommands();
    let described = command.clone().disable_help_subcommand(true);
    let man = Man::new(described)
        .title(name.to_uppercase())
        .section("1")
        .source(format!("unmoor {}", env!("CARGO_PKG_VERSION")))
        .manual("User Commands");
    let mut page = Vec::new();
    man.render_title(&mut page)?;
    man.render_name_section(&mut page)?;
    man.render_synopsis_section(&mut page)?;
    man.render_description_section(&mut page)?;
    man.render_options_section(&mut page)?;
    if with_commands {
        man.render_subcommands_section(&mut page)?;
    }
    notes(command).to_writer(&mut page)?;
    let related = related.iter().map(|page| format!("{page}(1)")).collect::<Vec<_>>().join(", ");
    let mut end = Roff::default();
    end.control("SH", ["SEE ALSO"]);
    end.text([roman(related)]);
    end.to_writer(&mut page)?;
    let path = directory.join(format!("{name}.1"));
    fs::write(&path, page).with_context(|| path.display().to_string())
}

/// Returns the text below the help, line for line: examples, or notes.
fn notes(command: &Command) -> Roff {
    let mut roff = Roff::default();
    let Some(text) = command.get_after_help() else { return roff };
    let text = text.to_string();
    let (heading, text) = match text.strip_prefix("Examples:\n") {
        Some(examples) => ("EXAMPLES", examples),
        None => ("NOTES", &*text),
    };
    roff.control("SH", [heading]);
    roff.control("nf", []);
    roff.text([roman(text)]);
    roff.control("fi", []);
    roff
}
