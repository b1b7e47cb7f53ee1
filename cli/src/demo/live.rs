//! The screen: fits 80 columns and 24 lines, and uses more if there is more.

use std::io;
use std::time::Duration;

use ratatui::DefaultTerminal;
use ratatui::Frame;
use ratatui::crossterm::event::{self, Event, KeyCode, KeyModifiers};
use ratatui::layout::{Constraint, Layout, Rect};
use ratatui::style::{Color, Modifier, Style};
use ratatui::text::{Line, Span};
use ratatui::widgets::{Paragraph, Sparkline};

use super::board::Board;
use super::table;
use super::text::{Pieces, Tone, count, moment, nanos};

/// Columns of the picture of the stream: the whole show from left to right.
const HISTORY: usize = 76;

/// An alternate screen in raw mode, given back when this goes, and on a panic.
pub(crate) struct Live {
    terminal: DefaultTerminal,
    colours: bool,
    /// Ticks a second, by slice of the show.
    history: Vec<u64>,
    counted: (Duration, u64),
}

impl Live {
    pub(crate) fn new(colours: bool) -> io::Result<Self> {
        let terminal = ratatui::try_init()?;
        Ok(Self { terminal, colours, history: Vec::new(), counted: (Duration::ZERO, 0) })
    }

    pub(crate) fn quit(&mut self) -> io::Result<bool> {
        while event::poll(Duration::ZERO)? {
            if let Event::Key(key) = event::read()? {
                let control_c =
                    key.code == KeyCode::Char('c') && key.modifiers.contains(KeyModifiers::CONTROL);
                if control_c || matches!(key.code, KeyCode::Char('q') | KeyCode::Esc) {
                    return Ok(true);
                }
            }
        }
        Ok(false)
    }

    pub(crate) fn draw(&mut self, board: &Board) -> io::Result<()> {
        self.count(board);
        let (history, colours) = (&self.history, self.colours);
        self.terminal.draw(|frame| draw(frame, board, history, colours))?;
        Ok(())
    }

    fn count(&mut self, board: &Board) {
        let slice = board.total / HISTORY as u32;
        let (since, before) = self.counted;
        let time = board.elapsed.saturating_sub(since);
        if board.elapsed.is_zero() {
            self.counted.1 = board.snapshot.records;
        }
        if time < slice || self.history.len() >= HISTORY {
            return;
        }
        let ticks = board.snapshot.records.saturating_sub(before);
        let rate = (ticks as f64 / time.as_secs_f64()) as u64;
        while self.history.len()
            < ((board.elapsed.as_nanos() / slice.as_nanos().max(1)) as usize).min(HISTORY)
        {
            self.history.push(rate);
        }
        self.counted = (board.elapsed, board.snapshot.records);
    }
}

impl Drop for Live {
    fn drop(&mut self) {
        ratatui::restore();
    }
}

fn draw(frame: &mut Frame<'_>, board: &Board, history: &[u64], colours: bool) {
    let [title, stream, table, log] = Layout::vertical([
        Constraint::Length(3),
        Constraint::Length(4),
        Constraint::Length(7),
        Constraint::Min(3),
    ])
    .areas(frame.area());
    frame.render_widget(Paragraph::new(title_lines(board, colours)), title);
    let inner = Rect { x: stream.x + 1, width: stream.width.saturating_sub(2), height: 3, ..stream };
    // Flat out would press the steady rate to the ground, so it may run out at the top.
    let bars =
        Sparkline::default().data(history).max(board.asked_rate * 5 / 2).style(style(Tone::Good, colours));
    frame.render_widget(bars, inner.intersection(frame.area()));
    let below = Rect { y: stream.y + 3, height: 1, ..stream };
    frame.render_widget(Paragraph::new(marks(board, colours)), below.intersection(frame.area()));
    frame.render_widget(Paragraph::new(table_lines(board, colours)), table);
    frame.render_widget(Paragraph::new(log_lines(board, log.height as usize, colours)), log);
}

/// One line with a mark under every moment that something happened to somebody.
fn marks(board: &Board, colours: bool) -> Line<'static> {
    let mut cells = vec![(Tone::Plain, " ".to_owned()); HISTORY + 1];
    for entry in board.log.iter().filter(|entry| !matches!(entry.tone, Tone::Plain | Tone::Dim)) {
        let place = entry.at.as_secs_f64() / board.total.as_secs_f64() * HISTORY as f64;
        if let Some(cell) = cells.get_mut(place as usize + 1) {
            *cell = (entry.tone, "▴".to_owned());
        }
    }
    styled(cells, colours)
}

fn title_lines(board: &Board, colours: bool) -> Vec<Line<'static>> {
    let snapshot = &board.snapshot;
    let time = format!("{} of {} s", moment(board.elapsed), board.total.as_secs());
    vec![
        styled(
            vec![
                (Tone::Strong, " quoit demo".to_owned()),
                (Tone::Dim, "  one ring, one producer, four consumers  ".to_owned()),
                (Tone::Strong, format!("{time:>15}")),
                (Tone::Dim, "  q: stop".to_owned()),
            ],
            colours,
        ),
        styled(vec![(Tone::Dim, format!(" {}", board.place()))], colours),
        styled(
            vec![(
                Tone::Dim,
                format!(
                    " {} wake-ups sent, producer waited {} for room, {} evicted, epoch {}",
                    count(snapshot.wakes),
                    nanos(snapshot.stall.as_nanos() as u64),
                    snapshot.evictions,
                    snapshot.epoch
                ),
            )],
            colours,
        ),
    ]
}

fn table_lines(board: &Board, colours: bool) -> Vec<Line<'static>> {
    let mut lines = vec![table::running_header(""), table::producer(board)];
    lines.extend(board.rows.iter().map(|row| table::consumer(row, board.capacity_ticks())));
    lines.into_iter().map(|line| styled(line, colours)).collect()
}

fn log_lines(board: &Board, height: usize, colours: bool) -> Vec<Line<'static>> {
    let hidden = board.log.len().saturating_sub(height);
    board.log[hidden..]
        .iter()
        .map(|entry| {
            styled(
                vec![(Tone::Dim, format!(" {}  ", moment(entry.at))), (entry.tone, entry.text.clone())],
                colours,
            )
        })
        .collect()
}

fn styled(line: Pieces, colours: bool) -> Line<'static> {
    line.into_iter().map(|(tone, text)| Span::styled(text, style(tone, colours))).collect()
}

fn style(tone: Tone, colours: bool) -> Style {
    let plain = Style::new();
    match tone {
        Tone::Plain => plain,
        Tone::Dim => plain.add_modifier(Modifier::DIM),
        Tone::Strong => plain.add_modifier(Modifier::BOLD),
        _ if !colours => plain,
        Tone::Good => plain.fg(Color::Green),
        Tone::Warn => plain.fg(Color::Yellow),
        Tone::Bad => plain.fg(Color::Red),
    }
}
