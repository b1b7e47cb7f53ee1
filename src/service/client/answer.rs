//! What a client receives.

use crate::error::CallError;
use crate::service::channel::Message;
use crate::service::client::calls::{CallId, End};
use crate::service::header::{Header, Part};
use crate::service::payload::Payload;

/// A reply to a call, or its end.
#[derive(Debug)]
#[must_use = "an answer may be the only one to its call"]
pub struct Answer<'a> {
    call: CallId,
    begins_anew: bool,
    outcome: Outcome<'a>,
}

/// What has come of a call. Exactly one of the values that a call gets is not [`More`](Self::More), and is the last.
#[derive(Debug)]
#[non_exhaustive]
pub enum Outcome<'a> {
    /// One of several replies; not the last.
    More(Payload<'a>),
    /// The last reply.
    Reply(Payload<'a>),
    /// The server answered with an error.
    Failed(Payload<'a>),
    /// The server dropped the request unanswered. The call may have run in part.
    Dropped,
    /// The deadline passed before a server took the call. It has not run, and never will.
    NotExecuted,
    /// The deadline passed after a server had taken the call. It may have run, or may still run.
    Unanswered,
    /// The server that had taken the call is dead. The call may have run.
    ServerGone,
}

impl<'a> Answer<'a> {
    #[inline]
    pub(super) fn reply(call: CallId, part: Part, header: Header, payload: Payload<'a>) -> Self {
        let outcome = match part {
            Part::More => Outcome::More(payload),
            Part::Last => Outcome::Reply(payload),
            Part::Failed => Outcome::Failed(payload),
            Part::Dropped => Outcome::Dropped,
        };
        Self { call, begins_anew: header.is_repeatable(), outcome }
    }

    pub(super) fn end(call: CallId, end: End) -> Self {
        let outcome = match end {
            End::NotExecuted => Outcome::NotExecuted,
            End::Unanswered => Outcome::Unanswered,
            End::ServerGone => Outcome::ServerGone,
        };
        Self { call, begins_anew: false, outcome }
    }

    /// The same, with a copy of the payload, independent of the client.
    pub fn into_owned(self) -> Answer<'static> {
        let copied = |payload: Payload<'_>| Payload::copied(payload.to_vec());
        let outcome = match self.outcome {
            Outcome::More(payload) => Outcome::More(copied(payload)),
            Outcome::Reply(payload) => Outcome::Reply(copied(payload)),
            Outcome::Failed(payload) => Outcome::Failed(copied(payload)),
            Outcome::Dropped => Outcome::Dropped,
            Outcome::NotExecuted => Outcome::NotExecuted,
            Outcome::Unanswered => Outcome::Unanswered,
            Outcome::ServerGone => Outcome::ServerGone,
        };
        Answer { call: self.call, begins_anew: self.begins_anew, outcome }
    }

    /// Which call it is about.
    pub fn call(&self) -> CallId {
        self.call
    }

    /// Whether this is the first reply of a run after another: the server that had taken the call died, and the call is
    /// repeatable. Earlier replies count no more.
    pub fn begins_anew(&self) -> bool {
        self.begins_anew
    }

    /// Whether the call has ended with this.
    pub fn is_last(&self) -> bool {
        !matches!(self.outcome, Outcome::More(_))
    }

    /// What has come of the call.
    pub fn outcome(&self) -> &Outcome<'a> {
        &self.outcome
    }

    /// The payload of a reply, or how the call ended without one.
    ///
    /// # Errors
    ///
    /// [`CallError`], for everything but replies.
    #[inline]
    pub fn into_result(self) -> Result<Payload<'a>, CallError> {
        match self.outcome {
            Outcome::More(payload) | Outcome::Reply(payload) => Ok(payload),
            Outcome::Failed(payload) => Err(CallError::Failed(payload.to_vec())),
            Outcome::Dropped => Err(CallError::Dropped),
            Outcome::NotExecuted => Err(CallError::NotExecuted),
            Outcome::Unanswered => Err(CallError::Unanswered),
            Outcome::ServerGone => Err(CallError::ServerGone),
        }
    }
}

/// The same, before anything is lent.
#[derive(Debug)]
pub(super) enum Event {
    Kept(Answer<'static>),
    End(CallId, End),
    Reply(Reply),
}

/// A reply that was taken.
#[derive(Clone, Copy, Debug)]
pub(super) struct Reply {
    pub(super) call: CallId,
    pub(super) part: Part,
    pub(super) message: Message,
}

impl Event {
    pub(super) fn call(&self) -> CallId {
        match self {
            Self::Kept(answer) => answer.call(),
            Self::End(call, _) | Self::Reply(Reply { call, .. }) => *call,
        }
    }

    /// Whether the call has ended with this.
    pub(super) fn is_last(&self) -> bool {
        match self {
            Self::Kept(answer) => answer.is_last(),
            Self::End(..) => true,
            Self::Reply(reply) => reply.part != Part::More,
        }
    }
}
