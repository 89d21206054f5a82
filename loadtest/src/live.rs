//! Where a run is, shown while it goes on: a screen on a terminal, lines elsewhere. Always on the reporting thread, which
//! measures nothing; standard output stays free for the result.

use std::io::IsTerminal;
use std::sync::atomic::AtomicBool;

use crate::engine::Moment;

mod plain;
mod screen;

/// What is being run, in words.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Caption {
    /// Such as `run 2 of 3`.
    pub title: String,
    /// The scenario's name.
    pub scenario: String,
    /// Whom it asks.
    pub target: String,
}

/// How to show.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum View {
    /// Lines.
    Plain,
    /// A screen.
    Screen,
}

/// Shows one run.
pub enum Viewer {
    /// Lines.
    Plain(plain::Plain),
    /// A screen.
    Screen(Box<screen::Screen>),
}

impl View {
    /// A screen where there is one and nobody said otherwise.
    pub fn choose(plain: bool) -> Self {
        if plain || !std::io::stderr().is_terminal() || !std::io::stdin().is_terminal() {
            View::Plain
        } else {
            View::Screen
        }
    }

    /// Begins to show a run on so many cores.
    pub fn open(self, caption: &Caption, cores: f64) -> Viewer {
        match self {
            View::Plain => Viewer::Plain(plain::Plain::new(caption, cores)),
            // A terminal that turns out to be none is still good for lines.
            View::Screen => match screen::Screen::open(caption, cores) {
                Ok(screen) => Viewer::Screen(Box::new(screen)),
                Err(_) => Viewer::Plain(plain::Plain::new(caption, cores)),
            },
        }
    }
}

impl Viewer {
    /// Shows where the run is; on a screen, `q` and Ctrl-C raise `stop`.
    pub fn show(&mut self, moment: &Moment, stop: &AtomicBool) {
        match self {
            Viewer::Plain(plain) => plain.show(moment),
            Viewer::Screen(screen) => screen.show(moment, stop),
        }
    }
}
