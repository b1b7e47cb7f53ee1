//! Output while the demo runs: a screen on a terminal, lines elsewhere.

use std::io;
use std::time::Duration;

use ratatui::DefaultTerminal;
use ratatui::layout::{Constraint, Layout};
use ratatui::text::Line;
use ratatui::widgets::Paragraph;

use super::board::Board;
use crate::demo::live::{is_ended, log_lines, styled};
use crate::demo::text::{EVENT, Pieces, Tone, moment, paint, wrap};
use crate::demo::view::{colours, has_screen, width};
use crate::output;

/// One of the two views.
pub(crate) enum View {
    Live(Live),
    Plain(Plain),
}

impl View {
    pub(crate) fn choose(plain: bool) -> Self {
        let terminal = if plain || !has_screen() { None } else { ratatui::try_init().ok() };
        terminal.map_or_else(|| Self::Plain(Plain::default()), |terminal| Self::Live(Live { terminal }))
    }

    pub(crate) fn draw(&mut self, board: &Board) -> io::Result<()> {
        match self {
            Self::Live(live) => live.draw(board),
            Self::Plain(plain) => plain.draw(board),
        }
    }

    /// Did the user ask for the end at the keyboard?
    pub(crate) fn quit(&self) -> io::Result<bool> {
        match self {
            Self::Live(_) => is_ended(),
            Self::Plain(_) => Ok(false),
        }
    }

    /// Are the events still to be printed, since their screen goes away?
    pub(crate) fn forgets(&self) -> bool {
        matches!(self, Self::Live(_))
    }
}

/// An alternate screen in raw mode, restored on drop and on a panic.
pub(crate) struct Live {
    terminal: DefaultTerminal,
}

impl Live {
    fn draw(&mut self, board: &Board) -> io::Result<()> {
        let colours = colours();
        self.terminal.draw(|frame| {
            let columns = usize::from(frame.area().width);
            let line = |line: &Pieces| wrap(line, columns, 10).into_iter().map(|line| styled(line, colours));
            let mut head: Vec<Line<'_>> = title(board).iter().flat_map(line).collect();
            head.push(Line::default());
            head.extend(board.lines().iter().flat_map(line));
            head.push(Line::default());
            let heights = [Constraint::Length(head.len() as u16), Constraint::Min(3)];
            let [above, below] = Layout::vertical(heights).areas(frame.area());
            frame.render_widget(Paragraph::new(head), above);
            let log = log_lines(&board.log, below.height.into(), columns, colours);
            frame.render_widget(Paragraph::new(log), below);
        })?;
        Ok(())
    }
}

impl Drop for Live {
    fn drop(&mut self) {
        ratatui::restore();
    }
}

fn title(board: &Board) -> Vec<Pieces> {
    let time = format!("{} of {} s", moment(board.elapsed), board.total.as_secs());
    vec![
        vec![
            (Tone::Strong, " quoit demo --kit".into()),
            (Tone::Dim, "  a service, a work group and a barrier  ".into()),
            (Tone::Strong, time),
            (Tone::Dim, "  q: stop".into()),
        ],
        vec![(Tone::Dim, format!(" {}", board.directory.display()))],
    ]
}

/// Events as they come, and the figures once a second.
#[derive(Debug, Default)]
pub(crate) struct Plain {
    is_open: bool,
    told: usize,
    blocks: u64,
}

impl Plain {
    fn draw(&mut self, board: &Board) -> io::Result<()> {
        let (colours, width) = (colours(), width());
        let mut text = String::new();
        let mut print = |line: &Pieces, indent: usize| {
            for line in wrap(line, width, indent) {
                text.push_str(&paint(&line, colours));
                text.push('\n');
            }
        };
        if !self.is_open {
            self.is_open = true;
            let seconds = board.total.as_secs();
            let what =
                format!(" quoit demo --kit: a service, a work group and a barrier for {seconds} s in ");
            print(&vec![(Tone::Plain, what), (Tone::Plain, board.directory.display().to_string())], 1);
        }
        for entry in &board.log[self.told..] {
            print(&vec![(entry.tone, format!(" {}  {}", moment(entry.at), entry.text))], EVENT);
        }
        self.told = board.log.len();
        if board.elapsed >= Duration::from_secs(self.blocks + 1) {
            self.blocks = board.elapsed.as_secs();
            print(&vec![(Tone::Strong, format!(" {}", moment(board.elapsed)))], 1);
            for line in board.lines() {
                print(&line, 10);
            }
        }
        output::print(&text)
    }
}
