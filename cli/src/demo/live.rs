//! The screen: fits 80 columns and 24 lines, and uses more if available.

use std::io;
use std::time::Duration;

use ratatui::DefaultTerminal;
use ratatui::Frame;
use ratatui::crossterm::event::{self, Event, KeyCode, KeyModifiers};
use ratatui::layout::{Constraint, Layout, Rect};
use ratatui::style::{Color, Modifier, Style};
use ratatui::text::{Line, Span};
use ratatui::widgets::{Paragraph, Sparkline};

use super::board::{Board, Entry};
use super::history::History;
use super::table;
use super::text::{EVENT, Pieces, Tone, moment, nanos, wrap};
use crate::units::{count, counted};

/// An alternate screen in raw mode, restored on drop and on a panic.
pub(crate) struct Live {
    terminal: DefaultTerminal,
    colours: bool,
    history: History,
}

impl Live {
    pub(crate) fn new(colours: bool) -> io::Result<Self> {
        let terminal = ratatui::try_init()?;
        Ok(Self { terminal, colours, history: History::default() })
    }

    pub(crate) fn quit(&mut self) -> io::Result<bool> {
        is_ended()
    }

    pub(crate) fn draw(&mut self, board: &Board) -> io::Result<()> {
        self.history.mark(board.elapsed, board.snapshot.records);
        let (history, colours) = (&self.history, self.colours);
        self.terminal.draw(|frame| draw(frame, board, history, colours))?;
        Ok(())
    }
}

/// Whether a key was pressed that ends the show.
pub(super) fn is_ended() -> io::Result<bool> {
    while event::poll(Duration::ZERO)? {
        if let Event::Key(key) = event::read()? {
            let control_c = key.code == KeyCode::Char('c') && key.modifiers.contains(KeyModifiers::CONTROL);
            if control_c || matches!(key.code, KeyCode::Char('q') | KeyCode::Esc) {
                return Ok(true);
            }
        }
    }
    Ok(false)
}

impl Drop for Live {
    fn drop(&mut self) {
        ratatui::restore();
    }
}

fn draw(frame: &mut Frame<'_>, board: &Board, history: &History, colours: bool) {
    let width = usize::from(frame.area().width);
    let head = title_lines(board, width, colours);
    let [title, stream, table, log] = Layout::vertical([
        Constraint::Length(head.len() as u16),
        Constraint::Length(5),
        Constraint::Length(7),
        Constraint::Min(3),
    ])
    .areas(frame.area());
    frame.render_widget(Paragraph::new(head), title);
    // Unpaced throughput would flatten the steady rate, so it may leave the top of the chart.
    let most = board.asked_rate * 5 / 2;
    let inner = Rect { x: stream.x + 1, y: stream.y + 1, width: stream.width.saturating_sub(2), height: 3 };
    let bars = history.rates(board.total, inner.width.into());
    let [label, below] = [stream.y, stream.y + 4].map(|y| Rect { y, height: 1, ..stream });
    let whole = frame.area();
    frame.render_widget(Paragraph::new(stream_label(board, most, width, colours)), label.intersection(whole));
    let bars = Sparkline::default().data(&bars).max(most).style(style(Tone::Good, colours));
    frame.render_widget(bars, inner.intersection(whole));
    frame.render_widget(Paragraph::new(marks(board, inner.width.into(), colours)), below.intersection(whole));
    frame.render_widget(Paragraph::new(table_lines(board, width, colours)), table);
    frame.render_widget(Paragraph::new(log_lines(&board.log, log.height as usize, width, colours)), log);
}

/// What the bars are, and how high they can get.
fn stream_label(board: &Board, most: u64, width: usize, colours: bool) -> Line<'static> {
    let now = board.rate.per_second();
    let mut text = format!(" ticks/s over the show, now {} (full height {})", count(now), count(most));
    let marks = ";  ▴ something happened, told below";
    if text.len() + marks.chars().count() <= width {
        text.push_str(marks);
    }
    styled(vec![(Tone::Dim, text)], colours)
}

/// One line with a mark under every moment at which an event happened.
fn marks(board: &Board, columns: usize, colours: bool) -> Line<'static> {
    let mut cells = vec![(Tone::Plain, " ".to_owned()); columns + 1];
    for entry in board.log.iter().filter(|entry| !matches!(entry.tone, Tone::Plain | Tone::Dim)) {
        let place = entry.at.as_secs_f64() / board.total.as_secs_f64() * columns as f64;
        if let Some(cell) = cells.get_mut(place as usize + 1) {
            *cell = (entry.tone, "▴".to_owned());
        }
    }
    styled(cells, colours)
}

fn title_lines(board: &Board, width: usize, colours: bool) -> Vec<Line<'static>> {
    let snapshot = &board.snapshot;
    let time = format!("{} of {} s", moment(board.elapsed), board.total.as_secs());
    let subject = if width < 79 { "  " } else { "  one ring, one producer, four consumers  " };
    let lines = [
        vec![
            (Tone::Strong, " quoit demo".to_owned()),
            (Tone::Dim, subject.to_owned()),
            (Tone::Strong, format!("{time:>15}")),
            (Tone::Dim, "  q: stop".to_owned()),
        ],
        vec![(Tone::Dim, format!(" {}", board.place()))],
        vec![(
            Tone::Dim,
            format!(
                " {} sent, producer waited {} for room, {} evicted, epoch {}",
                counted(snapshot.wakes, "wake-up"),
                nanos(snapshot.stall.as_nanos() as u64),
                snapshot.evictions,
                snapshot.epoch
            ),
        )],
    ];
    lines.iter().flat_map(|line| wrap(line, width, 1)).map(|line| styled(line, colours)).collect()
}

fn table_lines(board: &Board, width: usize, colours: bool) -> Vec<Line<'static>> {
    let mut lines = vec![table::running_header("", width), table::producer(board)];
    lines.extend(board.rows.iter().map(|row| table::consumer(row, board.capacity_ticks(), width)));
    lines.into_iter().map(|line| styled(line, colours)).collect()
}

/// The last events, as many as there is room for.
pub(super) fn log_lines(log: &[Entry], height: usize, width: usize, colours: bool) -> Vec<Line<'static>> {
    let mut lines: Vec<Pieces> = Vec::new();
    for entry in log.iter().rev().take(height) {
        let line = vec![(Tone::Dim, format!(" {}  ", moment(entry.at))), (entry.tone, entry.text.clone())];
        let wrapped = wrap(&line, width, EVENT);
        if lines.len() + wrapped.len() > height {
            break;
        }
        lines.extend(wrapped.into_iter().rev());
    }
    lines.into_iter().rev().map(|line| styled(line, colours)).collect()
}

pub(super) fn styled(line: Pieces, colours: bool) -> Line<'static> {
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
