//! The operations that are interrupted: what each one does, and which kind of process does it.

/// Length of a record by its size in the ring.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Size {
    Empty,
    /// With an inline copy.
    Inline,
    Plain,
    /// Longer than the rest of the ring.
    Padded,
    /// Exactly the rest of the ring.
    ToTheEnd,
    /// Half the capacity.
    Half,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Policy {
    Lossy,
    Gated,
    Deadline,
    Observer,
    /// Gated, under a new name.
    Named,
    /// The same, to be held for ever.
    Held,
    /// Under the first name that is away.
    Resumed,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Look {
    /// The newest record, from its inline copy where there is one.
    Newest,
    Next,
    /// So many were received that the cursor is stored first.
    Store,
    /// Nothing new; the cursor is stored.
    Nothing,
    /// A lap later.
    Lapped,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Act {
    Send(Size),
    /// The second of two sends: mostly the shortest way there is.
    SendNext,
    /// A claim, filled and published.
    Claim(Size),
    ClaimDropped(Size),
    Batch,
    /// A batch with padding in it.
    BatchWrapped,
    BatchDropped,
    /// A send that finds no space.
    Refused,
    Evict,
    Reclaim,
    WaitForSpace,
    Close,
    TakeOver,
    Attach(Policy),
    Detach(Policy),
    Receive(Policy, Look),
    Release(Policy),
    Sleep(Policy),
    Forget,
    Create,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Role {
    Producer,
    Consumer,
    Creator,
}

#[derive(Clone, Copy, Debug)]
pub(crate) struct Op {
    pub(crate) name: &'static str,
    pub(crate) act: Act,
}

pub(crate) const OPS: &[Op] = {
    use Act::{
        Attach, Batch, BatchDropped, BatchWrapped, Claim, ClaimDropped, Close, Create, Detach, Evict, Forget,
        Receive, Reclaim, Refused, Release, Send, SendNext, Sleep, TakeOver, WaitForSpace,
    };
    use Look::{Lapped, Newest, Next, Nothing, Store};
    use Policy::{Deadline, Gated, Held, Lossy, Named, Observer, Resumed};
    const fn op(name: &'static str, act: Act) -> Op {
        Op { name, act }
    }
    &[
        op("send-empty", Send(Size::Empty)),
        op("send-inline", Send(Size::Inline)),
        op("send-next", SendNext),
        op("send-plain", Send(Size::Plain)),
        op("send-padded", Send(Size::Padded)),
        op("send-to-the-end", Send(Size::ToTheEnd)),
        op("send-half-the-ring", Send(Size::Half)),
        op("claim-inline", Claim(Size::Inline)),
        op("claim-plain", Claim(Size::Plain)),
        op("claim-padded", Claim(Size::Padded)),
        op("claim-dropped", ClaimDropped(Size::Plain)),
        op("claim-padded-dropped", ClaimDropped(Size::Padded)),
        op("batch", Batch),
        op("batch-wrapped", BatchWrapped),
        op("batch-dropped", BatchDropped),
        op("send-refused", Refused),
        op("evict", Evict),
        op("reclaim", Reclaim),
        op("wait-for-space", WaitForSpace),
        op("close", Close),
        op("take-over", TakeOver),
        op("attach-lossy", Attach(Lossy)),
        op("attach-gated", Attach(Gated)),
        op("attach-deadline", Attach(Deadline)),
        op("attach-observer", Attach(Observer)),
        op("attach-named", Attach(Named)),
        op("attach-held", Attach(Held)),
        op("attach-resumed", Attach(Resumed)),
        op("detach-lossy", Detach(Lossy)),
        op("detach-gated", Detach(Gated)),
        op("detach-deadline", Detach(Deadline)),
        op("detach-named", Detach(Named)),
        op("detach-held", Detach(Held)),
        op("detach-resumed", Detach(Resumed)),
        op("receive-lossy-newest", Receive(Lossy, Newest)),
        op("receive-lossy-next", Receive(Lossy, Next)),
        op("receive-lossy-store", Receive(Lossy, Store)),
        op("receive-lossy-nothing", Receive(Lossy, Nothing)),
        op("receive-lossy-lapped", Receive(Lossy, Lapped)),
        op("receive-gated-newest", Receive(Gated, Newest)),
        op("receive-gated-next", Receive(Gated, Next)),
        op("receive-gated-store", Receive(Gated, Store)),
        op("receive-gated-nothing", Receive(Gated, Nothing)),
        op("receive-deadline-next", Receive(Deadline, Next)),
        op("receive-deadline-store", Receive(Deadline, Store)),
        op("receive-observer-newest", Receive(Observer, Newest)),
        op("receive-observer-next", Receive(Observer, Next)),
        op("receive-observer-lapped", Receive(Observer, Lapped)),
        op("receive-named-next", Receive(Named, Next)),
        op("receive-named-store", Receive(Named, Store)),
        op("receive-held-nothing", Receive(Held, Nothing)),
        op("receive-resumed-next", Receive(Resumed, Next)),
        op("release-gated", Release(Gated)),
        op("release-named", Release(Named)),
        op("release-held", Release(Held)),
        op("sleep-lossy", Sleep(Lossy)),
        op("sleep-gated", Sleep(Gated)),
        op("sleep-observer", Sleep(Observer)),
        op("forget", Forget),
        op("create", Create),
    ]
};

impl Op {
    pub(crate) fn role(&self) -> Role {
        match self.act {
            Act::Create => Role::Creator,
            Act::Attach(_)
            | Act::Detach(_)
            | Act::Receive(..)
            | Act::Release(_)
            | Act::Sleep(_)
            | Act::Forget => Role::Consumer,
            _ => Role::Producer,
        }
    }

    /// Does it publish the records of its plan?
    pub(crate) fn publishes(&self) -> bool {
        !matches!(self.act, Act::ClaimDropped(_) | Act::BatchDropped | Act::Refused | Act::WaitForSpace)
    }

    /// The policy of a consumer.
    pub(crate) fn policy(&self) -> Option<Policy> {
        match self.act {
            Act::Attach(policy)
            | Act::Detach(policy)
            | Act::Receive(policy, _)
            | Act::Release(policy)
            | Act::Sleep(policy) => Some(policy),
            _ => None,
        }
    }

    /// Is it tens of thousands of instructions, with many system calls?
    pub(crate) fn is_long(&self) -> bool {
        matches!(self.act, Act::Attach(_) | Act::Detach(_) | Act::Close | Act::TakeOver)
    }

    /// Does the victim hold a gate before, while and after it does this?
    pub(crate) fn gates(&self) -> bool {
        let lasting = matches!(self.act, Act::Receive(..) | Act::Release(_) | Act::Sleep(_));
        lasting && !matches!(self.policy(), Some(Policy::Lossy | Policy::Observer))
    }
}
