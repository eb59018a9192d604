use std::io::{IsTerminal, Read, stdin};

use crate::{Application, Error};

/// More than any password may have; what is longer is a wrong file.
const MOST: u64 = 64 * 1024;

/// Gets a password: from stdin when `from_stdin`, else by asking twice on the terminal. `flag` is
/// what the caller calls reading it from stdin.
pub(crate) fn read<A: Application>(from_stdin: bool, flag: &'static str) -> Result<String, Error> {
    if from_stdin {
        let mut text = String::new();
        stdin()
            .lock()
            .take(MOST)
            .read_to_string(&mut text)
            .map_err(Error::Input)?;
        return usable::<A>(one_line(&text));
    }
    if !stdin().is_terminal() {
        return Err(Error::NoPassword { flag });
    }
    let first = rpassword::prompt_password("Password: ").map_err(Error::Input)?;
    let again = rpassword::prompt_password("The same again: ").map_err(Error::Input)?;
    if first != again {
        return Err(Error::Password("was not the same twice".into()));
    }
    usable::<A>(&first)
}

/// What `echo` and editors put at the end is not part of it.
fn one_line(text: &str) -> &str {
    let text = text.strip_suffix('\n').unwrap_or(text);
    text.strip_suffix('\r').unwrap_or(text)
}

fn usable<A: Application>(password: &str) -> Result<String, Error> {
    plain(password)?;
    A::check_password(password).map_err(Error::Password)?;
    Ok(password.into())
}

fn plain(password: &str) -> Result<(), Error> {
    if password.is_empty() {
        return Err(Error::Password("must not be empty".into()));
    }
    if password.contains('\n') {
        return Err(Error::Password("must be a single line".into()));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_end_of_the_line_is_taken_off() {
        for given in [" a b ", " a b \n", " a b \r\n"] {
            assert_eq!(one_line(given), " a b ");
        }
    }

    #[test]
    fn nothing_and_two_lines_are_no_password() {
        for given in ["", "\n", "a\nb\n"] {
            assert!(plain(one_line(given)).is_err());
        }
    }
}
