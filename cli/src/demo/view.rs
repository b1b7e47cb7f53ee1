//! Output while the demo runs: a screen on a terminal, lines elsewhere.

use std::io::{self, IsTerminal};
use std::time::Duration;

use super::board::Board;
use super::live::Live;
use super::table;
use super::text::{EVENT, Tone, moment, paint, wrap};
use crate::output;
use crate::units::count;

/// One of the two views.
pub(crate) enum View {
    Live(Live),
    Plain(Plain),
}

impl View {
    pub(crate) fn choose(plain: bool) -> Self {
        let live = if plain || !has_screen() { None } else { Live::new(colours()).ok() };
        live.map_or_else(|| Self::Plain(Plain::default()), Self::Live)
    }

    pub(crate) fn draw(&mut self, board: &Board) -> io::Result<()> {
        match self {
            Self::Live(live) => live.draw(board),
            Self::Plain(plain) => plain.draw(board),
        }
    }

    /// Did the user ask for the end at the keyboard?
    pub(crate) fn quit(&mut self) -> io::Result<bool> {
        match self {
            Self::Live(live) => live.quit(),
            Self::Plain(_) => Ok(false),
        }
    }

    /// Are the events still to be printed, since their screen goes away?
    pub(crate) fn forgets(&self) -> bool {
        matches!(self, Self::Live(_))
    }
}

/// Is standard output a terminal that a cursor can be moved on?
pub(super) fn has_screen() -> bool {
    let is_dumb = std::env::var_os("TERM").is_none_or(|term| term.is_empty() || term == "dumb");
    !is_dumb && io::stdout().is_terminal()
}

/// Is standard output a terminal that supports colours?
pub(crate) fn colours() -> bool {
    io::stdout().is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty())
}

/// Columns of the terminal; no limit if there is none.
pub(crate) fn width() -> usize {
    let size = io::stdout().is_terminal().then(|| ratatui::crossterm::terminal::size().ok()).flatten();
    size.map_or(usize::MAX, |(columns, _)| columns.into())
}

/// Events as they come, and the table once a second.
#[derive(Debug, Default)]
pub(crate) struct Plain {
    opened: bool,
    told: usize,
    blocks: u64,
}

impl Plain {
    fn draw(&mut self, board: &Board) -> io::Result<()> {
        let (colours, width) = (colours(), width());
        let mut text = String::new();
        if !self.opened {
            self.opened = true;
            text.push_str(&format!(
                " quoit demo: {} ticks/s for {} s over {}\n",
                count(board.asked_rate),
                board.total.as_secs(),
                board.place()
            ));
        }
        for entry in &board.log[self.told..] {
            let line = vec![(entry.tone, format!(" {}  {}", moment(entry.at), entry.text))];
            for line in wrap(&line, width, EVENT) {
                text.push_str(&paint(&line, colours));
                text.push('\n');
            }
        }
        self.told = board.log.len();
        if board.elapsed >= Duration::from_secs(self.blocks + 1) {
            self.blocks = board.elapsed.as_secs();
            let mut lines =
                vec![table::running_header(&moment(board.elapsed), width), table::producer(board)];
            lines.extend(board.rows.iter().map(|row| table::consumer(row, board.capacity_ticks(), width)));
            for mut line in lines {
                if line[0].1.trim_start().starts_with("t+") {
                    line[0].0 = Tone::Strong;
                }
                text.push_str(&paint(&line, colours));
                text.push('\n');
            }
        }
        output::print(&text)
    }
}
