//! What a shell and a manual have to know of the command line.

use std::io::{ErrorKind, Write, stdout};

use clap_complete::Shell;

use crate::{Application, Error, arguments::Arguments};

/// For which shell.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  {app} completions bash > /etc/bash_completion.d/{app}
  {app} completions zsh > ~/.zfunc/_{app}")]
pub(crate) struct Args {
    /// The shell
    shell: Shell,
}

pub(super) fn completions<A: Application>(args: &Args) -> Result<(), Error> {
    let mut script = Vec::new();
    clap_complete::generate(
        args.shell,
        &mut Arguments::command_of::<A>(),
        A::NAME,
        &mut script,
    );
    put(&script)
}

/// The manual, every command in one page.
pub(super) fn manual<A: Application>() -> Result<(), Error> {
    let mut command = Arguments::command_of::<A>();
    command.build();
    let mut page = Vec::new();
    clap_mangen::Man::new(command.clone())
        .render(&mut page)
        .map_err(Error::Output)?;
    for one in command.get_subcommands() {
        section(one, &mut page).map_err(Error::Output)?;
    }
    put(&page)
}

fn section(command: &clap::Command, page: &mut Vec<u8>) -> std::io::Result<()> {
    if command.get_name() == "help" || command.is_hide_set() {
        return Ok(());
    }
    let man = clap_mangen::Man::new(command.clone());
    let name = command.get_bin_name().unwrap_or(command.get_name());
    writeln!(page, ".SH \"COMMAND: {}\"", name.to_uppercase())?;
    man.render_description_section(page)?;
    man.render_synopsis_section(page)?;
    man.render_extra_section(page)?;
    command
        .get_subcommands()
        .try_for_each(|one| section(one, page))
}

/// As it stands: it is for programs.
fn put(text: &[u8]) -> Result<(), Error> {
    match stdout().lock().write_all(text) {
        Err(error) if error.kind() != ErrorKind::BrokenPipe => Err(Error::Output(error)),
        _ => Ok(()),
    }
}
