//! The command line as clap knows it, with the application's name in it.

use std::ffi::OsString;

use clap::{Arg, CommandFactory, FromArgMatches, builder::PossibleValuesParser};

use crate::{
    Application,
    commands::Command,
    settings::{Flags, Key},
};

/// Everything that was said on the command line.
///
/// Help texts say `{app}` where the application's name belongs; it is put in by [`Self::command`].
#[derive(Debug, clap::Parser)]
#[command(
    max_term_width = 100,
    after_help = "\
Without a command it is `{app} serve`. A setting comes from its flag, else from the environment,
else from {app}.toml, else it has its default. What is secret has no
flag: the keys that tenants' secrets are sealed with (`{app} keys rotate --help`), and the URL of the
server that mail is sent by (smtp-url), as smtps://user:password@host:465, and the token that metrics are
shown to (metrics-token).

Exit codes: 0 done, 1 failed, 2 wrong usage, 3 no such tenant, 4 refused, 5 some tenants failed.

Examples:
  {app} demo                                   fill an empty place with something to look at
  {app} serve                                  serve it
  {app} tenant create acme --name \"Acme Ltd\"
  {app} migrate --plan                         what an update would change"
)]
pub(crate) struct Arguments {
    #[command(flatten)]
    pub(crate) flags: Flags,
    #[command(subcommand)]
    pub(crate) command: Option<Command>,
}

impl Arguments {
    /// Reads a command line. What comes back as an error may also be the help that was asked for.
    pub(crate) fn read<A: Application>(
        line: impl IntoIterator<Item = OsString>,
    ) -> Result<Self, clap::Error> {
        let mut command = Self::command_of::<A>();
        let matches = command.try_get_matches_from_mut(line)?;
        Self::from_arg_matches(&matches).map_err(|error| error.format(&mut command))
    }

    /// The command line of one application.
    pub(crate) fn command_of<A: Application>() -> clap::Command {
        let roles = PossibleValuesParser::new(A::ROLES);
        named(Self::command(), A::NAME)
            .name(A::NAME)
            .about(A::ABOUT)
            .long_about(None)
            .version(A::VERSION)
            .mut_subcommand("user", |user| {
                user.mut_subcommand("create", |create| {
                    create.mut_arg("role", |role| role.value_parser(roles))
                })
            })
    }
}

fn named(command: clap::Command, app: &str) -> clap::Command {
    let command = match command.get_after_help().map(|help| put(help, app)) {
        Some(help) => command.after_help(help),
        None => command,
    };
    command
        .mut_args(|arg| described(arg, app))
        .mut_subcommands(|subcommand| named(subcommand, app))
}

/// Names the environment variable of a setting beside its flag.
fn described(arg: Arg, app: &str) -> Arg {
    let Some(help) = arg.get_help().map(|help| put(help, app)) else {
        return arg;
    };
    match Key::ALL
        .into_iter()
        .find(|key| arg.get_long() == Some(key.flag()))
    {
        Some(key) => arg.help(format!("{help} [env: {}]", key.environment(app))),
        None => arg.help(help),
    }
}

fn put(text: &impl ToString, app: &str) -> String {
    text.to_string().replace("{app}", app)
}

#[cfg(test)]
mod tests {
    use tenantry::{
        Tenancy, db::TenantDb, lifecycle::SeedError, migrate::Migrations, routing::Site,
    };

    use super::*;
    use crate::Owner;

    struct Shop;

    impl Application for Shop {
        const NAME: &'static str = "my-shop";
        const ABOUT: &'static str = "Shops";
        const ROLES: &'static [&'static str] = &["boss", "staff"];

        fn tenant_migrations() -> Migrations {
            Migrations::new()
        }

        fn router(_: Tenancy, _: Site) -> axum::Router {
            axum::Router::new()
        }

        async fn seed(_: Tenancy, _: TenantDb, _: Option<Owner>) -> Result<(), SeedError> {
            Ok(())
        }

        async fn demo(_: Tenancy, _: Site) -> Result<String, SeedError> {
            Ok(String::new())
        }
    }

    fn read(line: &str) -> Result<Arguments, clap::Error> {
        Arguments::read::<Shop>(line.split(' ').map(OsString::from))
    }

    #[test]
    fn the_command_line_holds_together() {
        Arguments::command_of::<Shop>().debug_assert();
    }

    #[test]
    fn help_says_the_applications_name_and_variables() {
        fn look(command: &mut clap::Command) {
            let help = command.render_long_help().to_string();
            assert!(!help.contains("{app}"), "{help}");
            assert!(
                help.contains("MY_SHOP_DATA") && help.contains("DATABASE_URL"),
                "{help}"
            );
            let commands = command.get_subcommands_mut();
            commands
                .filter(|command| command.get_name() != "help")
                .for_each(look);
        }
        let mut command = Arguments::command_of::<Shop>();
        command.build();
        look(&mut command);
    }

    #[test]
    fn settings_stand_before_or_after_any_command() {
        assert!(read("my-shop").unwrap().command.is_none());
        for line in [
            "my-shop --data x tenant list",
            "my-shop tenant list --data x",
        ] {
            assert!(matches!(
                read(line).unwrap().command,
                Some(Command::Tenant(_))
            ));
        }
    }

    #[test]
    fn only_the_applications_roles_are_roles() {
        let line = "my-shop user create a@b --tenant acme --role";
        assert!(read(&format!("{line} staff")).is_ok());
        assert_eq!(read(&format!("{line} admin")).unwrap_err().exit_code(), 2);
    }

    #[test]
    fn wrong_usage_is_two_and_help_is_none() {
        for line in [
            "my-shop sell",
            "my-shop migrate --plan --status",
            "my-shop tenant show A!",
        ] {
            assert!(read(line).unwrap_err().use_stderr(), "{line}");
        }
        assert!(!read("my-shop --version").unwrap_err().use_stderr());
    }
}
