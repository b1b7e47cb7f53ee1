//! iceoryx2: publish and subscribe, loaned samples, no events.
#![allow(unsafe_code, reason = "its samples are initialised by promise, and so are its types")]

use std::path::Path;

use anyhow::{Context, Result, anyhow};
use iceoryx2::port::publisher::Publisher;
use iceoryx2::port::subscriber::Subscriber;
use iceoryx2::prelude::*;
use iceoryx2::service::port_factory::publish_subscribe::PortFactory;
use quoit_floors::building::Builder;

use super::Peer;
use crate::ends::{Placing, Receiver, Sender, Shape, build_in};
use crate::record::{Bytes, Record, Words};

pub(crate) type Service = ipc::Service;

/// Its queues hold references, and it makes a sample for each: so many are enough for every size.
const MOST: usize = 16_384;

/// A record as it takes them.
#[derive(Clone, Copy, Debug)]
#[repr(transparent)]
pub(crate) struct Sample<R>(pub(crate) R);

// SAFETY: records are nothing but bytes, of one layout in all processes, which are of one program.
unsafe impl<R: Bytes> ZeroCopySend for Sample<R> {}

pub(crate) enum Iceoryx {}

impl<const N: usize, R: Record<N>> Peer<N, R> for Iceoryx {
    type Sender = Writer<R>;
    type Receiver = Reader<R>;

    fn sender(path: &Path, shape: Shape) -> Result<Writer<R>> {
        let (_node, service) = service::<N, R>(path, shape)?;
        let strategy = BackpressureStrategy::RetryUntilDelivered;
        let publisher = service.publisher_builder().backpressure_strategy(strategy).create();
        Ok(Writer { publisher: publisher.map_err(|error| anyhow!("{error:?}"))?, _node })
    }

    fn receiver(path: &Path, shape: Shape) -> Result<Reader<R>> {
        let (_node, service) = service::<N, R>(path, shape)?;
        let subscriber = service.subscriber_builder().create();
        Ok(Reader { subscriber: subscriber.map_err(|error| anyhow!("{error:?}"))?, _node })
    }
}

type Found<R> = (Node<Service>, PortFactory<Service, Sample<R>, ()>);

/// Everything of it lies in the directory of the path, or carries its name.
pub(crate) fn node(path: &Path) -> Result<Node<Service>> {
    let directory = path.parent().and_then(Path::to_str).context("no directory")?;
    let mut config = Config::default();
    let root = iceoryx2::prelude::Path::new(directory.as_bytes());
    config.global.set_root_path(&root.map_err(|error| anyhow!("{error:?}"))?);
    // Its shared memory is elsewhere. Whoever made the directory sweeps away what begins with its name.
    let run = path.parent().and_then(Path::file_name).context("no name for this run")?;
    let prefix = FileName::new(run.as_encoded_bytes()).map_err(|error| anyhow!("{error:?}"))?;
    config.global.prefix = prefix;
    let node = NodeBuilder::new().config(&config).create::<Service>();
    node.map_err(|error| anyhow!("{error:?}"))
}

/// What a service at this path is called.
pub(crate) fn name(path: &Path) -> Result<ServiceName> {
    let name = path.file_name().and_then(|name| name.to_str()).context("no name")?;
    name.try_into().map_err(|error| anyhow!("{error:?}"))
}

fn service<const N: usize, R: Record<N>>(path: &Path, shape: Shape) -> Result<Found<R>> {
    let node = node(path)?;
    let service = node
        .service_builder(&name(path)?)
        .publish_subscribe::<Sample<R>>()
        .enable_safe_overflow(shape.lossy)
        .subscriber_max_buffer_size(Shape::slots(N * 8).min(MOST))
        .max_publishers(1)
        .max_subscribers(shape.consumers.max(1))
        .history_size(0)
        .open_or_create();
    Ok((node, service.map_err(|error| anyhow!("{error:?}"))?))
}

pub(crate) struct Writer<R: Bytes> {
    publisher: Publisher<Service, Sample<R>, ()>,
    _node: Node<Service>,
}

impl<R: Bytes> Sender<R> for Writer<R> {
    #[inline(always)]
    fn send(&mut self, record: &R) -> Result<()> {
        self.publisher.loan_uninit()?.write_payload(Sample(*record)).send()?;
        Ok(())
    }
}

impl<const N: usize> Placing<N> for Writer<[u64; N]> {
    #[inline(always)]
    fn fill(&mut self, builder: &mut impl Builder<N>) -> Result<()> {
        let mut sample = self.publisher.loan_uninit()?;
        // SAFETY: a sample is its record, and the loan is borrowed for as long.
        build_in(unsafe { &mut *sample.payload_mut().as_mut_ptr().cast() }, builder);
        // SAFETY: the builder has stored every word.
        unsafe { sample.assume_init() }.send()?;
        Ok(())
    }
}

pub(crate) struct Reader<R: Bytes> {
    subscriber: Subscriber<Service, Sample<R>, ()>,
    _node: Node<Service>,
}

impl<const N: usize, R: Record<N>> Receiver<N> for Reader<R> {
    #[inline(always)]
    fn receive(&mut self, mut each: impl FnMut(&Words<N>)) -> Result<usize> {
        Ok(self.subscriber.receive()?.map_or(0, |sample| {
            each(sample.0.words());
            1
        }))
    }
}
