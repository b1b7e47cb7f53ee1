//! The sides of a measurement: who makes the queue, who attaches, who does what, and that nothing is left of it.

use std::io::ErrorKind;
use std::thread;

use anyhow::{Result, bail};
use quoit_floors::figures::{Figures, Measured};
use quoit_floors::scene::{Scene, Side};

use crate::credits::{Credited, Crediting};
use crate::ends::Shape;
use crate::member::Member;
use crate::peers::calls::Calls;
use crate::peers::events::Events;
use crate::peers::{Inside, Peer};
use crate::record::Record;
use crate::works::call::call;
use crate::works::event::event;
use crate::works::one_way::OneWay;
use crate::works::pingpong::pingpong;

/// The names of the two directions.
const NAMES: [&str; 2] = ["there", "back"];
/// bcast locks a file beside its own.
const LOCKS: [&str; 2] = ["there.lock", "back.lock"];

/// What this process has of a queue that leads from the left to the right.
enum End<S, V> {
    Sender(S),
    Receiver(V),
    Nobody,
}

fn end<const N: usize, R, P>(scene: &Scene, shape: Shape) -> Result<End<P::Sender, P::Receiver>>
where
    R: Record<N>,
    P: Peer<N, R>,
{
    let path = scene.path(NAMES[0]);
    let end = if scene.side == Side::Left {
        let end = End::Sender(P::sender(&path, shape)?);
        scene.meet();
        end
    } else {
        scene.meet();
        if shape.consumers == 0 { End::Nobody } else { End::Receiver(P::receiver(&path, shape)?) }
    };
    scene.meet();
    Ok(end)
}

/// Nothing is left when the next one begins. Some have removed it themselves, or have no such file.
fn clear(scene: &Scene) -> Result<()> {
    scene.meet();
    for name in NAMES.iter().chain(&LOCKS) {
        if let Err(error) = std::fs::remove_file(scene.path(name))
            && error.kind() != ErrorKind::NotFound
        {
            return Err(error.into());
        }
    }
    scene.meet();
    Ok(())
}

/// Each side in its process.
pub(crate) fn processes<const N: usize, R, P, W>(
    member: Member<'_>,
    shape: Shape,
    work: &W,
) -> Result<Figures>
where
    R: Record<N>,
    P: Peer<N, R>,
    W: OneWay<P::Sender, P::Receiver>,
{
    let scene = member.scene;
    let measured = match end::<N, R, P>(scene, shape)? {
        End::Sender(sender) => work.send(scene, sender)?,
        End::Receiver(receiver) => work.receive(scene, receiver)?,
        End::Nobody => work.ignore(scene)?,
    };
    clear(scene)?;
    Ok(measured.figures)
}

/// The same for systems that overwrite, where nothing may be lost.
pub(crate) fn with_credits<const N: usize, R, P, W>(
    member: Member<'_>,
    shape: Shape,
    work: &W,
) -> Result<Figures>
where
    R: Record<N>,
    P: Peer<N, R>,
    W: for<'a> OneWay<Credited<'a, P::Sender>, Crediting<'a, P::Receiver>>,
{
    let scene = member.scene;
    let measured = match end::<N, R, P>(scene, shape)? {
        End::Sender(sender) => {
            work.send(scene, Credited::new(&scene.ground, shape.consumers, N * 8, sender))?
        }
        End::Receiver(receiver) => {
            work.receive(scene, Crediting::new(&scene.ground, member.number - 1, receiver))?
        }
        End::Nobody => work.ignore(scene)?,
    };
    clear(scene)?;
    Ok(measured.figures)
}

/// A thread for each side in the process that is the left one; the others have nothing to do.
pub(crate) fn threads<const N: usize, R, P, W>(member: Member<'_>, shape: Shape, work: &W) -> Result<Figures>
where
    R: Record<N>,
    P: Inside<N, R>,
    W: OneWay<P::Sender, P::Receiver> + Sync,
{
    if member.number > 0 {
        return Ok(Figures::default());
    }
    let (sender, receivers) = P::ends(shape)?;
    let receivers = receivers.into_iter().map(|receiver| |scene: &Scene| work.receive(scene, receiver));
    together(member, |scene| work.send(scene, sender), receivers)
}

/// A record there and a copy of it back, each side in its process.
pub(crate) fn there_and_back<const N: usize, P: Peer<N, [u64; N]>>(
    member: Member<'_>,
    shape: Shape,
    count: u64,
    warm: u64,
) -> Result<Figures> {
    let scene = member.scene;
    let [mine, other] = if scene.side == Side::Left { NAMES } else { [NAMES[1], NAMES[0]] };
    let sender = P::sender(&scene.path(mine), shape)?;
    scene.meet();
    let receiver = P::receiver(&scene.path(other), shape)?;
    scene.meet();
    let measured = pingpong(scene, sender, receiver, count, warm)?;
    clear(scene)?;
    Ok(measured.figures)
}

/// A request and its reply, each side in its process.
pub(crate) fn calls<const N: usize, P: Calls<N>>(
    member: Member<'_>,
    count: u64,
    warm: u64,
) -> Result<Figures> {
    let measured = call::<N, P>(member.scene, count, warm)?;
    clear(member.scene)?;
    Ok(measured.figures)
}

/// An event and another one back, each side in its process.
pub(crate) fn events<P: Events>(member: Member<'_>, count: u64) -> Result<Figures> {
    let scene = member.scene;
    let [own, other] = if scene.side == Side::Left { [NAMES[1], NAMES[0]] } else { NAMES };
    let measured = event::<P>(scene, [own, other].map(|name| scene.path(name)), count)?;
    clear(scene)?;
    Ok(measured.figures)
}

/// There and back between two threads.
pub(crate) fn there_and_back_inside<const N: usize, P: Inside<N, [u64; N]>>(
    member: Member<'_>,
    shape: Shape,
    count: u64,
    warm: u64,
) -> Result<Figures> {
    if member.number > 0 {
        return Ok(Figures::default());
    }
    let (there, mut from_there) = P::ends(shape)?;
    let (back, mut from_back) = P::ends(shape)?;
    let (Some(from_there), Some(from_back)) = (from_there.pop(), from_back.pop()) else {
        bail!("a queue without a receiver");
    };
    together(
        member,
        |scene| pingpong(scene, there, from_back, count, warm),
        [|scene: &Scene| pingpong(scene, back, from_there, count, warm)],
    )
}

/// What each side has measured, in a thread of its own.
fn together<T>(
    member: Member<'_>,
    left: impl FnOnce(&Scene) -> Result<Measured>,
    right: impl IntoIterator<Item = T>,
) -> Result<Figures>
where
    T: FnOnce(&Scene) -> Result<Measured> + Send,
{
    let (members, turn) = (member.scene.members(), member.scene.turn());
    thread::scope(|scope| {
        let right: Vec<_> = (1..)
            .zip(right)
            .map(|(number, part)| {
                scope.spawn(move || -> Result<Measured> {
                    let scene = (member.enter)(number)?;
                    scene.begin(members, turn);
                    part(&scene)
                })
            })
            .collect();
        let mut figures = left(member.scene)?.figures;
        for thread in right {
            match thread.join() {
                Ok(measured) => figures = figures.joined(measured?.figures),
                Err(_) => bail!("a receiver panicked"),
            }
        }
        Ok(figures)
    })
}
