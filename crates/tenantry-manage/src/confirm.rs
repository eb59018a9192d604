use std::io::{IsTerminal, stdin};

use tenantry::tenant::TenantCode;

use crate::{Error, printer};

/// The flag that answers beforehand.
#[derive(Debug, Clone, Copy, clap::Args)]
pub(crate) struct Yes {
    /// Do not ask
    #[arg(long, short)]
    yes: bool,
}

/// That somebody wants what cannot be undone. Only asking makes one, so a function that takes one
/// cannot be reached without.
#[derive(Debug)]
pub(crate) struct Confirmed(());

impl Yes {
    /// Has it confirmed, by the flag or by the tenant's code being typed on a terminal, after it was
    /// told what it means.
    pub(crate) fn or_ask(self, code: &TenantCode, meaning: &str) -> Result<Confirmed, Error> {
        self.or_ask_for("the code", code.as_str(), meaning)
    }

    /// As [`or_ask`](Self::or_ask), by another word.
    pub(crate) fn or_ask_for(
        self,
        called: &str,
        word: &str,
        meaning: &str,
    ) -> Result<Confirmed, Error> {
        if self.yes {
            return Ok(Confirmed(()));
        }
        if !stdin().is_terminal() {
            return Err(Error::Unconfirmed);
        }
        printer::ask(format_args!("{meaning} To go on, type {called} {word}:"));
        let mut answer = String::new();
        stdin().read_line(&mut answer).map_err(Error::Input)?;
        if !answer.ends_with('\n') {
            printer::note(""); // the terminal stands behind the question still
        }
        if answer.trim() == word {
            Ok(Confirmed(()))
        } else {
            Err(Error::Declined)
        }
    }
}
