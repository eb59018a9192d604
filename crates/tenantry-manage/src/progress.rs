use std::{
    fmt::Display,
    io::{IsTerminal, stderr},
    time::Duration,
};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use crate::{Error, harmless::harmless, printer};

/// How far a long command has come: a bar on a terminal, lines elsewhere.
pub(crate) struct Progress {
    bar: Option<ProgressBar>,
    lines: bool,
}

impl Progress {
    /// Of so many. Without `lines`, which are data, only who watches a terminal is told.
    pub(crate) fn new(doing: &'static str, all: usize, lines: bool) -> Self {
        let bar = (stderr().is_terminal() && all > 1).then(|| {
            let target = ProgressDrawTarget::stderr_with_hz(10);
            let bar = ProgressBar::with_draw_target(u64::try_from(all).ok(), target);
            let style = ProgressStyle::with_template(
                "{msg} {wide_bar} {human_pos}/{human_len}  {per_sec}  {eta} left",
            );
            if let Ok(style) = style {
                bar.set_style(style.progress_chars("=> "));
            }
            bar.set_message(doing);
            bar.enable_steady_tick(Duration::from_millis(200));
            bar
        });
        Self { bar, lines }
    }

    pub(crate) fn advance(&mut self, by: usize) {
        if let Some(bar) = &self.bar {
            bar.inc(by.try_into().unwrap_or(u64::MAX));
        }
    }

    /// A line of data about what is done, unless a bar shows that.
    pub(crate) fn line(&self, line: impl Display) -> Result<(), Error> {
        match &self.bar {
            None if self.lines => printer::data(line),
            _ => Ok(()),
        }
    }

    /// Something that whoever watches should know now.
    pub(crate) fn say(&self, line: impl Display) {
        if let Some(bar) = &self.bar {
            bar.println(harmless(&line.to_string()));
        }
    }

    pub(crate) fn end(&self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.end();
    }
}
