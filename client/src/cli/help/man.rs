//! `client man`: manual pages.

use std::io;
use std::path::PathBuf;

use clap::Command;
use clap_mangen::Man;

use crate::cli::failure::{Failure, Kind};
use crate::local::folder::{FolderError, write_all};
use crate::ui::Ui;

/// Print the manual page, or write all of them into a folder.
///
/// `client man | man -l -` shows it. With --dir there is one page for each command beside it, like
/// `client-upload.1`; the paths that are written are printed. In `/usr/local/share/man/man1`, `man`
/// finds them.
#[derive(Debug, clap::Args)]
pub(in crate::cli) struct Arguments {
    /// Write all pages into this folder, which is made if it is missing.
    #[arg(long, value_name = "DIR")]
    dir: Option<PathBuf>,
}

/// A page, and the name of its file.
type Page = (String, Vec<u8>);

pub(in crate::cli) fn run(arguments: &Arguments, ui: &Ui) -> Result<(), Failure> {
    let made = |error: io::Error| Failure::new(Kind::Failure, format!("cannot make it: {error}"));
    let Some(dir) = &arguments.dir else {
        let page = render(&Man::new(super::command())).map_err(made)?;
        return Ok(ui.write(&page)?);
    };
    let pages = pages(super::command()).map_err(made)?;
    let written = write_all(dir, &pages);
    let written = written.map_err(|error: FolderError| {
        Failure::caused(format!("cannot write into {}", dir.display()), &error)
    })?;
    for path in written {
        ui.data(&path, || path.display().to_string())?;
    }
    Ok(())
}

/// The pages of a command and of all below it.
fn pages(command: Command) -> io::Result<Vec<Page>> {
    let mut command = command.disable_help_subcommand(true);
    command.build();
    let mut pages = Vec::new();
    add(&command, &mut pages)?;
    Ok(pages)
}

fn add(command: &Command, pages: &mut Vec<Page>) -> io::Result<()> {
    let man = Man::new(command.clone());
    pages.push((man.get_filename(), render(&man)?));
    for below in command
        .get_subcommands()
        .filter(|below| !below.is_hide_set())
    {
        add(below, pages)?;
    }
    Ok(())
}

fn render(man: &Man) -> io::Result<Vec<u8>> {
    let mut page = Vec::new();
    man.render(&mut page)?;
    Ok(page)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeMap;

    fn of_client() -> Command {
        super::super::named(Some("client".as_ref()))
    }

    /// A page's text, without the marks of its format.
    fn text(page: &[u8]) -> String {
        let page = String::from_utf8(page.to_vec()).expect("text");
        page.replace("\\-", "-")
            .replace("\\fB", "")
            .replace("\\fR", "")
    }

    fn check(command: &Command, pages: &BTreeMap<String, Vec<u8>>) {
        let name = command.get_display_name().unwrap_or(command.get_name());
        let page = pages.get(&format!("{name}.1"));
        let page = text(page.unwrap_or_else(|| panic!("no page of {name}")));
        for flag in command.get_arguments().filter(|flag| !flag.is_hide_set()) {
            let long = flag.get_long().map(|long| format!("--{long}"));
            let shown =
                long.unwrap_or_else(|| flag.get_value_names().expect("it has one")[0].to_string());
            assert!(page.contains(&shown), "{name}: {shown} in\n{page}");
        }
        for below in command.get_subcommands() {
            check(below, pages);
        }
    }

    // If this fails, a command or a flag has no manual.
    #[test]
    fn every_command_and_flag_has_its_manual() {
        let mut command = of_client().disable_help_subcommand(true);
        command.build();
        let pages: BTreeMap<_, _> = pages(of_client()).expect("made").into_iter().collect();
        check(&command, &pages);
        for name in [
            "client.1",
            "client-upload.1",
            "client-bench-mixed.1",
            "client-man.1",
        ] {
            assert!(pages.contains_key(name), "{name}");
        }
        let main = text(&pages["client.1"]);
        assert!(
            main.contains("ACEQUIA_URL") && main.contains("Exit codes"),
            "{main}"
        );
    }
}
