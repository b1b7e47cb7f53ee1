//! What the server knows of one client's channels.

use std::cell::Cell;

use super::claims::Claims;
use crate::atomics::at;
use crate::service::Region;
use crate::service::channel::Found;
use crate::service::header::{self, State};
use crate::service::shape::Place;

/// The server's own numbers for one seat. Positions are read from shared memory once, when the server takes over.
#[derive(Debug)]
pub(super) struct Lane {
    /// The next request to look at.
    pub(super) next: Cell<u64>,
    /// Requests below this are released.
    pub(super) released: Cell<u64>,
    /// Where the next reply begins.
    pub(super) reply: Cell<u64>,
    /// Up to where the client had released replies when the server looked last.
    pub(super) replies_released: Cell<u64>,
    /// Calls that the server has taken and not answered.
    pub(super) open: Cell<u64>,
    /// There was no room for a reply to the next request.
    pub(super) is_starved: Cell<bool>,
    /// The client has written what no client of this library writes. The server looks away from it from then on.
    pub(super) is_garbled: Cell<bool>,
    pub(super) claims: Claims,
    pub(super) place: Place,
}

impl Lane {
    /// Takes over from a dead server: loses the calls that it had taken, or has them run again. Also returns whether some
    /// were lost.
    pub(super) fn resume(region: &Region, number: usize) -> (Self, bool) {
        let seat = &region.views().seats[number];
        let channels = region.views().channels(region.shape(), number);
        let released = seat.requests_released.load(at!(Q_RESUME, Relaxed));
        let replies_released = seat.replies_released.load(at!(Q_RESUME, Relaxed));
        let reply = channels.replies.end(replies_released);
        let lane = Self {
            next: Cell::new(released),
            released: Cell::new(released),
            reply: Cell::new(reply.unwrap_or(replies_released)),
            replies_released: Cell::new(replies_released),
            open: Cell::new(0),
            is_starved: Cell::new(false),
            is_garbled: Cell::new(reply.is_none() || !released.is_multiple_of(8)),
            claims: Claims::default(),
            place: Place::of(region.shape(), number),
        };
        seat.starved.store(0, at!(Q_STARVED, Relaxed));
        let (mut position, mut has_lost) = (released, false);
        let last = released.wrapping_add(region.shape().request_bytes);
        while (last.wrapping_sub(position) as i64) > 0 {
            let message = match channels.requests.look(position) {
                Found::Message(message) => message,
                Found::Nothing { .. } => break,
                Found::Garbage => {
                    lane.is_garbled.set(true);
                    break;
                }
            };
            // The client may cancel it at the same time, once.
            for _ in 0..4 {
                let seen = header::look(channels.requests.state(message));
                if seen.state() != Some(State::Taken) {
                    break;
                }
                if header::lose(channels.requests.state(message), seen) {
                    has_lost = true;
                    break;
                }
            }
            position = message.end();
        }
        (lane, has_lost)
    }
}
