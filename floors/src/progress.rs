//! How far it is, on a terminal and nowhere else.

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

/// A bar that goes with this.
#[derive(Debug)]
pub struct Progress(ProgressBar);

impl Progress {
    /// Of so many steps.
    pub fn new(steps: u64) -> Self {
        // Nothing is drawn where standard error is no terminal.
        let bar = ProgressBar::with_draw_target(Some(steps), ProgressDrawTarget::stderr());
        if let Ok(style) = ProgressStyle::with_template("{bar:32} {percent:>3} % {elapsed:>4}  {msg}") {
            bar.set_style(style);
        }
        Self(bar)
    }

    /// So many steps are done, and `what` comes next.
    pub fn at(&self, step: u64, what: String) {
        self.0.set_position(step);
        self.0.set_message(what);
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.0.finish_and_clear();
    }
}
